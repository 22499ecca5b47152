"""Shared by the readers of published data sets: finding the files, and error messages about missing ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets.pictures import Labels, PictureFiles


@dataclass(frozen=True)
class Published:
    """How a data set is published.

    Attributes:
        title: of the data set.
        archive: files to download.
        page: address of the download page.
        folders: names of the folders that the archives unpack into.
    """

    title: str
    archive: str
    page: str
    folders: tuple[str, ...]

    def find(self, root: Path | None, needed: Sequence[str]) -> Path | None:
        """Return the folder with all the needed files, `root` itself or an unpacked archive in it; None without one.

        Raises:
            UserError: `root` is not given, or not a folder.
        """
        if root is None:
            raise UserError(f"{self.title} needs --root, the folder with its files ({self.archive} from {self.page})")
        if not root.is_dir():
            raise UserError(
                f"--root {root}: no such folder; unpack {self.archive} from {self.page} and name its folder"
            )
        for folder in (root, *(root / name for name in self.folders)):
            if all((folder / name).exists() for name in needed):
                return folder
        return None

    def missing(self, root: Path | None, needed: str) -> UserError:
        """Return the error for missing files.

        Args:
            root: folder that was searched.
            needed: names of the files.
        """
        return UserError(
            f"--root {root}: no {self.title} there ({needed}); unpack {self.archive} from {self.page} and name its "
            "folder, or a folder with train/CLASS and test/CLASS inside"
        )


def to_labels(values: NDArray[np.integer] | Sequence[int], classes: int, file: Path) -> Labels:
    """Return class indices as labels.

    Raises:
        UserError: an index is not in 0..classes - 1.
    """
    labels = np.asarray(values, dtype=np.int64).reshape(-1)
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise UserError(f"{file}: a label is not one of the {classes} classes; download the file again")
    return labels


def listed_files(files: Sequence[Path], labels: Labels, listed_in: Path) -> PictureFiles:
    """Return the pictures of a published list.

    Raises:
        UserError: the list is empty, or its first or last picture does not exist.
    """
    if not files:
        raise UserError(f"{listed_in}: lists no pictures; download the file again")
    for file in (files[0], files[-1]):
        if not file.is_file():
            raise UserError(f"{file}: missing, though {listed_in} lists it; unpack the archive with the pictures again")
    return PictureFiles(files, labels)


def read_lines(file: Path) -> list[str]:
    """Return the non-empty lines of a text file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: {getattr(error, 'strerror', None) or 'not a text file'}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
