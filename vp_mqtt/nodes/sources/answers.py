"""What a server has sent in place of pictures, in words for people."""

from __future__ import annotations

import html
import re

from vp_mqtt.inference.picture_formats import SNAPSHOTS, PictureFormat, find_format, name_formats

_VIDEO_TYPES = {
    "application/dash+xml",
    "application/mp4",
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
}
_TEXT_SUFFIXES = (".ans", ".art", ".asc", ".diz", ".ice", ".nfo", ".txt", ".vt")
_PLAYLIST = b"#EXTM3U"
_TITLE = re.compile(r"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_TITLE_LETTERS = 60
_TEXT_BYTES = 512
_NO_TEXT = frozenset(range(32)) - frozenset(b"\t\n\f\r\x1b")


def is_video_type(kind: str) -> bool:
    """Return whether a content type is that of a video or a playlist, rather than of motion JPEG."""
    return (kind.startswith("video/") and "jpeg" not in kind and "jpg" not in kind) or kind in _VIDEO_TYPES


def is_named_as_text(name: str) -> bool:
    """Return whether FFmpeg would take a file of this name for text, and render pictures of its letters."""
    return name.lower().endswith(_TEXT_SUFFIXES)


def is_text(head: bytes) -> bool:
    """Return whether data that begins so is text: a page, not a picture or a playlist of videos."""
    return not head.startswith(_PLAYLIST) and not _NO_TEXT.intersection(head[:_TEXT_BYTES])


def may_be_video(head: bytes) -> bool:
    """Return whether data that begins so, in which no picture was found, may be a video."""
    return bool(head) and _other_picture(head) is None


def describe(kind: str | None, head: bytes) -> str:
    """Return what came in place of pictures.

    Args:
        kind: its content type, if it has one.
        head: its first bytes.
    """
    typed = kind or "without a content type"
    if not head:
        return f"an empty answer came, no picture ({typed})"
    other = _other_picture(head)
    if other is not None:
        return f"a picture came that is {other}, not {name_formats(SNAPSHOTS)}"
    if not is_text(head):
        return f"something came that is neither JPEG, PNG nor a video ({typed})"
    title = _TITLE.search(head.decode(errors="replace"))
    if title is None:
        return f"text came, no picture ({typed})"
    words = " ".join("".join(c if c.isprintable() else " " for c in html.unescape(title.group(1))).split())
    return f'a web page came, no picture ({typed}, "{words[:_TITLE_LETTERS]}")'


def _other_picture(head: bytes) -> PictureFormat | None:
    found = find_format(head)
    return None if found in SNAPSHOTS or is_text(head) else found
