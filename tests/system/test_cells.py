"""A head office and two cells, from their provisioned folders: what travels, and what a link that breaks does."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.head_office import HeadOffice
from tests.support.labels import label, state_message
from tests.support.provisioned import Client, until
from tests.unit.overview.test_site_overview import status
from vp_mqtt.protocol.bundle_pointer import BundlePointer
from vp_mqtt.protocol.messages import StatsMessage
from vp_mqtt.site.head_provision import head_folder


@contextmanager
def alive(office: HeadOffice, cell: str) -> Iterator[Client]:
    """Run what stands for the fusion node of a cell: its status, and its stats all the time."""
    client = office.at_cell(cell, "fusion")
    client.may_publish(f"vp/{cell}/node/fusion/status", status("fusion", stats_every_s=0.5).encode(), retain=True)
    done = threading.Event()

    def talk() -> None:
        uptime = 0.0
        while not done.wait(0.2):
            uptime += 0.2
            stats = StatsMessage(node="fusion", uptime_s=round(uptime, 1), counts={"labels": round(uptime * 5)})
            client.may_publish(f"vp/{cell}/node/fusion/stats", stats.encode())

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield client
    finally:
        done.set()
        thread.join()


def cells(office: HeadOffice) -> dict[str, str]:
    """Return the state of each cell, as `vp site cells` shows it."""
    done = office.vp("site", "cells", "--wait", "4", "--json")
    assert done.stdout, done.stderr
    return {cell["cell"]: cell["state"] for cell in json.loads(done.stdout)["cells"]}


def test_states_travel_up_a_cut_link_shows_and_what_changed_meanwhile_catches_up() -> None:
    with HeadOffice() as office:
        office.provision()
        install = office.root / "cells" / "north" / "bridge" / "install.sh"
        assert subprocess.run(["sh", "-n", install], check=False).returncode == 0
        for broker in ("head", "north", "south"):
            office.start_broker(broker)
        head = office.at_head("watch")
        head.subscribe("vp/#")
        for cell in ("north", "south"):
            office.start_bridge(cell)
        until(lambda: head.received.count(("vp/south/link", b"1")), "south's link is up")
        with alive(office, "north") as north, alive(office, "south"):
            camera, variant = office.at_cell("north", "camera-door"), office.at_cell("north", "variant-0")
            at_site = office.at_cell("north", "operator")
            at_site.subscribe("vp/north/#")
            topic = "vp/north/camera/door"
            assert camera.may_publish(f"{topic}/frame")
            assert variant.may_publish(f"{topic}/vote/0")
            assert north.may_publish(f"{topic}/state", state_message("Coat").encode(), retain=True)
            assert north.may_publish(f"{topic}/label", label("Coat", camera="door").encode())
            until(lambda: {f"{topic}/state", f"{topic}/label"} <= head.topics(), "what travels")
            until(lambda: "vp/south/node/fusion/stats" in head.topics(), "the other cell's stats")
            assert not {f"{topic}/frame", f"{topic}/vote/0"} & head.topics()
            # A cell cannot speak for another one.
            thief = office.at_head("south")
            assert not thief.may_publish(f"{topic}/state")
            assert thief.may_publish("vp/south/link", b"1", retain=True)

            office.links["north"].cut()
            until(lambda: ("vp/north/link", b"0") in head.received, "the link is down")
            for number in range(200):
                north.may_publish(f"{topic}/label", label(f"{number}", camera="door").encode())
            assert north.may_publish(f"{topic}/state", state_message("Bag").encode(), retain=True)
            until(lambda: len(at_site.labels()) == 201, "every label at the site")
            assert cells(office) == {"north": "cut off", "south": "online"}

            office.links["north"].restore()
            until(lambda: (f"{topic}/state", state_message("Bag").encode()) in head.received, "the new state")
            until(lambda: head.received[-1][0] != f"{topic}/state", "stats again")
            # Labels of meanwhile are not sent again: they are about the past.
            assert len(head.labels()) == 1

            bundles_reach_their_cell_only(office, board=variant)


def bundles_reach_their_cell_only(office: HeadOffice, board: Client) -> None:
    """Push a bundle to the cell "north" at the head office's broker."""
    elsewhere = office.at_cell("south", "variant-0")
    for client, cell in ((board, "north"), (elsewhere, "south")):
        client.subscribe(f"vp/{cell}/bundle/#")
    done = office.vp(
        *("push", str(office.bundle), "--site", "north", "--config", "operator.toml", "--json"),
        *("--sign", str(office.folder / "key"), "--chunk-bytes", "2000", "--ready-within", "0", "--taken-within", "0"),
        folder=head_folder(office.root) / "people" / "operator",
    )
    assert done.returncode == 0, done.stderr
    pushed = json.loads(done.stdout)
    until(lambda: len(chunks_of(board, pushed["digest"])) == pushed["chunks"], "every chunk at the cell")

    def current() -> str | None:
        pointers = [payload for topic, payload in list(board.received) if topic == "vp/north/bundle/current"]
        ref = BundlePointer.decode(pointers[-1]).current if pointers else None
        return None if ref is None else ref.digest

    until(lambda: current() == pushed["digest"], "the switch at the cell")
    assert elsewhere.topics() == set()


def chunks_of(board: Client, digest: str) -> set[str]:
    return {topic for topic in board.topics() if topic.startswith(f"vp/north/bundle/{digest}/")}
