"""Pictures that show none of the classes, drawn from a seed: black frames, noise, textures; and some blurred ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.inference.picture_folders import find_pictures
from vp_mqtt.inference.picture_formats import FILES
from vp_mqtt.inference.pictures import PictureError, decode, encode_jpeg

WIDTH, HEIGHT = 320, 240
_QUALITY = 90

Picture = NDArray[np.uint8]


def _black(rng: np.random.Generator) -> NDArray[np.float64]:
    """A covered or unlit camera: a dark level with the noise of its sensor."""
    return np.asarray(rng.uniform(0, 12) + rng.normal(0, rng.uniform(0.5, 4), (HEIGHT, WIDTH, 3)))


def _noise(rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise with grains of one to sixteen pixels."""
    grain = int(2 ** rng.integers(0, 5))
    small = rng.uniform(0, 255, (-(-HEIGHT // grain), -(-WIDTH // grain), 3))
    return np.asarray(np.kron(small, np.ones((grain, grain, 1)))[:HEIGHT, :WIDTH])


def _clouds(rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise whose power falls with frequency, as in plaster, clouds and carpets."""
    spectrum = np.fft.fft2(rng.normal(0, 1, (HEIGHT, WIDTH)))
    rows, columns = np.fft.fftfreq(HEIGHT)[:, np.newaxis], np.fft.fftfreq(WIDTH)
    spectrum /= np.maximum(np.hypot(rows, columns), 1 / WIDTH) ** rng.uniform(0.5, 2)
    surface = np.fft.ifft2(spectrum).real
    return _coloured(surface, rng)


def _stripes(rng: np.random.Generator) -> NDArray[np.float64]:
    """Stripes of any direction and width, soft or sharp: curtains, boards, corrugated iron."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 60)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    return _coloured(np.tanh(rng.uniform(0.5, 10) * wave) + rng.normal(0, 0.2, wave.shape), rng)


def _tiles(rng: np.random.Generator) -> NDArray[np.float64]:
    """Bricks or tiles with joints, each of a shade of its own."""
    height, width = int(rng.integers(14, 50)), int(rng.integers(20, 90))
    joint, shift = int(rng.integers(1, 5)), rng.choice([0.0, 0.5])
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    row = y // height
    moved = x + (row % 2 * shift * width).astype(int)
    shades = rng.normal(0, 1, (HEIGHT // height + 2, (WIDTH + width) // width + 2))
    surface = shades[row, moved // width] * rng.uniform(0.1, 1)
    surface[(y % height < joint) | (moved % width < joint)] = rng.choice([-3.0, 3.0])
    return _coloured(surface + rng.normal(0, 0.2, surface.shape), rng)


def _coloured(surface: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a surface between two random colours."""
    share = (surface - surface.min()) / max(float(np.ptp(surface)), 1e-9)
    one, other = rng.uniform(0, 255, (2, 3))
    return np.asarray(share[..., np.newaxis] * one + (1 - share[..., np.newaxis]) * other)


def _texture(rng: np.random.Generator) -> NDArray[np.float64]:
    kinds = (_clouds, _stripes, _tiles)
    return kinds[int(rng.integers(len(kinds)))](rng)


KINDS: dict[str, Callable[[np.random.Generator], NDArray[np.float64]]] = {
    "black": _black,
    "noise": _noise,
    "textures": _texture,
}


def draw(kind: str, number: int) -> Picture:
    """Return a picture of a kind, BGR, the same for the same number."""
    rng = np.random.default_rng([sorted(KINDS).index(kind), number])
    return np.clip(np.rint(KINDS[kind](rng)), 0, 255).astype(np.uint8)


def blur(picture: Picture) -> Picture:
    """Return a picture in which nothing can be recognised: Gaussian blur by an eighth of its shorter side."""
    blurred: Picture = cv2.GaussianBlur(picture, (0, 0), min(picture.shape[:2]) / 8).astype(np.uint8)
    return blurred


def write_strange_pictures(out: Path, count: int, blurred: Path | None) -> dict[str, int]:
    """Write folders of strange pictures, and return how many are in each.

    Args:
        out: folder; one folder for each kind is made in it.
        count: pictures of each kind.
        blurred: folder with pictures to blur; None for none of these.

    Raises:
        UserError: a picture cannot be read, or the folder cannot be written.
    """
    written = {}
    try:
        for kind in KINDS:
            (out / kind).mkdir(parents=True)
            for number in range(count):
                (out / kind / f"{number:04}.jpg").write_bytes(encode_jpeg(draw(kind, number), _QUALITY))
            written[kind] = count
        if blurred is not None:
            (out / "blurred").mkdir()
            files = find_pictures(blurred).files
            chosen = np.sort(np.random.default_rng(0).permutation(len(files))[:count])
            for number, index in enumerate(chosen.tolist()):
                picture = blur(decode(files[index].read_bytes(), formats=FILES))
                (out / "blurred" / f"{number:04}.jpg").write_bytes(encode_jpeg(picture, _QUALITY))
            written["blurred"] = len(chosen)
    except PictureError as error:
        raise UserError(f"{blurred}: {error}") from None
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}; name a new folder") from None
    return written
