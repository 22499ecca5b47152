"""Boards that choose their variants by themselves, on a real Mosquitto."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.command_line import error_line, run_vp
from tests.support.site import Site
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import StatusMessage
from vp_mqtt.protocol.topics import Kind

BOARDS = [f"pi-{number}" for number in range(7)]


def start(site: Site, name: str, folder: Path) -> None:
    cache = {"VP_BUNDLE_CACHE": str(folder / name)}
    site.start(name, "node", "--variant", "auto", "--bundle", str(site.bundle), environment=cache)


def newest(site: Site) -> dict[str, StatusMessage]:
    statuses = (StatusMessage.decode(message.payload) for message in site.probe.of(Kind.STATUS))
    return {status.node: status for status in statuses if status.role == "variant"}


def running(site: Site) -> dict[str, int]:
    """Return which variant each board runs."""
    online = {name: status.variant for name, status in newest(site).items() if status.state == "online"}
    return {name: variant for name, variant in online.items() if variant is not None}


def spares(site: Site) -> set[str]:
    return {name for name, status in newest(site).items() if status.is_spare and status.state == "online"}


def test_boards_share_the_variants_out_and_a_spare_takes_over(site: Site, tmp_path: Path) -> None:
    site.start_fusion()
    for name in BOARDS:
        start(site, name, tmp_path)
    probe = site.probe
    probe.until(lambda: len(running(site)) == 6 and len(spares(site)) == 1, "six variants and a spare", 60)
    before, (spare,) = running(site), spares(site)
    assert sorted(before.values()) == [0, 1, 2, 3, 4, 5]
    # None of them was ever run by two boards.
    voted = FrameId(3, 0)
    site.await_log("fusion", " is online", 20, times=6)
    probe.publish_frame(voted, "red")
    assert probe.label_of(voted).label == "red"
    assert "several boards" not in site.log("fusion")

    first, second = (name for name in before if name != spare and before[name] in {2, 3})
    for name in (first, second):
        site.signal(name, signal.SIGKILL)
    probe.until(lambda: spare in running(site), "the spare takes over", 30)
    taken = running(site)[spare]
    assert taken in {before[first], before[second]}
    assert {name: running(site)[name] for name in before if name not in {first, second}} == {
        name: variant for name, variant in before.items() if name not in {first, second}
    }

    # A restarted board has its former variant again if nobody has taken it, or waits.
    back, late = (first, second) if before[second] == taken else (second, first)
    start(site, back, tmp_path)
    probe.until(lambda: running(site).get(back) == before[back], "its former variant is free", 40)
    start(site, late, tmp_path)
    site.await_log(late, "waiting as a spare", 40, times=1)
    probe.until(lambda: spares(site) == {late}, "it waits as a spare")
    kept = {name: variant for name, variant in before.items() if name != late}
    assert running(site) == kept | {spare: taken}


def test_the_account_of_a_provisioned_board_is_refused() -> None:
    reported = error_line(run_vp("node", "--variant", "auto", "--username", "variant-3"))
    assert "may vote as this variant only" in reported
