"""The page in a real Chromium, on real nodes and a real Mosquitto: labels change, boards die, brokers restart."""

from __future__ import annotations

import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.broker import Mosquitto
from tests.support.browser import Tab, chromium, find_chromium
from tests.support.site import Site
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.local.ports import free_port
from vp_mqtt.protocol import votes
from vp_mqtt.protocol.frames import ClosedBy, FrameId
from vp_mqtt.protocol.messages import LabelMessage
from vp_mqtt.protocol.votes import Vote

FAMILY = Path("fashion-mnist")
RULES = ("--state-labels", "2", "--state-window", "3", "--state-hysteresis", "1", "--state-dwell", "0")
GREY_WITHIN_MS = 5000
ENDS_WITHIN_S = 5


@pytest.fixture
def demo_site(broker: Mosquitto, tmp_path: Path) -> Iterator[Site]:
    find_chromium()
    with Site(broker.url, broker.port, FAMILY, tmp_path) as running:
        yield running


def start_page(site: Site, port: int, folder: Path, times: int = 1) -> str:
    # A developer's own passwords are not asked for.
    own = {"XDG_CONFIG_HOME": str(folder / "config")}
    site.start("page", "web", "--listen", f"127.0.0.1:{port}", "--history", str(folder), environment=own)
    site.await_log("page", "the page of site", times=times)
    return f"http://127.0.0.1:{port}"


def shown_label(tab: Tab) -> str:
    return tab.page.locator(".label-line strong").inner_text()


def await_another_picture(tab: Tab) -> None:
    """Wait until the picture is another one than now."""
    before = tab.page.locator(".picture img").get_attribute("src")
    expect(tab.page.locator(".picture img")).not_to_have_attribute("src", str(before))


def change_settings(browser: Browser, url: str, live: Tab) -> None:
    """Draw a region, which is a camera of its own at once, and take it back; set the threshold by keyboard."""
    tab = Tab(browser)
    page = tab.page
    page.goto(f"{url}/settings")
    camera = page.locator("section", has_text="Camera cam0")
    picture = camera.locator(".whole-picture")
    assert picture.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    box = picture.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5, steps=3)
    page.mouse.up()
    page.keyboard.type("shelf")
    expect(picture.locator("text")).to_have_text("shelf")
    camera.get_by_label("Bottom %").first.fill("60.5")
    page.keyboard.press("Enter")
    expect(camera.locator(".in-force")).to_contain_text("works with these settings, version 1")
    expect(live.page.locator("h2", has_text="cam0.shelf")).to_be_visible()
    expect(live.page.locator(".place")).to_be_visible()
    expect(page.locator(".former")).to_contain_text("regions shelf")
    camera.get_by_role("button", name="Undo the last change").click()
    expect(camera.locator(".in-force")).to_contain_text("works with its own settings")
    expect(camera.locator("text")).to_have_count(0)

    page.get_by_label("Below a score of").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    expect(page.locator("#in-force-0")).to_contain_text("works with these settings, version 1")
    expect(live.page.locator(".label.unknown").first).to_be_visible()
    page.get_by_label("of the last").fill("1")
    page.keyboard.press("Enter")
    expect(page.locator("#notes")).to_contain_text("no state could end")
    page.locator("section", has_text="Labels and states").get_by_role("button", name="Back to").click()
    expect(page.locator("#in-force-0")).to_contain_text("works with its own settings")
    assert tab.barriers() == []
    assert tab.complaints == []


