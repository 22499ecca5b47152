"""Command-line options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vp_mqtt.errors import UserError
from vp_mqtt.learning_packages import missing_for_teaching, missing_for_training

MAX_CLASSES = 65_536  # as vp_mqtt.bundle.manifest.MAX_CLASSES, whose import would slow down `--help`
_MAX_ZOOM = 1.25  # as vp_mqtt.bundle.manifest.MAX_ZOOM, likewise
_SMALLEST_SIDE, _LARGEST_SIDE = 16, 8192

Bundle = Annotated[str, typer.Option(help="the family: a bundle's folder, or the name of a bundled one")]
Classes = Annotated[int, typer.Option(min=2, max=MAX_CLASSES, help="number of classes of the networks")]
Size = Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="size of the camera's frames, in pixels")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]


def zoom_option(default: str) -> Any:  # noqa: ANN401 (as typer.Option)
    """Return the option `--zoom`, without which a command chooses: how, is to be said in a few words."""
    return typer.Option(
        min=1,
        max=_MAX_ZOOM,
        help=f"by how much pictures are enlarged before their centre is cropped (default: {default})",
    )


def parse_size(text: str) -> tuple[int, int]:
    """Return the width and height that `--size` names, in pixels.

    Raises:
        UserError: it does not name a size.
    """
    width, cross, height = text.lower().partition("x")
    if cross and width.isdecimal() and height.isdecimal():
        size = int(width), int(height)
        if min(size) >= _SMALLEST_SIDE and max(size) <= _LARGEST_SIDE:
            return size
    raise UserError(
        f"--size {text}: write WIDTHxHEIGHT, such as 640x480, each {_SMALLEST_SIDE} to {_LARGEST_SIDE} pixels"
    )


def require_learning() -> None:
    """Check that what classifiers and calibration need is installed; torch is not among it.

    Raises:
        UserError: something is missing.
    """
    missing = missing_for_teaching()
    if missing:
        raise UserError(f"this needs {' and '.join(missing)}: `pip install {' '.join(missing)}` (or extra `teach`)")


def require_torch(purpose: str) -> None:
    """Check that what training needs is installed: torch, and what exports and draws its results.

    Args:
        purpose: what needs it, for the message.

    Raises:
        UserError: something is missing.
    """
    missing = missing_for_training()
    if missing:
        raise UserError(
            f"{purpose} needs {' and '.join(missing)}: `pip install '.[train]'` in a clone of vp-mqtt; up to 6 GB, see "
            "docs/training.md for less"
        )
