"""What a real Chromium does with the page's answers, without nodes and a broker: refusals, keys, and small screens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, FilePayload, Locator, expect

from tests.support.browser import Tab, chromium, find_chromium
from tests.support.labels import label
from tests.support.served_page import served
from tests.unit.overview.test_site_overview import status
from tests.unit.web.teaching.test_pages import JPEG, Rig, result_of
from tests.unit.web.test_gate import client
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.local.ports import free_port
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.web.history.changes import StateChange
from vp_mqtt.web.history.store import History
from vp_mqtt.web.security import uploads
from vp_mqtt.web.security.passwords import set_password
from vp_mqtt.web.security.people import PageRole
from vp_mqtt.web.teaching.job import JobState, JobView


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


def test_who_has_signed_out_sees_nothing_more_in_other_tabs(browser: Browser, tmp_path: Path) -> None:
    words = "correct horse battery"
    set_password(tmp_path / "passwords", PageRole.OPERATOR, words)
    rig = Rig(tmp_path, passwords_file=str(tmp_path / "passwords"))
    tab = Tab(browser)
    with served(rig.browser.app, free_port()) as url:
        page = tab.page
        page.goto(f"{url}/boards")
        page.get_by_label("Password").fill(words)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Response time")).to_be_visible()
        live, teach = page.context.new_page(), page.context.new_page()
        live.goto(url)
        teach.goto(f"{url}/teach")
        page.get_by_role("button", name="Sign out").click()
        for other in (live, teach):
            expect(other.get_by_label("Password")).to_be_visible()


def test_a_picture_after_which_none_can_be_loaded_is_shown_as_old(browser: Browser, rig: Rig) -> None:
    tab = Tab(browser)
    page, number = tab.page, 1
    picture = page.locator(".camera .picture")

    def publish() -> None:
        nonlocal number
        number += 1
        frame = str(FrameId(7, number))
        with rig.listener.view() as view:
            now = time.monotonic()
            view.note_picture("cam0", frame, JPEG, now)
            seen = label("things").model_copy(update={"frame": frame})
            view.note_label(view.overview.note_label(seen, now, time.time()))

    with served(rig.browser.app, free_port()) as url:
        publish()
        page.goto(url)
        expect(picture).not_to_have_class("picture stale")
        page.route("**/frames/**", lambda route: route.abort())
        until = time.monotonic() + 15
        while "stale" not in str(picture.get_attribute("class")):
            assert time.monotonic() < until
            publish()
            page.wait_for_timeout(250)
        page.unroute("**/frames/**")
        publish()
        expect(picture).not_to_have_class("picture stale")


class Running:
    """A job that runs until it is cancelled."""

    def __init__(self, kind: str) -> None:
        self.view_now = JobView(kind, JobState.RUNNING, "learning", 40.0, 5.0, tuple("abcdefghijklmnopqrstuvwxyz"), "")

    def view(self) -> JobView:
        return self.view_now

    def cancel(self) -> None:
        self.view_now = replace(self.view_now, state=JobState.CANCELLED)

    def stop(self) -> None:
        """It is no process."""


@pytest.mark.parametrize("part", ["job", "tuning"])
def test_a_job_is_read_and_cancelled_by_keyboard_while_it_runs(
    browser: Browser, rig: Rig, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    trainer = rig.studio.trainer
    trainer.result = result_of(Path("/nowhere"))
    monkeypatch.setattr(trainer, "_job" if part == "job" else "_tuning", Running("train"))
    page = Tab(browser).page

    def is_polled() -> None:
        with page.expect_response("**/train"):
            pass

    with served(rig.browser.app, free_port()) as url:
        page.goto(f"{url}/train")
        cancel, log = page.locator(f"#{part} button"), page.locator(f"#{part} .log")
        for _ in range(30):
            page.keyboard.press("Tab")
            page.wait_for_timeout(100)
            if cancel.evaluate("button => button === document.activeElement"):
                break
        is_polled()
        expect(cancel).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(log).to_be_visible()
        log.evaluate("log => { log.scrollTop = 100; }")
        for _ in range(2):
            is_polled()
        expect(page.locator(f"#{part} summary")).to_be_focused()
        expect(log).to_be_visible()
        assert log.evaluate("log => log.scrollTop") == 100
        # When it has ended, all the page is shown as it is then.
        expect(page.locator("#train-now")).to_have_count(0)
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#train-now")).to_be_visible()
        expect(page.locator(f"#{part}")).to_contain_text("cancelled")


def test_the_page_is_shown_anew_when_a_job_ends_by_itself(browser: Browser, rig: Rig) -> None:
    rig.studio.trainer._job = job = Running("train")  # type: ignore[assignment]
    page = Tab(browser).page
    with served(rig.browser.app, free_port()) as url:
        page.goto(f"{url}/train")
        expect(page.locator("#cancel-job")).to_be_visible()
        job.view_now = replace(job.view_now, state=JobState.DONE)
        expect(page.locator("#train-now")).to_be_visible()
        expect(page.locator("progress")).to_have_count(0)


def test_pictures_are_captured_by_holding_a_pointer_or_space_and_by_a_plain_press(
    browser: Browser, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vp_mqtt.web.pages.teach._BURST", 1)
    page = Tab(browser).page
    button, undo = page.locator("#capture-button"), page.locator(".undo")

    def publish(grey: int) -> None:
        picture = encode_jpeg(np.full((48, 64, 3), grey, np.uint8), 90)
        with rig.listener.view() as view:
            view.note_picture("cam0", str(FrameId(7, grey)), picture, time.monotonic())

    def captured(name: str, number: int) -> None:
        expect(undo).to_contain_text(f"captured into '{name}'")
        assert rig.counts()[name] == number

    publish(20)
    with served(rig.browser.app, free_port()) as url:
        page.goto(f"{url}/teach")
        page.get_by_label("Into").select_option("spoon")
        expect(button).to_have_text("Hold to capture")
        button.press("Enter")
        captured("spoon", 1)
        expect(page.get_by_label("Into")).to_have_value("spoon")
        rig.post("/teach/classes", name="fork")
        page.reload()
        publish(80)
        button.evaluate("button => button.click()")
        captured("spoon", 2)

        # What is held captures one after another, and letting it go captures no further ones.
        page.get_by_label("Into").select_option("cup")
        publish(140)
        button.focus()
        page.keyboard.down("Space")
        expect(page.locator("#capture-said")).to_contain_text("1 captured into cup")
        page.keyboard.up("Space")
        captured("cup", 1)
        publish(200)
        button.hover()
        page.mouse.down()
        expect(page.locator("#capture-said")).to_contain_text("1 captured into cup")
        page.mouse.up()
        # The page is shown anew, although its address is the same.
        expect(page.locator(".class", has_text="cup").locator(".class-count")).to_contain_text("2,")
        captured("cup", 2)


@pytest.mark.parametrize(("limit", "size"), [("MAX_FILES", 1000), ("MAX_UPLOAD_BYTES", 8_000_000)])
def test_too_many_pictures_at_once_are_refused_on_the_page_they_came_from(
    browser: Browser, rig: Rig, monkeypatch: pytest.MonkeyPatch, limit: str, size: int
) -> None:
    monkeypatch.setattr(uploads, limit, 2)
    page = Tab(browser).page
    with served(rig.browser.app, free_port()) as url:
        page.goto(f"{url}/teach/class?name=cup")
        files = [FilePayload(name=f"{number}.jpg", mimeType="image/jpeg", buffer=bytes(size)) for number in range(3)]
        page.get_by_label("Upload pictures").set_input_files(files if limit == "MAX_FILES" else files[:1])
        page.get_by_role("button", name="Upload", exact=True).click()
        expect(page.get_by_role("alert").first).to_contain_text("too much at once")
        expect(page.get_by_role("heading", name="cup")).to_be_visible()


def is_whole(text: Locator) -> bool:
    return bool(text.evaluate("element => element.scrollWidth <= element.clientWidth"))


@pytest.mark.parametrize("width", [390, 1280])
def test_names_of_nodes_are_whole_although_nothing_is_known_of_them_without_the_broker(
    browser: Browser, rig: Rig, width: int
) -> None:
    with rig.listener.view() as view:
        now = time.monotonic()
        for number in range(3):
            view.overview.note_status(status("variant", f"node-{number}", variant=number), retained=False, now=now)
        view.overview.note_connection(now, is_connected=False)
    page = Tab(browser, width=width).page
    with served(rig.browser.app, free_port()) as url:
        page.goto(f"{url}/boards")
        expect(page.locator(".board .presence").first).to_contain_text("no connection")
        assert [is_whole(name) for name in page.locator(".board h2").all()] == [True] * 3


def test_a_long_label_in_the_history_is_cut_off_visibly_on_a_phone(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    app = client(tmp_path).app
    history = History(tmp_path / "home.sqlite", days=7, megabytes=10)
    name = "a parcel before the door at night with a neighbour beside it"
    change = StateChange(
        "cam0", since=time.time(), label=name, previous="", confidence=0.9, reason="labels", bundle="b"
    )
    history.add(change, time.time())
    page = Tab(browser, width=390).page
    with served(app, free_port()) as url:
        page.goto(f"{url}/history")
        label = page.locator(".entry .state-label", has_text=name)
        assert not is_whole(label), "it does not fit, and ends in an ellipsis"
        card, shown = label.locator("xpath=ancestor::li").bounding_box(), label.bounding_box()
        assert card is not None
        assert shown is not None
        assert shown["x"] + shown["width"] <= card["x"] + card["width"]


def test_a_row_of_pictures_is_picked_although_the_page_asks_for_news_meanwhile(browser: Browser, rig: Rig) -> None:
    for number in range(6):
        rig.studio.teaching.collection.add("cup", JPEG, f"{number}.jpg")
    page = Tab(browser).page
    with served(rig.browser.app, free_port()) as url:
        page.goto(f"{url}/teach/class?name=cup")
        page.locator(".pick label").nth(1).click()
        with page.expect_response("**/problems"):
            pass
        page.wait_for_timeout(100)
        page.locator(".pick label").nth(4).click(modifiers=["Shift"])
        expect(page.locator(".pick input:checked")).to_have_count(4)
