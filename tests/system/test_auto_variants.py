"""Boards that choose their variants by themselves, on a real Mosquitto."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.command_line import error_line, run_vp
from tests.support.site import SITE, Site
from tests.support.tiny import write_bundle
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


def push(site: Site, *arguments: str) -> str:
    code, said, errors = run_vp("push", *arguments, "--broker", site.url, "--site", SITE)
    assert code == 0, errors
    return said


def bundles_of(site: Site) -> set[str | None]:
    return {status.bundle for status in newest(site).values() if status.variant is not None}


def test_boards_choose_anew_when_the_site_runs_another_family(site: Site, tmp_path: Path) -> None:
    small = write_bundle(tmp_path / "small", "small", (16, 24, 32))
    large = write_bundle(tmp_path / "large", "large", (16, 24, 32, 40, 48, 56))
    push(site, str(small))
    for name in BOARDS[:4]:
        cache = {"VP_BUNDLE_CACHE": str(tmp_path / name)}
        site.start(name, "node", "--variant", "auto", environment=cache)
    probe = site.probe
    probe.until(lambda: len(running(site)) == 3 and len(spares(site)) == 1, "three variants and a spare", 60)
    before = running(site)
    assert "not running it" not in push(site, str(large))
    probe.until(lambda: len(running(site)) == 4 and bundles_of(site) == {"large"}, "four of the new family", 60)
    after = running(site)
    assert sorted(after.values()) == [2, 3, 4, 5], "those that are worth most"
    (kept,) = (name for name, variant in before.items() if variant == 2)
    assert after[kept] == 2
    # Nobody waits for a board that has nothing to do in the family.
    assert "3 of 3 boards that follow the site run it now" in push(site, "--rollback")
    probe.until(lambda: len(running(site)) == 3 and bundles_of(site) == {"small"}, "three of the former family", 60)
    assert sorted(running(site).values()) == [0, 1, 2]
    assert len(spares(site)) == 1
    (spare,) = (newest(site)[name] for name in spares(site))
    assert (spare.variant, spare.bundle, spare.digest, spare.problem) == (None, None, None, None)


def test_the_account_of_a_provisioned_board_is_refused() -> None:
    reported = error_line(run_vp("node", "--variant", "auto", "--username", "variant-3"))
    assert "may vote as this variant only" in reported
