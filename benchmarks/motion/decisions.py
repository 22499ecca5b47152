"""How often the gate's detector takes noise for motion and misses what moves, beside OpenCV's MOG2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from benchmarks.motion.scenes import Sensor, with_object
from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.inference.pictures import GreyPicture, Picture, decode_grey, shrink_grey
from vp_mqtt.motion.change import ChangeDetector

_SIDE = 48
_WARM_UP = 30
_HEARTBEAT_FRAMES = 40
SIDES = (0.05, 0.08, 0.1, 0.15, 0.2)
"""Of things that come before the camera, as shares of the picture's sides."""


@dataclass(frozen=True)
class Disturbance:
    """What changes in a still scene.

    Attributes:
        text: for people.
        noise: of the sensor, in grey levels.
        quality: of the JPEGs.
        light: the light in the frame with this number.
        flicker: amplitude of the light's change from row to row, which moves.
    """

    text: str
    noise: float = 4.0
    quality: int = 85
    light: Callable[[int], float] = lambda _: 1.0
    flicker: float = 0.0

    def frames(self, scene: Picture, count: int) -> list[GreyPicture]:
        """Return so many frames of a scene, small and grey, as the gate gets them."""
        sensor = Sensor(self.noise, self.quality)
        rows = np.arange(scene.shape[0], dtype=np.float32)[:, np.newaxis, np.newaxis] / scene.shape[0]
        found = []
        for number in range(count):
            bands = 1 + self.flicker * np.sin(2 * np.pi * (3 * rows + 0.37 * number))
            found.append(_grey(sensor.picture(scene, (bands * self.light(number)).astype(np.float32))))
        return found


DISTURBANCES = (
    Disturbance("no noise, JPEG 90", noise=0, quality=90),
    Disturbance("noise 4, JPEG 85"),
    Disturbance("noise 15, JPEG 50", noise=15, quality=50),
    Disturbance("noise 25, JPEG 30", noise=25, quality=30),
    Disturbance("noise 8, JPEG 10", noise=8, quality=10),
    Disturbance("light fades by 3 % a second", light=lambda n: 1 - 0.003 * n),
    Disturbance("exposure flickers by 5 %", light=lambda n: 1 + 0.05 * np.sin(2.1 * n)),
    Disturbance("exposure flickers by 10 %", light=lambda n: 1 + 0.1 * np.sin(2.1 * n)),
    Disturbance("a lamp flickers in bands by 5 %", flicker=0.05),
    Disturbance("a lamp flickers in bands by 10 %", flicker=0.1),
)


class Mog2:
    """OpenCV's mixture of Gaussians, with its own settings; frames before the first decision teach it."""

    def __init__(self, area: float) -> None:
        """Start: a frame moves if more than this share of its pixels is foreground."""
        self._area = area
        self._model = cv2.createBackgroundSubtractorMOG2(detectShadows=False)

    def keep(self, picture: GreyPicture) -> None:
        """Do nothing: every frame has taught it."""

    def has_changed(self, picture: GreyPicture) -> bool:
        """Return whether something moves."""
        return bool(np.count_nonzero(self._model.apply(picture)) >= self._area * picture.size)


def _grey(jpeg: bytes) -> GreyPicture:
    return shrink_grey(decode_grey(jpeg, _SIDE), _SIDE)


def detectors(settings: CameraSettings) -> Mapping[str, Callable[[], ChangeDetector | Mog2]]:
    """Return what is compared: the gate's detector and MOG2, with the same least area."""
    area = settings.motion_area / 100
    return {
        "difference": lambda: ChangeDetector(threshold=settings.motion_threshold, area=area),
        "mog2": lambda: Mog2(area),
    }


def measure_decisions(
    scenes: Sequence[Picture], things: Sequence[Picture], frames: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """Return the shares of still frames taken for motion, and of things that are noticed in their first frame.

    Args:
        scenes: what cameras look at.
        things: what comes before them, each before every scene.
        frames: of each scene under each disturbance.
        report: called with a line about each step.
    """
    compared = detectors(CameraSettings())
    still = []
    for disturbance in DISTURBANCES:
        report(disturbance.text)
        shots = [disturbance.frames(scene, _WARM_UP + frames) for scene in scenes]
        shares = {name: _false_share(make, shots) for name, make in compared.items()}
        still.append({"what": disturbance.text, **shares})
    report("things that come")
    return {"still": still, "noticed": [_noticed(compared, scenes, things, side) for side in SIDES]}


def _false_share(make: Callable[[], ChangeDetector | Mog2], shots: Sequence[Sequence[GreyPicture]]) -> float:
    false = total = 0
    for shot in shots:
        detector = make()
        for number, frame in enumerate(shot):
            has_changed = detector.has_changed(frame)
            # As the gate does: what is published is the next reference.
            if has_changed or number % _HEARTBEAT_FRAMES == 0 or number < _WARM_UP:
                detector.keep(frame)
            if number >= _WARM_UP:
                total += 1
                false += has_changed
    return round(false / total, 4)


def _noticed(
    compared: Mapping[str, Callable[[], ChangeDetector | Mog2]],
    scenes: Sequence[Picture],
    things: Sequence[Picture],
    side: float,
) -> dict[str, Any]:
    random, sensor = np.random.default_rng(2), Sensor(4.0, 85)
    found = dict.fromkeys(compared, 0)
    for scene in scenes:
        before = [_grey(sensor.picture(scene)) for _ in range(_WARM_UP)]
        for thing in things:
            after = _grey(sensor.picture(with_object(scene, thing, side, random)))
            for name, make in compared.items():
                detector = make()
                for frame in before:
                    detector.has_changed(frame)
                    detector.keep(frame)
                found[name] += detector.has_changed(after)
    total = len(scenes) * len(things)
    return {"side": side, "count": total, **{name: round(count / total, 4) for name, count in found.items()}}
