"""Command-line options that several measurements share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Family = Annotated[str, typer.Option(help="paper, paper-7, small, .., or a TOML file")]
Deadline = Annotated[float, typer.Option(min=1, max=60_000, help="how long to wait for votes, in ms")]
FrameRate = Annotated[float, typer.Option(min=0.1, max=1000, help="frames per second")]
Root = Annotated[Path | None, typer.Option(help="folder with the files of a named data set")]
