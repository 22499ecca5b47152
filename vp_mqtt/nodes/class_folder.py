"""Fills a class folder with pictures from a camera, without near-duplicates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.errors import UserError
from vp_mqtt.files import why_unwritable, write_atomically
from vp_mqtt.inference.near_duplicates import SeenPictures, perceptual_hash
from vp_mqtt.inference.picture_folders import find_pictures
from vp_mqtt.inference.picture_formats import FILES
from vp_mqtt.inference.pictures import PictureError, decode
from vp_mqtt.nodes.frame_encoder import MAX_FRAME_BYTES, FrameEncoder
from vp_mqtt.nodes.sources import Captured
from vp_mqtt.protocol.class_names import as_class_name

QUALITY = 95
"""Of pictures that do not come as JPEG."""

_HASHED_SIDE = 64
_PARTS = ("train", "val", "test")


@dataclass
class Counts:
    """What became of the pictures.

    Attributes:
        kept: written into the folder.
        near_duplicates: left out, since the folder has nearly the same.
        refused: that could not be decoded or written as JPEG.
    """

    kept: int = 0
    near_duplicates: int = 0
    refused: int = 0


def class_folder(data: Path, name: str) -> Path:
    """Return the folder of a class in a folder of class folders: in its part `train`, where it is divided.

    Raises:
        UserError: the class cannot have this name.
    """
    if name != as_class_name(name) or not name.strip() or name[0] in ".@#$" or set("/\\") & set(name):
        raise UserError(f"--class {name}: name a class, such as cup: without / or \\, and not beginning with a dot")
    if name in _PARTS:
        raise UserError(f"--class {name}: a folder of this name would be a part of the data, not a class")
    return data / "train" / name if (data / "train").is_dir() else data / name


class ClassFolder:
    """A class folder that is filled with pictures unlike those that it has."""

    def __init__(self, folder: Path) -> None:
        """Name the folder, which need not exist."""
        self.folder = folder
        self.counts = Counts()
        self._seen = SeenPictures()
        self._encoder = FrameEncoder(size=None, quality=QUALITY, passes_through=True)

    def open(self) -> int:
        """Make the folder if need be, look at the pictures in it, and return how many there are.

        Raises:
            UserError: it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder}: {why_unwritable(self.folder, error)}") from None
        files = find_pictures(self.folder).files
        hashes = []
        for file in files:
            try:
                hashes.append(perceptual_hash(decode(file.read_bytes(), _HASHED_SIDE, formats=FILES)))
            except (OSError, PictureError):
                continue
        self._seen = SeenPictures(hashes)
        return len(files)

    def offer(self, captured: Captured) -> bool:
        """Write a picture into the folder unless it has nearly the same, and return whether it was written.

        Raises:
            UserError: it cannot be written.
        """
        try:
            frame = self._encoder.encode(captured, MAX_FRAME_BYTES)
            found = None if frame is None else perceptual_hash(decode(frame.jpeg, _HASHED_SIDE))
        except PictureError:
            frame = found = None
        if frame is None or found is None:
            self.counts.refused += 1
            return False
        if not self._seen.add(found):
            self.counts.near_duplicates += 1
            return False
        path = self.folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{found % 2**64:016x}.jpg"
        try:
            write_atomically(path, frame.jpeg)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from None
        self.counts.kept += 1
        return True


def fill(
    folder: ClassFolder,
    pictures: Iterable[Captured | None],
    count: int,
    *,
    every_s: float = 0.0,
    on_kept: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Counts:
    """Write pictures into a folder until there are enough new ones, or no more come.

    Args:
        folder: an open one.
        pictures: to choose from; None where there was none for a while.
        count: pictures to write.
        every_s: shortest time between two that are written, in seconds.
        on_kept: called after each, with the number of those written so far.
        clock: in seconds.

    Raises:
        UserError: a picture cannot be written, or the pictures cannot be read.
    """
    last: float | None = None
    for captured in pictures:
        if captured is not None and (last is None or clock() - last >= every_s) and folder.offer(captured):
            last = clock()
            on_kept(folder.counts.kept)
        if folder.counts.kept >= count:
            break
    return folder.counts
