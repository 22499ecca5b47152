"""From the fields of a form to settings. What people type is checked here as strictly as what a node reads. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from vp_mqtt.errors import UserError
from vp_mqtt.files import error_lines
from vp_mqtt.protocol.messages import Message
from vp_mqtt.protocol.settings_values import MAX_REGIONS
from vp_mqtt.protocol.site_settings import CameraSettingsMessage, FusionSettingsMessage

EDGES = ("left", "top", "right", "bottom")
COUNTS = ("labels", "window", "hysteresis")
SECONDS = ("dwell", "timeout")
MOTION = ("threshold", "area", "hold", "heartbeat")
_PERCENT = 100
_DIGITS = 4
_MAX_LETTERS = 40
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_ROW = "region-"
_MessageT = TypeVar("_MessageT", bound=Message)

# What the nodes call by the names of their settings, in the words of the form.
_ON_THE_PAGE = {
    "state: labels and hysteresis together exceed the window: no state could end": (
        "the labels that must agree and those more to leave a state are together more than the last labels: "
        "no state could end"
    ),
    "state: the dwell exceeds the time-out": (
        "the shortest time of a state is longer than the time after which it is unknown if no label agrees"
    ),
}


def fusion_settings(form: Mapping[str, str]) -> FusionSettingsMessage:
    """Return the settings of the fusion nodes that a form holds; version and time are to be set.

    Raises:
        UserError: they are none; the text says what is wrong.
    """
    mode = form.get("unknown", "auto")
    values: dict[str, object] = {"unknown": _score(form) if mode == "score" else mode}
    if "labels" in form:
        counts = {name: _whole(form, name) for name in COUNTS}
        values["state"] = counts | {name: _number(form, name) for name in SECONDS}
    return _checked(FusionSettingsMessage, values)


def camera_settings(form: Mapping[str, str]) -> CameraSettingsMessage:
    """Return the settings of a camera node that a form holds; version and time are to be set.

    Raises:
        UserError: they are none; the text says what is wrong.
    """
    regions: dict[str, tuple[float, ...]] = {}
    named = {key.removeprefix(_ROW): name.strip() for key, name in form.items() if key.startswith(_ROW)}
    if sum(map(bool, named.values())) > MAX_REGIONS:
        raise UserError(f"a camera has at most {MAX_REGIONS} regions: take some away")
    for number, name in named.items():
        if not name:
            continue
        if name in regions:
            raise UserError(f"two regions are called '{name}': give each its own name")
        edges = (_number(form, f"{edge}-{number}", f"{name}, {edge}") for edge in EDGES)
        regions[name] = tuple(round(edge / _PERCENT, _DIGITS) for edge in edges)
    motion: dict[str, object] = {name: _number(form, name) for name in MOTION}
    looks_at = [_as_number(part) for part in form.get("motion_region", "0,0,1,1").split(",")]
    motion |= {"gate": "gate" in form, "region": looks_at}
    return _checked(CameraSettingsMessage, {"regions": regions, "motion": motion})


def _checked(model: type[_MessageT], values: dict[str, object]) -> _MessageT:
    try:
        # As JSON is read: lists are tuples there.
        return model.model_validate({"version": 1, "changed": 0.0, **values}, strict=False)
    except ValidationError as error:
        raise UserError("; ".join(_ON_THE_PAGE.get(line, line) for line in error_lines(error))) from None


def _number(form: Mapping[str, str], name: str, called: str = "") -> float:
    found = _as_number(form.get(name, ""))
    if found is None:
        raise UserError(f"{called or name}: write a number")
    return found


def _score(form: Mapping[str, str]) -> float:
    found = _number(form, "score")
    if not 0 <= found <= 1:
        raise UserError("score: write a number from 0 to 1")
    return found


def _whole(form: Mapping[str, str], name: str) -> int:
    found = _number(form, name)
    if not found.is_integer():
        raise UserError(f"{name}: write a whole number")
    return int(found)


def _as_number(text: str) -> float | None:
    found = text.strip().replace(",", ".")
    # `float` takes digits of all scripts, and underscores, too.
    if len(found) > _MAX_LETTERS or _NUMBER.fullmatch(found) is None:
        return None
    number = float(found)
    return number if math.isfinite(number) else None
