"""What a fixed camera sees in a benchmark: real pictures one after the other, with all that makes labels flicker.

Objects of known classes come and go before a camera. Between them there is often something else: a picture of no class
of the family. What is there slides in, shakes, is lit unevenly, is blurred, or hidden for a while by what passes before
it, and every frame has its own noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vp_mqtt.inference.pictures import Picture
from vp_mqtt.training.datasets import Pictures

WIDTH, HEIGHT = 320, 240
FPS = 10
NOTHING_KNOWN = -1
"""As the true class: what is before the camera is of no class of the family."""

_MOVING_AFTER = 20  # frames that a motion gate still passes when the motion is over: `--motion-hold`


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame.

    Attributes:
        picture: shape (HEIGHT, WIDTH, 3), uint8, BGR.
        truth: index of the class before the camera, or `NOTHING_KNOWN`.
        is_moving: whether something moves, so that a motion gate lets the frame pass.
    """

    picture: Picture
    truth: int
    is_moving: bool


@dataclass(frozen=True, slots=True)
class _Scene:
    picture: Picture
    truth: int
    frames: int


def _scenes(pictures: Pictures, others: Sequence[Picture], objects: int, rng: np.random.Generator) -> Iterator[_Scene]:
    """Yield what is before the camera, one after the other: every class about as often as any other."""
    last = NOTHING_KNOWN
    for _ in range(objects):
        classes = np.unique(pictures.labels)
        truth = int(rng.choice(classes[classes != last]))
        index = int(rng.choice(np.flatnonzero(pictures.labels == truth)))
        yield _Scene(_sized(pictures.picture(index)), truth, int(rng.integers(20, 81)))
        last = truth
        if rng.random() < 0.6:  # noqa: PLR2004 (most objects are taken away, others take the place of the one before)
            yield _Scene(_sized(others[int(rng.integers(len(others)))]), NOTHING_KNOWN, int(rng.integers(10, 51)))


def _sized(picture: Picture) -> Picture:
    return np.asarray(cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def shots(pictures: Pictures, others: Sequence[Picture], *, objects: int, seed: int) -> Iterator[Shot]:
    """Yield the frames of a camera.

    Args:
        pictures: of the family's classes.
        others: of none of them.
        objects: of the family's classes that come and go.
        seed: of everything that is drawn.
    """
    rng = np.random.default_rng(seed)
    before: _Scene | None = None
    for scene in _scenes(pictures, others, objects, rng):
        if before is not None:
            yield from _transition(before, scene, rng)
        yield from _stay(scene, rng)
        before = scene


def _transition(before: _Scene, after: _Scene, rng: np.random.Generator) -> Iterator[Shot]:
    """Yield the frames in which one slides out and the other in; what covers more is true."""
    count = int(rng.integers(3, 9))
    for step in range(1, count + 1):
        column = round(WIDTH * step / (count + 1))
        picture = np.hstack([after.picture[:, WIDTH - column :], before.picture[:, : WIDTH - column]])
        truth = after.truth if 2 * column >= WIDTH else before.truth
        yield Shot(_noisy(picture, 8.0, 1.0, rng), truth, is_moving=True)


def _stay(scene: _Scene, rng: np.random.Generator) -> Iterator[Shot]:
    noise = float(rng.uniform(2, 20))
    flicker, phase = float(rng.uniform(0, 0.2)), float(rng.uniform(0, 2 * np.pi))
    shake = float(rng.uniform(0, 0.04))
    hidden = _Spell.draw(0.5, scene.frames, (8, 20), rng)
    blurred = _Spell.draw(0.3, scene.frames, (5, 15), rng)
    width, colour = float(rng.uniform(0.25, 0.6)), rng.integers(20, 200, 3)
    kernel = int(rng.integers(7, 19))
    for number in range(scene.frames):
        picture = _shaken(scene.picture, shake, rng)
        if (progress := hidden.progress(number)) is not None:
            left = round((progress * (1 + width) - width) * WIDTH)
            picture[:, max(left, 0) : max(left + round(width * WIDTH), 0)] = colour
        if blurred.progress(number) is not None:
            picture = np.asarray(cv2.blur(picture, (kernel, 3)), dtype=np.uint8)
        light = 1 + flicker * float(np.sin(phase + number / 7))
        is_moving = number < _MOVING_AFTER or hidden.moves(number)
        yield Shot(_noisy(picture, noise, light, rng), scene.truth, is_moving)


@dataclass(frozen=True, slots=True)
class _Spell:
    """Some frames of a scene in which something is the case; none if `frames` is 0."""

    start: int
    frames: int

    @classmethod
    def draw(cls, share: float, scene: int, frames: tuple[int, int], rng: np.random.Generator) -> _Spell:
        count = int(rng.integers(*frames)) if rng.random() < share else 0
        return cls(int(rng.integers(max(1, scene - count))), count)

    def progress(self, number: int) -> float | None:
        """Return how far it is at a frame, 0..1; None before and after."""
        if not self.start <= number < self.start + self.frames:
            return None
        return (number - self.start) / max(1, self.frames - 1)

    def moves(self, number: int) -> bool:
        return self.frames > 0 and self.start <= number < self.start + self.frames + _MOVING_AFTER


def _shaken(picture: Picture, shake: float, rng: np.random.Generator) -> Picture:
    """Return the picture moved and scaled at random, by up to `shake` of its size."""
    scale = 1 + float(rng.uniform(-shake, shake))
    matrix = np.array([[scale, 0, WIDTH * rng.uniform(-shake, shake)], [0, scale, HEIGHT * rng.uniform(-shake, shake)]])
    warped = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(warped, dtype=np.uint8)


def _noisy(picture: Picture, noise: float, light: float, rng: np.random.Generator) -> Picture:
    grain = rng.normal(0, noise, picture.shape).astype(np.float32)
    return np.asarray(np.clip(picture * np.float32(light) + grain, 0, 255), dtype=np.uint8)
