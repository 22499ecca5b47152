"""What people type into the settings' forms: what passes is what a node takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.live_settings import live_camera_settings, live_fusion_settings
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.errors import UserError
from vp_mqtt.web.tuning.forms import camera_settings, fusion_settings

FUSION = {"unknown": "score", "score": "0,6", "labels": "3", "window": "5", "hysteresis": "2", "dwell": "0.5"}
FUSION |= {"timeout": "30"}
CAMERA = {"gate": "1", "threshold": "12", "area": "0.5", "hold": "2", "heartbeat": "4", "motion_region": "0,0,1,0.5"}
CAMERA |= {"region-0": "door", "left-0": "10", "top-0": "20.5", "right-0": "45", "bottom-0": "90", "region-1": " "}
REGION = {"left": "10.25", "top": "20", "right": "45", "bottom": "90"}
TEXTS = st.sampled_from(["", "0", "1", "-1", "0.5", "1e999", "nan", "99", "100", "door", "a.b", "x" * 70]) | st.text(
    max_size=8
)


def test_forms_say_what_they_say() -> None:
    found = fusion_settings(FUSION)
    assert found.unknown == 0.6
    assert found.state is not None
    assert (found.state.labels, found.state.dwell) == (3, 0.5)
    assert fusion_settings({"unknown": "off"}).state is None
    camera = camera_settings(CAMERA)
    assert camera.regions == {"door": (0.1, 0.205, 0.45, 0.9)}
    assert camera.motion is not None
    assert (camera.motion.gate, camera.motion.region) == (True, (0, 0, 1, 0.5))
    assert (
        camera_settings({name: text for name, text in CAMERA.items() if name not in {"gate", "region-0"}}).regions == {}
    )


@given(st.dictionaries(st.sampled_from([*FUSION, *CAMERA]), TEXTS))
def test_what_a_form_accepts_a_node_takes(changed: dict[str, str]) -> None:
    for given_form, read, live in (
        (FUSION, fusion_settings, live_fusion_settings(FusionSettings())),
        (CAMERA, camera_settings, live_camera_settings(CameraSettings())),
    ):
        try:
            message = read(given_form | changed)
        except UserError:
            continue
        live.take(message.encode())
        assert live.in_force.refused is None


@pytest.mark.parametrize(
    ("read", "form", "changed", "says"),
    [
        (fusion_settings, FUSION, {"score": "1.5"}, "score: write a number from 0 to 1"),
        (fusion_settings, FUSION, {"score": "1e308"}, "score: write a number from 0 to 1"),
        (fusion_settings, FUSION, {"score": "\u0660.\u0665"}, "score: write a number"),
        (fusion_settings, FUSION, {"labels": "1_0"}, "labels: write a number"),
        (fusion_settings, FUSION, {"labels": "\uff13"}, "labels: write a number"),
        (fusion_settings, FUSION, {"score": "much"}, "score: write a number"),
        (fusion_settings, FUSION, {"labels": "2.5"}, "labels: write a whole number"),
        (fusion_settings, FUSION, {"labels": "4"}, "are together more than the last labels: no state could end"),
        (
            fusion_settings,
            FUSION,
            {"dwell": "80000"},
            "the shortest time of a state is longer than the time after which",
        ),
        (camera_settings, CAMERA, {"region-1": "door"}, "two regions are called 'door'"),
        (camera_settings, CAMERA, {"right-0": "10.5"}, "regions.door: right and lower edge must lie beyond"),
        (camera_settings, CAMERA, {"bottom-0": ""}, "door, bottom: write a number"),
        (
            camera_settings,
            CAMERA,
            {"region-0": "front door"},
            "regions.front door: its name must have 1 to 62 characters",
        ),
        (camera_settings, CAMERA, {"heartbeat": "0.1"}, "motion.heartbeat: must be at least 0.5"),
    ],
)
def test_what_is_wrong_is_said(read: Any, form: dict[str, str], changed: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(form | changed)


@pytest.mark.parametrize("count", [33, 40, 200])
def test_too_many_regions_are_refused_whatever_their_number(count: int) -> None:
    edges = {f"{edge}-{n}": text for n in range(count) for edge, text in REGION.items()}
    with pytest.raises(UserError, match=r"^a camera has at most 32 regions: take some away$"):
        camera_settings(CAMERA | edges | {f"region-{n}": f"r{n}" for n in range(count)})


def test_regions_may_have_any_numbers() -> None:
    form = CAMERA | {f"{edge}-99": text for edge, text in REGION.items()} | {"region-99": "gate"}
    assert set(camera_settings(form).regions or ()) == {"door", "gate"}
