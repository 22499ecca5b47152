"""Teaching as the server runs it: it opens the folder, fills the queue, trains, and ends with the server."""

from __future__ import annotations

import time
from collections import Counter

from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.web.listener import Listener
from vp_mqtt.web.teaching.collection import PictureClass
from vp_mqtt.web.teaching.collector import Collector
from vp_mqtt.web.teaching.notes import Notes
from vp_mqtt.web.teaching.place import TeachFolder, open_teaching, teach_folder
from vp_mqtt.web.teaching.results import Doubt
from vp_mqtt.web.teaching.teaching import Teaching
from vp_mqtt.web.teaching.trainer import Trainer


class Studio:
    """What the pages Teach and Train work on.

    Attributes:
        folder: where everything is.
        teaching: queue and labelled pictures.
        trainer: trains and sends bundles.
        notes: what went wrong with forms.
    """

    folder: TeachFolder
    teaching: Teaching
    trainer: Trainer

    def __init__(self, settings: WebSettings, listener: Listener) -> None:
        """Prepare."""
        self.notes = Notes()
        self._settings = settings
        self._listener = listener
        self._collector: Collector | None = None

    def open(self) -> None:
        """Open the folder, or create it.

        Raises:
            UserError: it cannot be used.
        """
        self.folder = teach_folder(self._settings)
        self.teaching = open_teaching(self._settings, self.folder)
        self.trainer = Trainer(self._settings, self.folder, self.teaching, running=self.running)
        self.trainer.open()

    def start(self) -> None:
        """Begin to fill the queue."""
        if self._settings.queue_frames:
            self._collector = Collector(self._listener, self.teaching.queue)
            self._collector.start()

    def stop(self) -> None:
        """End."""
        if self._collector is not None:
            self._collector.stop()
        self.trainer.stop()

    def running(self) -> str | None:
        """Return the short digest of the bundle that most boards run; None if none is known."""
        return next((digest for digest, _ in self.boards().most_common(1)), None)

    def boards(self) -> Counter[str]:
        """Return how many boards that are online run each bundle, by its short digest."""
        with self._listener.view() as view:
            nodes = view.overview.nodes("variant", time.monotonic())
        return Counter(node.status.digest for node in nodes if node.is_online and node.status.digest is not None)

    def doubts(self, own: PictureClass) -> dict[str, Doubt]:
        """Return the pictures of a class that the newest training took for another one, by file."""
        result = self.trainer.result
        named = {} if result is None else {one.file: one for one in result.doubtful}
        found = {file: named[f"{own.name}/{file}"] for file in own.pictures if f"{own.name}/{file}" in named}
        return {file: doubt for file, doubt in found.items() if doubt.seems != own.name}
