"""The site's retained settings: valid ones are in force, others change nothing, and the status says which."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.statuses import status_of
from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.live_settings import LiveSettings, live_camera_settings, live_fusion_settings
from vp_mqtt.config.loading import load
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.protocol.messages import MessageError, StatusMessage
from vp_mqtt.protocol.settings_values import MotionValues, SettingsInForce, StateValues
from vp_mqtt.protocol.site_settings import MAX_SETTINGS_BYTES

STATE = {"labels": 4, "window": 9, "hysteresis": 1, "dwell": 0.5, "timeout": 60}
MOTION = {"gate": True, "threshold": 20, "area": 1.5, "hold": 3, "heartbeat": 10, "region": [0.1, 0.1, 0.9, 0.9]}
SHARE = st.floats(0, 1)
WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*STATE, *MOTION, "a", "a.b"]), inner),
    max_leaves=8,
)
EDGES = st.tuples(SHARE, SHARE, SHARE, SHARE).map(list)
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "format": st.just(1) | WILD,
        "version": st.integers(-1, 2**54) | WILD,
        "changed": st.floats(0, 1e10) | WILD,
        "unknown": st.sampled_from(["auto", "off"]) | SHARE | WILD,
        "state": st.fixed_dictionaries({name: st.integers(0, 9) for name in STATE}) | WILD,
        "regions": st.dictionaries(st.sampled_from(["door", "a.b", "", "x" * 62]), EDGES | WILD, max_size=3) | WILD,
        "motion": st.fixed_dictionaries(
            {"gate": st.booleans(), "region": EDGES}
            | {name: st.floats(0, 300) for name in ("threshold", "area", "hold", "heartbeat")}
        )
        | WILD,
    },
)
PAYLOADS = (
    st.binary(max_size=60)
    | CONTENTS.map(lambda content: json.dumps(content).encode())
    | CONTENTS.map(lambda content: json.dumps({"version": 1, "changed": 1.0} | content).encode())
)


def fusion(**flags: object) -> LiveSettings[FusionSettings]:
    return live_fusion_settings(load(FusionSettings, flags))


def camera(**flags: object) -> LiveSettings[CameraSettings]:
    return live_camera_settings(load(CameraSettings, flags))


def message(version: int = 3, **content: Any) -> bytes:
    return json.dumps({"format": 1, "version": version, "changed": 1795440143.614, **content}).encode()


def as_read(in_force: SettingsInForce) -> SettingsInForce | None:
    """Return what a reader of the node's status gets."""
    return StatusMessage.decode(status_of("n", "x", settings=in_force).encode()).settings


@settings(max_examples=40, deadline=None)
@given(st.lists(PAYLOADS, max_size=3))
def test_whatever_arrives_what_is_in_force_is_valid_and_what_is_refused_changes_nothing(payloads: list[bytes]) -> None:
    for live in (fusion(), camera(region="left=0,0,0.5,1", motion_gate="true")):
        for payload in payloads:
            before, said = live.now, live.in_force
            reason = None
            try:
                assert live.take(payload) == (live.now != before)
            except MessageError as error:
                reason = str(error)
            assert live.in_force.refused == reason
            if reason is not None:
                assert live.now == before
                assert live.in_force == said.model_copy(update={"refused": reason})
            assert as_read(live.in_force) == live.in_force
            # As flags they would be valid, too.
            type(live.now).model_validate({name: getattr(live.now, name) for name in type(live.now).model_fields})


@settings(max_examples=25, deadline=None)
@given(st.lists(PAYLOADS, max_size=3))
def test_without_settings_of_the_site_the_nodes_own_are_in_force(payloads: list[bytes]) -> None:
    live = fusion(unknown="0.25")
    own = live.now
    for payload in payloads:
        try:
            live.take(payload)
        except MessageError:
            continue
    live.take(b"")
    assert live.now == own
    assert live.in_force == SettingsInForce(unknown=0.25, state=live.in_force.state)


