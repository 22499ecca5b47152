"""Pictures in files."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat, zip_longest
from pathlib import Path

from vp_mqtt.errors import UserError
from vp_mqtt.inference import pictures
from vp_mqtt.inference.jpeg import Jpeg
from vp_mqtt.inference.picture_folders import describe_left_out, find_pictures
from vp_mqtt.inference.picture_formats import FILES, PICTURE_SUFFIXES
from vp_mqtt.inference.pictures import PictureError
from vp_mqtt.logs import LOGGER
from vp_mqtt.nodes.sources.base import Captured, Source
from vp_mqtt.protocol.class_names import as_class_name


def capture(data: bytes) -> Captured:
    """Return a picture file's content as it is published: a JPEG as it is, other formats decoded.

    Raises:
        PictureError: it is no JPEG, and cannot be decoded.
    """
    jpeg = Jpeg.parse(data)
    return Captured(pictures.decode(data, formats=FILES)) if jpeg is None else Captured(jpeg=jpeg)


class PictureFolder(Source):
    """The pictures of a folder, or one picture; CLASS/IMAGE gives the truth, and the classes take turns."""

    def __init__(self, path: Path, repeat: int = 1) -> None:
        """Name the folder or picture, and how often each picture is yielded before the next one, at least once."""
        self._path = path
        self._repeat = repeat
        self._files: list[Path] = []
        self._is_folder = False
        # By file, the time and size of the version that is known to decode.
        self._decodable: dict[Path, tuple[int, int]] = {}
        self._warned: set[tuple[Path, str]] = set()

    def open(self) -> None:
        """List the pictures; a single one is read, to check that it can be.

        Raises:
            UserError: there are none.
        """
        self._is_folder = self._path.is_dir()
        if not self._is_folder:
            self._files = [self._path]
            next(self.captures())
            return
        found = find_pictures(self._path)
        others = describe_left_out(found.left_out)
        if not found.files:
            suffixes = ", ".join(sorted(PICTURE_SUFFIXES))
            there = f"; it has {others}" if others else ""
            raise UserError(f"--source {self._path}: no pictures in this folder ({suffixes}){there}")
        if others:
            LOGGER.warning("--source %s: left out %s", self._path, others)
        by_folder: dict[Path, list[Path]] = defaultdict(list)
        for file in found.files:
            by_folder[file.parent].append(file)
        self._files = [file for turn in zip_longest(*by_folder.values()) for file in turn if file is not None]

    def truths(self) -> Counter[str | None]:
        """Return how many pictures the open source has, by true class; None where it is not known."""
        return Counter(self._truth(file) for file in self._files)

    def captures(self) -> Iterator[Captured]:
        """Yield the pictures; one that cannot be read is skipped, with one warning.

        Raises:
            UserError: none of them can be read.
        """
        readable = 0
        for file in self._files:
            try:
                captured = self._read(file)
            except (OSError, PictureError) as error:
                if (file, str(error)) not in self._warned:
                    self._warned.add((file, str(error)))
                    LOGGER.warning("%s: %s; left out", file, error)
                continue
            readable += 1
            yield from repeat(captured, self._repeat)
        if not readable:
            raise UserError(f"--source {self._path}: no picture there can be read")

    def _read(self, file: Path) -> Captured:
        """Read a picture. A JPEG is decoded only when it is new or has changed, to check that it can be."""
        with file.open("rb") as opened:
            state = os.fstat(opened.fileno())
            data = opened.read()
        captured = replace(capture(data), truth=self._truth(file))
        stamp = state.st_mtime_ns, state.st_size
        if captured.jpeg is None or self._decodable.get(file) == stamp:
            return captured
        picture = pictures.decode(data, formats=FILES)
        self._decodable[file] = stamp
        return replace(captured, decoded=picture)

    def _truth(self, file: Path) -> str | None:
        if not self._is_folder or file.parent == self._path:
            return None
        return as_class_name(file.parent.name)
