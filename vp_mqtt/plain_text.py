"""Text from the network, devices or file names, made safe to show: it neither controls a terminal nor forges a line."""

from __future__ import annotations

import unicodedata

CONTROLS = frozenset({"Cc", "Zl", "Zp"})
"""Unicode's categories of control characters, and of separators of lines and paragraphs."""


def plain(text: str) -> str:
    """Return a text in one line, with "?" in place of each control character."""
    if text.isprintable():
        return text
    return "".join("?" if unicodedata.category(character) in CONTROLS else character for character in text)
