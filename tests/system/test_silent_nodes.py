"""A board that lost power together with the broker: its retained status says online, and nothing is heard of it."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.command_line import run_vp
from tests.support.site import SITE, Probe, Site
from tests.support.statuses import status_of
from vp_mqtt.config.settings import VariantSettings
from vp_mqtt.protocol.messages import State, StatsMessage, StatusMessage
from vp_mqtt.protocol.topics import Topics
from vp_mqtt.site import board_checks, broker_checks
from vp_mqtt.site.finding import CheckError

DEAD = status_of("v7", variant=7, stats_every_s=0.3)


@contextmanager
def retained(broker: Mosquitto, status: StatusMessage) -> Iterator[None]:
    topic = Topics(SITE).status(status.node)
    publish = ["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-r", "-t", topic]
    subprocess.run([*publish, "-m", status.encode().decode()], check=True)
    yield
    subprocess.run([*publish, "-n"], check=True)


def settings(broker: Mosquitto) -> VariantSettings:
    return VariantSettings(broker=broker.url, site=SITE, name="v7", variant=7)


def test_site_status_without_a_site_file_shows_who_is_heard_and_who_is_silent(site: Site, broker: Mosquitto) -> None:
    site.start_all([0], "--stats-every", "0.3")
    with retained(broker, DEAD):
        code, out, err = run_vp("site", "status", "--broker", broker.url, "--site", SITE, "--wait", "4", "--json")
    report = json.loads(out)
    assert (code, err.count("warning")) == (1, 0)
    assert {node["node"]: node["state"] for node in report["nodes"]} == {
        "fusion": "online",
        "v0": "online",
        "v7": "silent",
    }
    assert "variant 7 ('v7') is silent" in report["problems"]
    assert "no camera node: start vp-camera" in report["problems"]


def test_a_short_look_does_not_call_a_node_online_that_it_has_not_heard(broker: Mosquitto) -> None:
    with retained(broker, DEAD.model_copy(update={"stats_every_s": 60.0})):
        code, out, _ = run_vp("site", "status", "--broker", broker.url, "--site", SITE, "--wait", "0.5", "--json")
    assert code == 1
    assert [node["state"] for node in json.loads(out)["nodes"]] == ["not heard yet"]


def test_two_machines_with_one_account_are_reported(broker: Mosquitto) -> None:
    topics, ended = Topics(SITE), threading.Event()
    publish = ["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-t"]

    def oust_each_other() -> None:
        for start in itertools.count():
            status = status_of("v7", variant=7, host=f"pi-{start % 2}", started=float(start), stats_every_s=0.3)
            subprocess.run([*publish, topics.status("v7"), "-m", status.encode().decode()], check=True)
            # Two processes, each with counters of its own.
            stats = StatsMessage(node="v7", uptime_s=10.0 + start, counts={"frames": 1000 * (start % 2) + 10 * start})
            subprocess.run([*publish, topics.stats("v7"), "-m", stats.encode().decode()], check=True)
            if ended.wait(0.5):
                return

    machines = threading.Thread(target=oust_each_other)
    machines.start()
    try:
        code, out, _ = run_vp("site", "status", "--broker", broker.url, "--site", SITE, "--wait", "4", "--json")
    finally:
        ended.set()
        machines.join()
    report = json.loads(out)
    assert code == 1
    assert (
        "variant node 'v7' is started again and again, on pi-0 and pi-1: each has its name and account; stop one"
        in report["problems"]
    )
    assert report["nodes"][0]["rate"] < 101


def test_the_doctor_does_not_take_a_retained_status_for_a_node_that_runs(broker: Mosquitto) -> None:
    with pytest.raises(CheckError, match="has no status at the broker"):
        broker_checks.status(settings(broker))
    with retained(broker, DEAD), pytest.raises(CheckError, match=r"nothing was heard of it for 3 s"):
        broker_checks.status(settings(broker))
    with retained(broker, DEAD):
        assert not broker_checks.is_online(settings(broker))
    gone = DEAD.model_copy(update={"state": State.OFFLINE})
    with retained(broker, gone), pytest.raises(CheckError, match="its status is 'offline'"):
        broker_checks.status(settings(broker))
    probe = Probe(broker.port)
    try:
        probe.publish(Topics(SITE).status("v7"), DEAD.encode())
    finally:
        probe.close()


def test_the_doctor_passes_on_what_the_node_itself_says_is_wrong(broker: Mosquitto) -> None:
    troubled = DEAD.model_copy(update={"problem": "no pictures from 0: no such device"})
    publish = ["mosquitto_pub", "-p", str(broker.port), "-t", Topics(SITE).stats("v7"), "--repeat", "20"]
    speaking = subprocess.Popen([*publish, "--repeat-delay", "0.1", "-m", "any"])
    with retained(broker, troubled), pytest.raises(CheckError, match="online, but says: no pictures from 0"):
        broker_checks.status(settings(broker))
    speaking.wait()


def test_stats_that_the_broker_has_kept_do_not_make_a_node_heard(broker: Mosquitto) -> None:
    topic = Topics(SITE).stats("v7")
    publish = ["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-r", "-t", topic]
    old = StatsMessage(node="v7", uptime_s=5.0, counts={}).encode().decode()
    subprocess.run([*publish, "-m", old], check=True)
    look = ["site", "status", "--broker", broker.url, "--site", SITE, "--wait", "3.5", "--json"]
    with retained(broker, DEAD):
        _, out, _ = run_vp(*look)
        with pytest.raises(CheckError, match="nothing was heard of it"):
            broker_checks.status(settings(broker))
    subprocess.run([*publish, "-n"], check=True)
    assert [(node["state"], node["rate"]) for node in json.loads(out)["nodes"]] == [("silent", None)]


def test_nobody_says_under_one_nodes_name_what_another_does(broker: Mosquitto) -> None:
    lie = Topics(SITE).status("v9")
    publish = ["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-r", "-t", lie]
    subprocess.run([*publish, "-m", DEAD.encode().decode()], check=True)
    look = ["site", "status", "--broker", broker.url, "--site", SITE, "--wait", "0.3", "--json"]
    _, out, _ = run_vp(*look)
    subprocess.run([*publish, "-n"], check=True)
    assert json.loads(out)["nodes"] == []


def test_the_doctor_hears_a_node_that_runs(site: Site, broker: Mosquitto) -> None:
    site.start_variant(0)
    site.await_online("v0")
    found = broker_checks.status(VariantSettings(broker=broker.url, site=SITE, name="v0", variant=0))
    assert found.startswith("online and heard, on ")


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=0\n", "vp-node@7.service is active"),
        ("LoadState=loaded\nActiveState=active\nNRestarts=3\n", "vp-node@7.service is active, restarted 3 times"),
        ("LoadState=loaded\nActiveState=active\nUnitFileState=disabled\n", CheckError),
        ("LoadState=not-found\nActiveState=inactive\n", None),
        ("LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nNRestarts=5\n", CheckError),
        ("LoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success\nNRestarts=0\n", CheckError),
    ],
)
def test_the_doctor_asks_systemd_for_the_service(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, verdict: str | type | None
) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\n[ \"$2\" = vp-node@7.service ] && printf '{answer}'\n".replace("\n'", "\\n'"))
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if verdict is CheckError:
        with pytest.raises(CheckError, match=r"vp-node@7\.service is (failed|inactive|active, but would not start)"):
            board_checks.service(settings(broker))
    else:
        found = board_checks.service(settings(broker))
        assert found is None if verdict is None else found is not None and found.startswith(str(verdict))


def test_a_machine_without_systemd_is_no_problem(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert board_checks.service(settings(broker)) is None


def test_names_and_texts_of_nodes_are_shown_whole_and_as_they_are(broker: Mosquitto) -> None:
    name = "variant-7-on-the-board-behind-the-barn-that-nobody-finds"
    status = DEAD.model_copy(update={"node": name, "host": "[/b]:smile:", "problem": "[red]\x1b[2J\nno :eyes:"})
    with retained(broker, status):
        code, out, err = run_vp("site", "status", "--broker", broker.url, "--site", SITE, "--wait", "0.2", COLUMNS="")
    assert (code, "Traceback" in err) == (1, False)
    assert f"{name}  [/b]:smile:" in out
    assert f"variant node '{name}': [red]?[2J?no :eyes:" in out.splitlines()
