"""The whole loop in a real Chromium, on real nodes, a real Mosquitto and real pictures.

A wrong label is found and corrected, a class is taught, a family trained and sent, and the next frames carry it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.broker import Mosquitto
from tests.support.browser import Tab, chromium, find_chromium
from tests.support.site import Site
from vp_mqtt.local.ports import free_port
from vp_mqtt.nodes.sources import SAMPLES
from vp_mqtt.web.teaching.collection import Collection
from vp_mqtt.web.teaching.job import Job, JobState
from vp_mqtt.web.teaching.split import held_out

FAMILY = Path("fashion-mnist")
RULES = ("--state-labels", "2", "--state-window", "3", "--state-hysteresis", "1", "--state-dwell", "0")
FROM_BROKER = ("--bundle", "auto", "--fallback", str(FAMILY))
PER_CLASS = 10
TRAINED_WITHIN_MS, SENT_WITHIN_MS = 90_000, 60_000


@pytest.fixture
def site(broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    find_chromium()
    monkeypatch.setenv("VP_BUNDLE_CACHE", str(tmp_path / "cache"))
    with Site(broker.url, broker.port, FAMILY, tmp_path) as running:
        yield running


def pictures_of(name: str) -> list[Path]:
    return sorted((SAMPLES / FAMILY / name).glob("*.png"))


def write_collection(folder: Path) -> None:
    """Write two classes of real pictures; one picture of a bag is among the boots."""
    for name, source in (("boots", "Ankle boot"), ("bags", "Bag")):
        (folder / name).mkdir(parents=True)
        for file in pictures_of(source)[:PER_CLASS]:
            shutil.copy(file, folder / name / f"{name}-{file.name}")
    shutil.copy(pictures_of("Bag")[PER_CLASS], folder / "boots" / "wrong.png")


def start(site: Site, folder: Path) -> str:
    shown = folder / "shown"
    for name in ("Trouser", "Ankle boot"):
        shutil.copytree(SAMPLES / FAMILY / name, shown / name)
    site.start_fusion(*FROM_BROKER, *RULES)
    for variant in range(2):
        site.start_variant(variant, *FROM_BROKER)
    port = free_port()
    own = {"XDG_CONFIG_HOME": str(folder / "config")}
    flags = ("--history", str(folder / "history"), "--teach", str(folder / "teach"), "--teach-from", str(FAMILY))
    site.start("page", "web", "--listen", f"127.0.0.1:{port}", *flags, environment=own)
    site.await_online("fusion", "v0", "v1")
    site.start("camera", "camera", "--source", str(shown), "--hold", "0.5", "--size", "64x64")
    site.await_log("page", "the page of site", timeout=30)
    return f"http://127.0.0.1:{port}"


def train(page: Page) -> None:
    page.get_by_role("button", name="Train now").click()
    expect(page.locator("progress")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Train now")).to_be_visible(timeout=TRAINED_WITHIN_MS)
    expect(page.locator(".training .problem")).to_have_count(0)


def test_what_is_taught_on_the_page_is_what_the_boards_say(site: Site, tmp_path: Path) -> None:
    write_collection(tmp_path / "teach" / "pictures")
    url = start(site, tmp_path)
    with chromium() as browser:
        tab = Tab(browser)
        page = tab.page

        # A new class, from frames that came into the queue by themselves, and from files.
        page.goto(f"{url}/teach")
        page.get_by_label("New class").fill("trousers")
        page.get_by_role("button", name="Add").click()
        expect(page.get_by_role("link", name="trousers")).to_be_visible()
        expect(page.locator(".newer, .pick").first).to_be_visible()
        page.goto(f"{url}/teach")
        waiting = page.locator(".pick").count()
        page.locator(".pick label").first.click()
        page.keyboard.press("3")
        expect(page.locator(".undo")).to_contain_text("1 frame into 'trousers'")
        page.keyboard.press("u")
        expect(page.locator(".undo")).to_contain_text("class 'trousers' created")
        assert page.locator(".pick").count() >= waiting
        assert tab.barriers() == []
        page.get_by_role("link", name="trousers").click()
        page.get_by_label("Upload pictures").set_input_files(pictures_of("Trouser")[:PER_CLASS])
        page.get_by_role("button", name="Upload", exact=True).click()
        expect(page.locator(".pick")).to_have_count(PER_CLASS)

        # Training finds the picture that is in the wrong class; it is moved, and training runs again.
        page.goto(f"{url}/train")
        train(page)
        page.get_by_role("link", name="1 in boots").click()
        expect(page.locator(".pick").first).to_contain_text("seems bags")
        page.locator(".pick input").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator(".undo")).to_contain_text("1 picture moved to 'bags'")
        page.goto(f"{url}/train")
        train(page)
        tested = sum(len(held_out(one.pictures)) for one in Collection(tmp_path / "teach" / "pictures").classes())
        expect(page.locator(".held", has_text="After")).to_contain_text(f"of {tested} pictures")
        expect(page.locator(".confusion")).to_contain_text("trousers")

        # Sent to the boards, which then say the new classes.
        page.get_by_role("button", name="Send to boards").click()
        expect(page.locator(".sending")).to_contain_text("taken by 2 boards", timeout=SENT_WITHIN_MS)
        expect(page.locator(".sending")).to_contain_text("2 of 2 boards run the newest bundle")
        assert tab.barriers() == []
        page.goto(url)
        expect(page.locator(".state-label", has_text="trousers")).to_be_visible()
        expect(page.locator(".state-label", has_text="boots")).to_be_visible()
        assert tab.complaints == []


def test_a_job_is_cancelled_and_says_why_it_failed() -> None:
    done: list[str] = []
    waiting = Job("train", ["watch", "--broker", "mqtt://127.0.0.1:1"], on_done=done.append)
    waiting.start()
    waiting.cancel()
    assert waiting.view().state is JobState.CANCELLED
    assert waiting._process is not None
    assert waiting._process.wait(15) != 0
    failing = Job("train", ["teach", "/nowhere", "--out", "/nowhere/bundle", "--json"], on_done=done.append)
    failing.start()
    assert failing.wait(60)
    view = failing.view()
    assert (view.state, done) == (JobState.FAILED, [])
    assert "/nowhere" in view.problem
    assert "Traceback" not in view.problem
