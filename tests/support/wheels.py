"""A file that `vp site` takes for a wheel of vp-mqtt."""

from __future__ import annotations

import zipfile
from pathlib import Path

NAME = "vp_mqtt-0.1.0-py3-none-any.whl"
FOR_THE_PAGE = "starlette==1.0.0 --hash=sha256:" + "1" * 64 + "\n"
LOCKED = "numpy==1.26.0 --hash=sha256:" + "0" * 64 + "\n"


def write_wheel(folder: Path, name: str = NAME, *, locked: str | None = LOCKED) -> Path:
    """Write a wheel with the requirements that are locked in it, if any, and return its path."""
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vp_mqtt/__init__.py", "")
        if locked is not None:
            archive.writestr("vp_mqtt/site/files/requirements.txt", locked)
            archive.writestr("vp_mqtt/site/files/requirements-web.txt", locked + FOR_THE_PAGE)
    return path
