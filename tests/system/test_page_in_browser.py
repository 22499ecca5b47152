"""What a real Chromium does with the page's answers, without nodes and a broker: refusals, keys, and small screens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import Tab, chromium, find_chromium
from tests.support.served_page import served
from tests.unit.web.teaching.test_pages import Rig
from vp_mqtt.local.ports import free_port


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    find_chromium()
    with chromium() as running:
        yield running


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Rig(tmp_path)


def test_a_server_that_is_away_or_another_one_is_said_where_it_was_not(
    browser: Browser, rig: Rig, tmp_path: Path
) -> None:
    tab, port = Tab(browser), free_port()
    page = tab.page
    offline, failed = page.locator("#offline"), page.locator("#failed")
    with served(rig.browser.app, port) as url:
        page.goto(f"{url}/teach")
        expect(offline).to_be_hidden()
        page.get_by_label("New class").fill("fork")
    page.get_by_role("button", name="Add").click()
    expect(failed).to_contain_text("The server does not answer")
    expect(offline).to_be_visible()
    # Another server has another key, unless it was kept.
    with served(Rig(tmp_path / "other").browser.app, port):
        expect(offline).to_be_hidden()
        expect(failed).to_be_hidden()
        page.get_by_role("button", name="Add").click()
        expect(failed).to_contain_text("was loaded again")
        page.get_by_label("New class").fill("fork")
        page.get_by_role("button", name="Add").click()
        expect(page.get_by_role("link", name="fork")).to_be_visible()
        expect(failed).to_be_hidden()
        assert tab.barriers() == []