def test_the_page_shows_the_site_as_it_is(demo_site: Site, broker: Mosquitto, tmp_path: Path) -> None:
    site, port = demo_site, free_port()
    url = start_page(site, port, tmp_path)
    with chromium() as browser:
        live = Tab(browser)
        live.page.goto(url)
        expect(live.page.locator(".empty")).to_contain_text("No camera")
        site.start_all([0, 1, 2], *RULES)
        site.start("camera", "camera", "--source", "samples", "--hold", "1")

        # Cameras, labels, states and votes appear by themselves, and change.
        expect(live.page.locator("h2", has_text="cam0")).to_be_visible()
        await_another_picture(live)
        # The next picture may just be on its way.
        expect(live.page.locator(".picture img")).not_to_have_js_property("naturalWidth", 0)
        expect(live.page.locator(".votes li.agrees").first).to_be_visible()
        first = live.page.locator(".state-label.known").inner_text()
        expect(live.page.locator(".state-label.known")).not_to_have_text(first)
        assert shown_label(live) != "no label yet"
        expect(live.page.locator(".problems")).to_have_count(0)

        # A board that is killed is grey at once.
        boards = Tab(browser, scheme="dark", width=390)
        boards.page.goto(f"{url}/boards")
        expect(boards.page.locator(".board .gone")).to_have_count(0)
        expect(boards.page.locator("#chart canvas")).to_be_visible()
        site.signal("v1", signal.SIGKILL)
        expect(boards.page.locator(".board .gone")).to_have_count(1, timeout=GREY_WITHIN_MS)
        expect(boards.page.locator(".board", has=boards.page.locator(".gone"))).to_contain_text("offline for")
        expect(boards.page.locator('.board[aria-label="v1"] .strip .away')).to_be_visible()
        expect(live.page.locator(".votes li", has_text="offline")).to_have_count(1)

        # What was is in the history, with pictures.
        past = Tab(browser, width=390)
        past.page.goto(f"{url}/history")
        assert past.page.locator(".entry img").first.evaluate("image => image.naturalWidth") > 0
        assert past.page.locator(".entry").count() >= 2

        change_settings(browser, url, live)
        for tab in (live, boards, past):
            assert tab.barriers() == []
            assert tab.complaints == []

        # A restart of the broker is said and heals.
        broker.stop()
        expect(live.page.locator(".problems")).to_contain_text("no connection to the broker")
        expect(past.page.locator(".problems")).to_contain_text("no connection to the broker")
        broker.start()
        expect(live.page.locator(".problems")).not_to_contain_text("no connection")
        expect(past.page.locator(".problems")).not_to_contain_text("no connection")
        await_another_picture(live)

        # So does one of the server, which ends at once although browsers listen to it.
        site.signal("page", signal.SIGTERM)
        assert site.wait("page", ENDS_WITHIN_S) == 0
        for tab in (live, past):
            expect(tab.page.locator("#offline")).to_be_visible()
        start_page(site, port, tmp_path, times=2)
        for tab in (live, past):
            expect(tab.page.locator("#offline")).to_be_hidden()
        await_another_picture(live)


def test_requests_that_are_none_do_not_fill_the_log(site: Site, tmp_path: Path) -> None:
    port = free_port()
    url = start_page(site, port, tmp_path)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"\x00\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
    with urllib.request.urlopen(f"{url}/boards") as answer:
        assert answer.status == 200
    assert "request" not in site.log("page")


def test_votes_are_shown_with_the_class_names_of_a_pushed_bundle(site: Site, bundle: Path, tmp_path: Path) -> None:
    site.start("push", "push", str(bundle), "--ready-within", "0", "--taken-within", "0")
    url = start_page(site, free_port(), tmp_path)
    assert site.wait("push", 30) == 0
    manifest = open_bundle(bundle).manifest
    frame = FrameId(7, 1)
    site.probe.publish_frame(frame)
    vote = votes.encode(Vote((1, 0), (0.75, 0.25), manifest.short_digest))

    def shows_the_name() -> bool:
        site.probe.publish(site.probe.topics.vote("cam0", 0), vote, frame.encode())
        label = LabelMessage(
            camera="cam0",
            frame=str(frame),
            label=None,
            class_index=None,
            confidence=None,
            score=None,
            voted=(0,),
            missing=(),
            alive=(0,),
            closed_by=ClosedBy.COMPLETE,
            latency_ms=1.0,
            captured=time.time(),
            valid_for_s=60.0,
            bundle=manifest.name,
        )
        site.probe.publish(site.probe.topics.label("cam0"), label.encode(), frame.encode())
        with urllib.request.urlopen(url) as answer:
            return f">{manifest.classes[1]}</span>" in answer.read().decode()

    until = time.monotonic() + 20
    while not shows_the_name():
        assert time.monotonic() < until, site.log("page")
        time.sleep(0.1)
