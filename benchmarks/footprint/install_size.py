"""Disk space of the package and its dependencies."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

from vp_mqtt.errors import UserError

OUR_NAME = "vp-mqtt"

_PACKAGE = Path(__file__).parents[2] / "vp_mqtt"


def canonical(name: str) -> str:
    """Return the normalised form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def dependencies(
    root: str, requires: Callable[[str], list[str] | None] = importlib.metadata.requires
) -> tuple[list[str], list[str]]:
    """Return a distribution and its dependencies without extras, and those of them that are not installed.

    Args:
        root: name of a distribution.
        requires: returns the requirements of a distribution by its name, as in its metadata; raises
            PackageNotFoundError for one that is not installed.

    Raises:
        UserError: `packaging`, which reads requirements, is not installed.
    """
    try:
        from packaging.requirements import Requirement  # noqa: PLC0415 (only here)
    except ImportError:
        raise UserError("packaging is not installed: `pip install vp-mqtt[bench]`") from None
    found: list[str] = []
    missing: list[str] = []
    due = [(canonical(root), frozenset[str]())]
    seen = set(due)
    while due:
        name, extras = due.pop(0)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            missing.append(name)
            continue
        if name not in found:
            found.append(name)
        for requirement in map(Requirement, lines):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                further = (canonical(requirement.name), frozenset(requirement.extras))
                if further not in seen:
                    seen.add(further)
                    due.append(further)
    return found, missing


def size_of(distribution: Distribution) -> int:
    """Return the size of a distribution's files on disk, in bytes, compiled modules included."""
    files = [Path(str(distribution.locate_file(file))) for file in distribution.files or []]
    if canonical(distribution.metadata["Name"]) == OUR_NAME:
        # An editable installation holds only a pointer to the files.
        files += [file for file in _PACKAGE.rglob("*") if file not in files]
    return sum(file.stat().st_size for file in set(files) if file.is_file())


def install_sizes() -> dict[str, int]:
    """Return the size of the package and each of its dependencies, in bytes, by name, the largest first.

    Raises:
        UserError: `packaging` is not installed.
    """
    names, _ = dependencies(OUR_NAME)
    sizes = {name: size_of(importlib.metadata.distribution(name)) for name in names}
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))
