"""Tells the site of cameras whose pictures are not of the kind that the node's family learned from."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.inference.jpeg import read_head
from vp_mqtt.inference.picture_fit import CameraFit, learned_from, look_at, warning
from vp_mqtt.inference.pictures import Picture
from vp_mqtt.logs import LOGGER

_MAX_CAMERAS = 16
_GONE_AFTER_S = 600.0
LOOK_FOR_GONE_EVERY_S = 30.0
"""How often to look for cameras that send nothing any more, in s."""


class FitWatch:
    """Looks at one picture a second of each camera, of the first 16; the warning ends when the pictures fit again.

    It also ends, and the camera's place is free, when the camera has sent no frame for ten minutes. May be used by
    several threads at once.
    """

    def __init__(self, set_problem: Callable[[str, str | None], None]) -> None:
        """Start without cameras.

        Args:
            set_problem: told of a kind of problem, and what it is, or None when it is over.
        """
        self._set_problem = set_problem
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}
        self._next_search = 0.0
        self._cameras: dict[str, CameraFit] = {}
        self._warned: dict[str, str] = {}

    def look(self, camera: str, picture: Picture, jpeg: bytes, manifest: Manifest, now: float) -> None:
        """Look at a frame, if it is time to.

        Args:
            camera: whose frame it is.
            picture: the frame, maybe reduced.
            jpeg: as it came.
            manifest: of the family that votes on it.
            now: on a monotonic clock, in seconds.
        """
        with self._lock:
            if camera not in self._cameras and len(self._cameras) >= _MAX_CAMERAS:
                return
            self._seen[camera] = now
            fit = self._cameras.setdefault(camera, CameraFit())
            if fit.is_due(now):
                self._look(fit, camera, picture, jpeg, manifest)

    def forget_gone(self, now: float) -> None:
        """Forget cameras that send nothing any more, if it is time to look for them; often, also without frames."""
        with self._lock:
            if now < self._next_search:
                return
            self._next_search = now + LOOK_FOR_GONE_EVERY_S
            for camera in [one for one, seen in self._seen.items() if now - seen > _GONE_AFTER_S]:
                self._forget(camera)

    def clear(self) -> None:
        """Forget all cameras: the node votes on none."""
        with self._lock:
            for camera in list(self._seen):
                self._forget(camera)

    def _forget(self, camera: str) -> None:
        del self._cameras[camera], self._seen[camera]
        if self._warned.pop(camera, None) is not None:
            self._set_problem(_kind(camera), None)
            LOGGER.info("camera '%s' no longer sends pictures: its warning is withdrawn", camera)

    def _look(self, fit: CameraFit, camera: str, picture: Picture, jpeg: bytes, manifest: Manifest) -> None:
        head = read_head(jpeg)
        fit.note(look_at(picture, min(picture.shape[:2] if head is None else head.size)))
        learned = learned_from(manifest.provenance)
        misfit = fit.misfit(learned, max(entry.resolution for entry in manifest.variants))
        found = None if misfit is None else warning(camera, misfit, manifest.name, learned)
        if found == self._warned.get(camera):
            return
        self._set_problem(_kind(camera), found)
        if found is None:
            del self._warned[camera]
            LOGGER.info("the pictures of camera '%s' fit the family '%s' now", camera, manifest.name)
        else:
            self._warned[camera] = found
            LOGGER.warning("%s", found)


def _kind(camera: str) -> str:
    return f"pictures {camera}"
