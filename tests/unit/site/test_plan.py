from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.errors import UserError
from vp_mqtt.site.accounts import accounts
from vp_mqtt.site.plan import SitePlan, parse_plan
from vp_mqtt.site.problems import problems
from vp_mqtt.site.render import settings

PLAN = """
name = "home"
[broker]
host = "127.0.0.1"
state = "{state}"
[fusion]
board = "pi-0"
[[cameras]]
name = "cam0"
board = "pi-0"
[[boards]]
name = "pi-0"
variants = [0]
"""


def plan(state: str) -> SitePlan:
    return parse_plan(PLAN.format(state=state), "site.toml")


@pytest.mark.parametrize(
    "state",
    [
        *("/", "//", "/./.", "/etc/mosquitto", "/usr/local/x", "/var/lib", "/var/lib/", "/home/pi/", "/srv"),
        *("/data/../etc", "/var/lib/dpkg", "/var/lib/systemd", "/var/spool/cron", "/var/log/journal"),
        *("/home/pi/.ssh", "/srv/.x/mosquitto", "/libx32/a"),
    ],
)
def test_a_folder_of_the_system_is_not_given_to_the_broker(state: str) -> None:
    with pytest.raises(UserError, match=r"^site\.toml: broker\.state: .*belongs to the system: name a folder"):
        plan(state)


@pytest.mark.parametrize(
    "state",
    [
        *("/var/lib/mosquitto/", "/var/lib/vp-mqtt-2/x", "/mosquitto/data"),
        *("/srv/broker", "/srv/mosquitto", "/home/pi/mosquitto", "/data/x/y/"),
    ],
)
def test_the_broker_may_keep_its_data_in_a_folder_of_its_own(state: str) -> None:
    assert plan(state).broker.state == state


def with_camera(*lines: str) -> SitePlan:
    text = PLAN.format(state="/var/lib/mosquitto/")
    return parse_plan(text.replace('name = "cam0"', "\n".join(['name = "cam0"', *lines])), "site.toml")


def test_a_camera_has_regions_and_a_motion_gate_which_its_node_gets() -> None:
    found = with_camera(
        'regions = { door = [0.1, 0.2, 0.4, 0.9], bin = "0.5,0,1,1" }',
        "rotate = 90",
        "mirror = true",
        "motion_gate = true",
        "motion_threshold = 20",
        "motion_area = 1",
        "motion_region = [0, 0.5, 1, 1]",
        "motion_hold = 1.5",
        "heartbeat = 3",
    )
    assert found.cameras[0].names() == ("cam0.door", "cam0.bin")
    written = tomllib.loads(settings(found, accounts(found)[0], "tiny"))["camera"]
    node = CameraSettings(**written)
    assert node.cameras() == ("cam0.door", "cam0.bin")
    assert (node.rotate, node.mirror, node.motion_gate, node.motion_region.top) == (90, True, True, 0.5)
    assert (node.motion_threshold, node.motion_area, node.motion_hold, node.heartbeat) == (20, 1, 1.5, 3)
    for role in ("fusion", "variant"):
        account = next(account for account in accounts(found) if account.role == role)
        assert tomllib.loads(settings(found, account, "tiny"))[role]["cameras"] == ["cam0.door", "cam0.bin"]
    assert "motion_gate" not in settings(with_camera(), accounts(found)[0], "tiny")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("regions = { door = [0.1, 0.2, 0.4] }", "is not a rectangle"),
        ('regions = { "a.b" = [0, 0, 1, 1] }', "is not a region's name"),
        ("heartbeat = 3", "heartbeat: without effect unless motion_gate = true"),
        ("rotate = 45", "rotate"),
    ],
)
def test_what_a_camera_cannot_have_is_refused(line: str, reason: str) -> None:
    with pytest.raises(UserError, match=rf"site\.toml: cameras\[0\].*{reason}"):
        with_camera(line)


def test_the_accounts_reach_the_regions_and_no_more() -> None:
    found = accounts(with_camera("regions = { door = [0.1, 0.2, 0.4, 0.9] }"))
    rights = {account.name: {(right.access, right.topics) for right in account.rights} for account in found}
    door = "vp/home/camera/cam0.door"
    assert rights["camera-cam0"] == {
        ("write", f"{door}/frame"),
        ("write", f"{door}/announce"),
        ("read", f"{door}/label"),
        ("read", f"{door}/capture"),
        ("read", "vp/home/camera/cam0/capture"),
        ("write", "vp/home/camera/cam0/snapshot"),
        ("read", "vp/home/settings/camera/cam0"),
        ("read", "vp/home/node/+/status"),
        ("readwrite", "vp/home/node/camera-cam0/status"),
        ("readwrite", "vp/home/node/camera-cam0/stats"),
    }
    assert {("read", f"{door}/frame"), ("write", f"{door}/vote/0")} <= rights["variant-0"]
    assert {("read", f"{door}/announce"), ("write", f"{door}/label")} <= rights["fusion"]
    assert not any("camera/cam0/" in topic for name in ("variant-0", "fusion") for _, topic in rights[name])
    may_ask = {
        name for name, own in rights.items() if any("capture" in topic for access, topic in own if access == "write")
    }
    assert may_ask == {"operator"}


def test_a_region_and_a_camera_of_one_name_are_noticed(tmp_path: Path) -> None:
    text = (
        PLAN.format(state="/var/lib/mosquitto/")
        + '[[boards]]\nname = "pi-1"\n[[cameras]]\nname = "cam0.door"\nboard = "pi-1"\n'
    )
    plan = parse_plan(
        text.replace('name = "cam0"\n', 'name = "cam0"\nregions = { door = [0, 0, 1, 1] }\n'), "site.toml"
    )
    assert "two cameras are called 'cam0.door': give each its own name" in problems(plan, tmp_path)


def with_fusion(*lines: str) -> SitePlan:
    text = PLAN.format(state="/var/lib/mosquitto/").replace("[fusion]", "\n".join(["[fusion]", *lines]))
    return parse_plan(text, "site.toml")


def test_the_fusion_node_gets_what_the_plan_says_of_states_and_no_other_node() -> None:
    chosen = with_fusion("state_labels = 8", "state_window = 15", "state_dwell = 20")
    found = {a.role: tomllib.loads(settings(chosen, a, "tiny")) for a in accounts(chosen)}
    states = {name: value for name, value in found["fusion"]["fusion"].items() if name.startswith("state")}
    assert states == {"state_labels": 8, "state_window": 15, "state_dwell": 20.0}
    assert not any(name.startswith("state") for name in found["camera"]["fusion"])
    off = with_fusion("state = false")
    (fusion,) = [account for account in accounts(off) if account.role == "fusion"]
    assert tomllib.loads(settings(off, fusion, "tiny"))["fusion"]["state"] is False


@pytest.mark.parametrize("lines", [("state_labels = 5",), ("state_dwell = 100",), ("state_window = 0",)])
def test_states_that_could_never_change_are_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"^site\.toml: fusion"):
        with_fusion(*lines)
