"""`vp broker check` on real brokers: what it finds, and that it leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.command_line import error_line, run_vp
from tests.support.site import Probe
from tests.unit.mqtt.test_diagnosis import mqtt_3, serving
from vp_mqtt.local.broker import LocalBroker
from vp_mqtt.local.mosquitto import find_mosquitto, mosquitto_version
from vp_mqtt.local.ports import free_port

RETAIN_WITHIN_S = 20


def check(url: str, *options: str) -> tuple[int, dict[str, str]]:
    code, out, err = run_vp("broker", "check", url, "--json", *options)
    assert err == ""
    return code, {key: one["outcome"] for key, one in json.loads(out)["features"].items()}


def retained(broker: Mosquitto) -> set[str]:
    """Return the topics of what the broker retains."""
    probe = Probe(broker.port)
    probe.client.subscribe("#")
    probe.publish("end", b"")
    probe.until(lambda: any(one.topic == "end" for one in probe.received), "the end of what is retained")
    probe.close()
    return {one.topic for one in probe.received} - {"end"}


def test_mosquitto_has_everything_and_keeps_nothing_of_the_trial(broker: Mosquitto) -> None:
    code, found = check(broker.url)
    assert code == 0
    version = tuple(map(int, mosquitto_version(find_mosquitto() or Path()).split(".")))
    # Mosquitto tells of a take-over from 2.0.15 on.
    assert {key for key, outcome in found.items() if outcome != "yes"} <= {"takeover"}, found
    assert found["takeover"] == ("yes" if version >= (2, 0, 15) else "no")
    assert retained(broker) == set()


def test_a_trial_that_is_ended_clears_what_it_had_retained(broker: Mosquitto) -> None:
    probe = Probe(broker.port)
    probe.client.subscribe("vp-check/#")
    running = subprocess.Popen([sys.executable, "-m", "vp_mqtt", "broker", "check", broker.url], stdout=subprocess.PIPE)
    probe.until(lambda: any(one.topic.endswith("/expiry") for one in probe.received), "a retained message")
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=RETAIN_WITHIN_S)
    probe.close()
    assert running.returncode == -signal.SIGTERM
    assert out == b""
    assert retained(broker) == set()


def test_what_the_embedded_broker_lacks_is_replaced() -> None:
    with LocalBroker.find("embedded") as broker:
        code, found = check(broker.url)
    assert code == 0
    lacks = {"retain_handling", "client_limit", "takeover", "receive_maximum", "retain_as_published", "no_local"}
    # `$share`: some messages may come twice.
    assert {key for key, outcome in found.items() if outcome != "yes"} - {"shared"} == lacks


@pytest.mark.parametrize(
    ("rights", "code", "outcome"),
    [
        ("topic read vp/home/camera/+/label", 1, "not tried"),
        ("topic read vp/home/#\ntopic write vp/home/bundle/#", 0, "yes"),
    ],
    ids=["watch", "operator"],
)
def test_an_account_tries_what_it_may(rights: str, code: int, outcome: str) -> None:
    with Mosquitto() as broker:
        rules = broker.folder / "access"
        rules.write_text(f"{rights}\n")
        rules.chmod(0o644)
        with Mosquitto(f"acl_file {rules}") as limited:
            found_code, found = check(limited.url, "--site", "home")
    assert found_code == code
    assert {found[key] for key in ("qos_1", "retained", "retained_wildcard", "will", "frame", "shared")} == {outcome}
    assert found["mqtt_5"] == "yes"


def test_a_broker_without_mqtt_5_gets_one_line() -> None:
    with serving(mqtt_3) as port:
        code, out, _ = run_vp("broker", "check", f"127.0.0.1:{port}")
    assert code == 1
    assert out.count("\n") == 1
    assert "does not speak MQTT 5" in out


def test_a_broker_that_is_not_there_or_a_wrong_address_is_an_error() -> None:
    options = ("--give-up-after", "0.1", "--log-level", "error")
    nowhere = run_vp("broker", "check", f"mqtt://127.0.0.1:{free_port()}", *options)
    assert "nothing listens" in error_line(nowhere)
    assert "is not a broker's address" in error_line(run_vp("broker", "check", "http://127.0.0.1"))
