"""Command-line options that several measurements share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from vp_mqtt.errors import UserError

Family = Annotated[str, typer.Option(help="paper, paper-7, small, .., or a TOML file")]
Deadline = Annotated[float, typer.Option(min=1, max=60_000, help="how long to wait for votes, in ms")]
FrameRate = Annotated[float, typer.Option(min=0.1, max=1000, help="frames per second")]
Root = Annotated[Path | None, typer.Option(help="folder with the files of a named data set")]


def require_psutil() -> None:
    """Check that psutil is installed, which finds and measures processes.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("psutil") is None:
        raise UserError("psutil is not installed: `pip install vp-mqtt[bench]`")
