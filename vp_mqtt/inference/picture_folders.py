"""Which files of a folder are pictures, by one rule for training and cameras.

- Hidden files and folders (names that begin with a dot), and those that systems and tools create, are not data.
- Symbolic links to files and folders count as what they lead to. Those that lead nowhere, or to a folder that they are
  in, are left out.
- What is left out is counted by kind.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vp_mqtt.inference.picture_formats import PICTURE_SUFFIXES

# Of Synology and QNAP, macOS, Windows, Linux file systems, Python, and version control.
_TOOL_FOLDERS = frozenset(
    {"@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "__macosx", "$recycle.bin", "system volume information"}
    | {"lost+found", "__pycache__", "cvs"}
)
_TOOL_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "readme.md", "readme.txt", "license", "notice"})
_CONVERTIBLE = frozenset(
    {".heic", ".heif", ".avif", ".gif", ".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".svg", ".psd"}
)

DANGLING = "links that lead nowhere"
CIRCULAR = "links to a folder they are in"
UNREADABLE = "folders that cannot be read"
OUTSIDE = "pictures outside class folders"


@dataclass(frozen=True)
class FoundPictures:
    """What a folder contains.

    Attributes:
        files: the pictures, sorted by path.
        left_out: number of other files, by suffix in lower case ("no suffix" without) or by what else is wrong.
    """

    files: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def find_pictures(folder: Path) -> FoundPictures:
    """Return the pictures in a folder and the folders in it."""
    found = FoundPictures()
    _search(folder, (), found)
    found.files.sort()
    return found


def list_folders(folder: Path) -> FoundPictures:
    """Return the folders in a folder, as `files`, without those that are not data; loose pictures are left out."""
    found = FoundPictures()
    for entry in _entries(folder, found.left_out):
        if entry.is_dir():
            found.files.append(Path(entry.path))
        elif Path(entry.name).suffix.lower() in PICTURE_SUFFIXES:
            found.left_out[OUTSIDE] += 1
    found.files.sort()
    return found


def is_left_alone(name: str) -> bool:
    """Return whether what has this name is no data, be it a file or a folder: hidden, or of a system or tool."""
    name = name.lower()
    return name.startswith(".") or name in _TOOL_FILES or name in _TOOL_FOLDERS


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Return what was left out in words, such as "20 .heic, 1 .gif (convert pictures to JPEG)"; empty for nothing."""
    kinds = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{count} {kind}" for kind, count in kinds)
    return f"{text} (convert pictures to JPEG)" if _CONVERTIBLE & left_out.keys() else text


def _search(folder: Path, around: tuple[tuple[int, int], ...], found: FoundPictures) -> None:
    """Add the pictures in a folder, which was reached through those with the device and inode numbers `around`."""
    try:
        state = folder.stat()
    except OSError:
        found.left_out[UNREADABLE] += 1
        return
    here = state.st_dev, state.st_ino
    if here in around:
        found.left_out[CIRCULAR] += 1
        return
    for entry in _entries(folder, found.left_out):
        suffix = Path(entry.name).suffix.lower()
        if entry.is_dir():
            _search(Path(entry.path), (*around, here), found)
        elif suffix in PICTURE_SUFFIXES:
            found.files.append(Path(entry.path))
        else:
            found.left_out[suffix or "no suffix"] += 1


def _entries(folder: Path, left_out: Counter[str]) -> Iterator[os.DirEntry[str]]:
    """Yield the files and folders in a folder that may be data."""
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except OSError:
        left_out[UNREADABLE] += 1
        return
    for entry in entries:
        if is_left_alone(entry.name):
            continue
        if not _leads_somewhere(entry):
            left_out[DANGLING if entry.is_symlink() else "special files"] += 1
        elif entry.is_dir() and entry.is_symlink() and _is_in(folder, Path(entry.path)):
            left_out[CIRCULAR] += 1
        else:
            yield entry


def _leads_somewhere(entry: os.DirEntry[str]) -> bool:
    """Return whether this is a file or folder, or a link to one."""
    try:
        return entry.is_dir() or entry.is_file()
    except OSError:  # a link to itself
        return False


def _is_in(folder: Path, target: Path) -> bool:
    return folder.resolve().is_relative_to(target.resolve())
