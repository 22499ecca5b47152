"""Tells the site of cameras whose pictures are not of the kind that the node's family learned from."""

from __future__ import annotations

from collections.abc import Callable

from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.inference.jpeg import read_head
from vp_mqtt.inference.picture_fit import CameraFit, learned_from, look_at, warning
from vp_mqtt.inference.pictures import Picture
from vp_mqtt.logs import LOGGER

_MAX_CAMERAS = 16


class FitWatch:
    """Looks at one picture a second of each camera, of the first 16; the warning ends when the pictures fit again."""

    def __init__(self, set_problem: Callable[[str, str | None], None]) -> None:
        """Start without cameras.

        Args:
            set_problem: told of a kind of problem, and what it is, or None when it is over.
        """
        self._set_problem = set_problem
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
        if camera not in self._cameras and len(self._cameras) >= _MAX_CAMERAS:
            return
        fit = self._cameras.setdefault(camera, CameraFit())
        if not fit.is_due(now):
            return
        head = read_head(jpeg)
        fit.note(look_at(picture, min(picture.shape[:2] if head is None else head.size)))
        learned = learned_from(manifest.provenance)
        misfit = fit.misfit(learned, max(entry.resolution for entry in manifest.variants))
        found = None if misfit is None else warning(camera, misfit, manifest.name, learned)
        if found == self._warned.get(camera):
            return
        self._set_problem(f"pictures {camera}", found)
        if found is None:
            del self._warned[camera]
            LOGGER.info("the pictures of camera '%s' fit the family '%s' now", camera, manifest.name)
        else:
            self._warned[camera] = found
            LOGGER.warning("%s", found)
