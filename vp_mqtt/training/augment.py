"""Augmentation: draws the views of a picture that the variants are trained on.

arXiv 2210.08376 resizes a picture to the variant's resolution plus a margin, and crops, flips and slightly rotates it
at random, so that every variant sees a different view. Added here: JPEG compression, since frames on the wire are JPEG,
and erased rectangles (Zhong et al., "Random Erasing Data Augmentation", AAAI 2020). All variants and the teacher can
share a view, which helps distillation (Beyer et al., "Knowledge distillation: A good teacher is patient and
consistent", CVPR 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vp_mqtt.inference.pictures import Picture, decode, encode_jpeg, resize_square

_MIN_JPEG_QUALITY = 70
_ERASED_SHARE = (0.15, 0.4)


class ViewRecipe(BaseModel):
    """Parameters of the augmentation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: float = Field(default=0.5, ge=0, le=1, description="probability of a horizontal flip")
    rotation: float = Field(default=8.0, ge=0, le=180, description="largest rotation, in degrees")
    zoom: float = Field(default=0.08, ge=0, lt=1, description="largest change of scale, as a share")
    area: float = Field(default=1.0, gt=0, le=1, description="smallest visible share of the picture; 1: all of it")
    aspect: float = Field(default=1.25, ge=1, le=4, description="largest change of the aspect ratio, if area < 1")
    margin: float = Field(
        default=0.1, ge=0, le=1, description="margin removed by a random crop, as a share of the crop"
    )
    colour: float = Field(default=0.0, ge=0, lt=1, description="largest change of brightness, contrast and saturation")
    jpeg: float = Field(default=0.5, ge=0, le=1, description="probability of JPEG compression, quality 70 to 99")
    erase: float = Field(default=0.25, ge=0, le=1, description="probability of an erased rectangle")
    shared: bool = Field(default=False, description="the same view of a picture for all variants and the teacher")


def draw_views(
    picture: Picture, resolutions: Sequence[int], recipe: ViewRecipe, rng: np.random.Generator, version: int = 1
) -> list[Picture]:
    """Return one view per resolution, each (resolution, resolution, 3), uint8, BGR.

    Args:
        picture: shape (height, width, 3), uint8, BGR.
        resolutions: of the variants, in pixels.
        recipe: parameters.
        rng: random generator.
        version: of the preprocessing.
    """
    if rng.random() < recipe.jpeg:
        picture = decode(encode_jpeg(picture, int(rng.integers(_MIN_JPEG_QUALITY, 100))))
    if rng.random() < recipe.flip:
        picture = np.ascontiguousarray(picture[:, ::-1])
    if recipe.shared:
        seed = int(rng.integers(2**63))
        return [_view(picture, side, recipe, np.random.default_rng(seed), version) for side in resolutions]
    return [_view(picture, side, recipe, rng, version) for side in resolutions]


def _view(picture: Picture, side: int, recipe: ViewRecipe, rng: np.random.Generator, version: int) -> Picture:
    if recipe.area < 1:
        picture = _part(picture, recipe, rng)
    # The same resize as on a board, so that training sees the pictures that the board will see.
    larger = side + max(1, round(side * recipe.margin))
    resized = resize_square(picture, larger, version=version)
    angle = math.radians(rng.uniform(-recipe.rotation, recipe.rotation))
    zoom = 1 + rng.uniform(-recipe.zoom, recipe.zoom)
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    slack = (larger - side) / 2
    x, y = (larger - 1) / 2 + rng.uniform(-slack, slack, 2)
    half = (side - 1) / 2
    view_to_resized = np.array(
        [[cos, -sin, x - cos * half + sin * half], [sin, cos, y - sin * half - cos * half]], dtype=np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(resized, view_to_resized, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    view = np.asarray(turned, dtype=np.uint8)
    if recipe.colour > 0:
        view = _recoloured(view, recipe.colour, rng)
    if rng.random() < recipe.erase:
        height, width = (int(side * rng.uniform(*_ERASED_SHARE)) for _ in range(2))
        top, left = int(rng.integers(0, side - height)), int(rng.integers(0, side - width))
        view[top : top + height, left : left + width] = rng.integers(0, 256, dtype=np.uint8)
    return view


def _part(picture: Picture, recipe: ViewRecipe, rng: np.random.Generator) -> Picture:
    """Return a random rectangle of the picture (Szegedy et al., "Going Deeper with Convolutions", CVPR 2015)."""
    height, width = picture.shape[:2]
    share = rng.uniform(recipe.area, 1)
    ratio = math.exp(rng.uniform(-1, 1) * math.log(recipe.aspect) / 2)
    part_height = min(height, max(1, round(height * math.sqrt(share) / ratio)))
    part_width = min(width, max(1, round(width * math.sqrt(share) * ratio)))
    top, left = int(rng.integers(0, height - part_height + 1)), int(rng.integers(0, width - part_width + 1))
    return picture[top : top + part_height, left : left + part_width]


def _recoloured(view: Picture, largest: float, rng: np.random.Generator) -> Picture:
    brightness, contrast, saturation = 1 + rng.uniform(-largest, largest, 3)
    grey = cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    gain = brightness * contrast
    offset = 127.5 * brightness * (1 - contrast)
    recoloured = cv2.addWeighted(view, gain * saturation, grey, gain * (1 - saturation), offset)
    return np.asarray(recoloured, dtype=np.uint8)
