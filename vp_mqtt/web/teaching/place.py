"""Where one's own classes are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.errors import UserError
from vp_mqtt.web.teaching.collection import Collection
from vp_mqtt.web.teaching.queue import FrameQueue
from vp_mqtt.web.teaching.teaching import Teaching

_PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class TeachFolder:
    """The folder of one's own classes, and what is where in it."""

    path: Path

    @property
    def pictures(self) -> Path:
        """The labelled pictures: a folder for each class."""
        return self.path / "pictures"

    @property
    def queue(self) -> Path:
        """The database of the frames that wait."""
        return self.path / "queue.sqlite"

    @property
    def bundles(self) -> Path:
        """The bundles that were trained."""
        return self.path / "bundles"

    @property
    def splits(self) -> Path:
        """The pictures that trainings have learnt from, a folder each."""
        return self.path / "splits"

    @property
    def result(self) -> Path:
        """What the newest training said, as JSON."""
        return self.path / "result.json"

    @property
    def first_push(self) -> Path:
        """What the site ran before the first push, as JSON."""
        return self.path / "first-push.json"

    def open(self) -> None:
        """Create the folder if there is none; nobody else may look into it.

        Raises:
            UserError: it cannot be created.
        """
        try:
            self.path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            self.bundles.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"--teach {self.path}: {error.strerror}; name another folder") from None


def teach_folder(settings: WebSettings) -> TeachFolder:
    """Return the folder that settings name: by default systemd's for the unit, else the user's."""
    if settings.teach is not None:
        return TeachFolder(Path(settings.teach))
    from_systemd = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    base = Path(from_systemd) if from_systemd else platformdirs.user_data_path("vp-mqtt", appauthor=False)
    return TeachFolder(base / "teach" / settings.site)


def open_teaching(settings: WebSettings, folder: TeachFolder) -> Teaching:
    """Return the queue and the collection in a folder, which is created if need be.

    Raises:
        UserError: it cannot be used.
    """
    folder.open()
    queue = FrameQueue(folder.queue, frames=settings.queue_frames, megabytes=settings.queue_mb)
    queue.open()
    teaching = Teaching(queue, Collection(folder.pictures))
    try:
        teaching.collection.open()
    except OSError as error:
        raise UserError(f"--teach {folder.path}: {error.strerror}; name another folder") from None
    return teaching
