"""What the demo's camera plays: how many frames, how fast, and whether their true classes are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vp_mqtt.errors import UserError
from vp_mqtt.nodes.sources import SAMPLES_SOURCE, PictureFolder, find_source

SAMPLES_FPS = 30.0
"""The sample pictures are small: two cores carry more of them."""
_FPS = 10.0
_LIVE_FRAMES = 200


@dataclass(frozen=True, slots=True)
class Playlist:
    """What the camera plays.

    Attributes:
        classes: the family's, after which folders of pictures may be named.
        frames: how many frames; 0: without end; None: until the source ends.
        half: after how many frames boards are killed, if any are.
        fps: frames per second.
        has_truth: whether the true classes of some pictures at least are known, and classes of the family.
    """

    frames: int | None
    half: int
    fps: float
    has_truth: bool

    def camera_arguments(self) -> tuple[str, ...]:
        """Return the flags of the camera node."""
        length = ("--once",) if self.frames is None else ("--frames", str(self.frames))
        return ("--fps", f"{self.fps:g}", *length)


def make_playlist(
    source: str,
    *,
    classes: Sequence[str],
    frames: int | None,
    fps: float | None,
    kills: bool,
    shows_page: bool = False,
) -> Playlist:
    """Look at a source, and return what is played of it. A webcam or stream is not opened: its camera node does that.

    Args:
        source: as `vp-camera --source` accepts it.
        classes: the family's, after which folders of pictures may be named.
        frames: how many frames; None: every picture of a folder once, and if boards are killed half-way, once before
            and once after that; a video to its end; of a webcam or a stream, 200; with the page without end.
        fps: frames per second; None: 30 of the sample pictures, else, and with the page, 10.
        kills: whether boards are killed half-way.
        shows_page: whether a page shows each picture for a while.

    Raises:
        UserError: there is no such source, or it has no pictures, or nobody knows where half of a video is.
    """
    fps = fps or (SAMPLES_FPS if source == SAMPLES_SOURCE and not shows_page else _FPS)
    found = find_source(source, fps=fps)
    has_truth, count = False, _LIVE_FRAMES if found.is_live else None
    if not found.is_live:
        found.open()
        if isinstance(found, PictureFolder):
            truths = found.truths()
            has_truth = any(truth in classes for truth in truths)
            count = truths.total() * (2 if kills else 1)
        found.close()
    if shows_page and frames is None:
        return Playlist(0, _LIVE_FRAMES // 2, fps, has_truth)
    frames = frames or count
    if kills and frames is None:
        raise UserError("--kill: say with --frames how much of the video is played, so that half of it is known")
    return Playlist(frames, (frames or 0) // 2, fps, has_truth)
