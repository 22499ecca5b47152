"""What boards install: the wheel that a plan names, and its dependencies, each with its hash."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

from vp_mqtt.errors import UserError

REQUIREMENTS = "requirements.txt"
_IN_WHEEL = f"vp_mqtt/site/files/{REQUIREMENTS}"
_FOR_THE_PAGE = "vp_mqtt/site/files/requirements-web.txt"
_BUILD = "build one in a clone of vp-mqtt: pip wheel --no-deps ."


def find_wheel(package: str | None, base: Path) -> Path:
    """Return the wheel that boards install.

    Args:
        package: its file, as the plan names it; None for the newest one beside the plan.
        base: the plan's folder.

    Raises:
        UserError: there is none, or what is named is not a wheel.
    """
    if package is None:
        wheels = sorted(base.glob("vp_mqtt-*.whl"), key=lambda path: path.stat().st_mtime)
        if not wheels:
            raise UserError(f"{base}: no wheel of vp-mqtt for the boards; {_BUILD}, and put it there")
        return wheels[-1]
    wheel = base / package
    if wheel.suffix != ".whl":
        raise UserError(f"{package}: name a wheel of vp-mqtt, not what an index has under a name; {_BUILD}")
    if not wheel.is_file():
        raise UserError(f"there is no file {wheel}; {_BUILD}")
    return wheel


def requirements(wheel: Path, *, web: bool = False) -> bytes:
    """Return the requirements file of a board: everything that pip installs there, by version and hash.

    Boards get nothing by its name alone: whoever owned a name at a package index would own the boards.

    Args:
        wheel: of vp-mqtt; the versions of its dependencies are locked in it.
        web: whether the board shows the page, too.

    Raises:
        UserError: it cannot be read, is not a wheel of vp-mqtt, or is from before its dependencies were locked in it.
    """
    try:
        data = wheel.read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            locked = archive.read(_FOR_THE_PAGE if web else _IN_WHEEL)
    except KeyError:
        raise UserError(f"{wheel}: it does not say which dependencies it needs; {_BUILD}") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{wheel}: it cannot be used ({error}); {_BUILD}") from None
    return f"./{wheel.name} --hash=sha256:{hashlib.sha256(data).hexdigest()}\n".encode() + locked