def test_what_the_site_says_is_in_force_and_the_rest_is_the_nodes_own() -> None:
    live = fusion(state_dwell="7", deadline_ms="123")
    assert live.take(message(unknown=0.5))
    assert (live.now.unknown, live.now.state_dwell, live.now.deadline_ms) == (0.5, 7.0, 123.0)
    assert live.take(message(4, state=STATE))
    assert (live.now.unknown, live.now.state_window, live.now.state_dwell) == ("auto", 9, 0.5)
    assert (live.in_force.version, live.in_force.state) == (4, StateValues.model_validate(STATE))
    assert not live.take(message(5, state=STATE)), "the same ones again"
    assert live.in_force.version == 5


def test_regions_and_the_motion_gate_of_a_camera() -> None:
    live = camera(region="left=0,0,0.5,1", camera="yard")
    motion = MotionValues.model_validate_json(json.dumps(MOTION))
    assert live.take(message(regions={"door": [0.1, 0.2, 0.4, 0.9]}, motion=MOTION))
    assert live.now.cameras() == ("yard.door",)
    assert (live.now.motion_gate, live.now.heartbeat, live.now.motion_region.left) == (True, 10.0, 0.1)
    assert live.in_force == SettingsInForce(version=3, regions={"door": (0.1, 0.2, 0.4, 0.9)}, motion=motion)
    assert live.take(message(4, regions={}))
    assert live.now.cameras() == ("yard",)
    assert not live.now.motion_gate
    assert live.in_force.regions == {}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "message: not valid JSON"),
        (b" " * (MAX_SETTINGS_BYTES + 1), "too large"),
        (message(0), "version: must be at least 1"),
        (message(format=2), "format: must be 1"),
        (message(motion=MOTION | {"threshold": 0.5}), "motion.threshold: must be at least 1"),
        (
            message(motion=MOTION | {"region": [0.1, 0.1, 0.105, 0.9]}),
            "motion.region: right and lower edge must lie beyond",
        ),
        (message(regions={"a.b": [0, 0, 1, 1]}), "regions: its name must have 1 to 62 characters"),
        (message(regions={f"r{n}": [0, 0, 1, 1] for n in range(33)}), "regions: must have at most 32 items"),
        (message(regions={"x" * 61: [0, 0, 1, 1]}), "is too long for a camera's name"),
    ],
)
def test_why_settings_are_refused_is_said_until_valid_ones_come(payload: bytes, reason: str) -> None:
    live = camera()
    with pytest.raises(MessageError, match=reason):
        live.take(payload)
    assert reason in (live.in_force.refused or "")
    assert live.in_force.version is None
    live.take(message(9, motion=MOTION))
    after = live.in_force
    assert (after.version, after.refused) == (9, None)


def test_contradictions_of_the_states_rules_are_refused() -> None:
    for wrong in ({"window": 4}, {"dwell": 61}, {"labels": 0}):
        with pytest.raises(MessageError):
            fusion().take(message(state=STATE | wrong))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unknown": 1e308}, "unknown: must be 'auto' or 'off', or at most 1"),
        ({"unknown": -1}, "unknown: must be 'auto' or 'off', or at least 0"),
        ({"unknown": float("nan")}, "unknown: must be 'auto' or 'off', or a finite number"),
        ({"unknown": "sometimes"}, "unknown: must be 'auto' or 'off', or a number"),
        (
            {"state": STATE | {"labels": 9, "hysteresis": 1}},
            "state: labels and hysteresis together exceed the window: no state could end",
        ),
        ({"state": STATE | {"dwell": "a moment"}}, "state.dwell: must be a number"),
    ],
)
def test_a_refusal_is_in_words_that_tell_what_to_write(changes: dict[str, Any], reason: str) -> None:
    live = fusion()
    with pytest.raises(MessageError):
        live.take(message(**changes))
    assert live.in_force.refused == reason


def limits(model: Any, name: str) -> dict[str, Any]:
    schema = model.model_json_schema()["properties"][name]
    return {key: schema[key] for key in ("minimum", "maximum", "exclusiveMinimum") if key in schema}


def test_what_the_site_may_set_is_what_a_flag_may() -> None:
    for name in StateValues.model_fields:
        assert limits(StateValues, name) == limits(FusionSettings, f"state_{name}")
    for name in ("threshold", "area", "hold"):
        assert limits(MotionValues, name) == limits(CameraSettings, f"motion_{name}")
    assert limits(MotionValues, "heartbeat") == limits(CameraSettings, "heartbeat")
