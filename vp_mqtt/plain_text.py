"""Text made fit to show: from the network, devices or file names it controls no terminal and forges no line."""

from __future__ import annotations

import unicodedata

# Control characters, and separators of lines and paragraphs.
_CONTROLS = frozenset({"Cc", "Zl", "Zp"})
# Of the invisible ones (Cf: direction, no width, tags), those that some scripts and emoji need: joiners, and signs that
# are visible after all.
_ALLOWED = frozenset(
    "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)


def is_plain(character: str) -> bool:
    """Return whether a character is shown where it stands: it moves, hides and reorders nothing else."""
    category = unicodedata.category(character)
    return category not in _CONTROLS and (category != "Cf" or character in _ALLOWED)


def plain(text: str) -> str:
    """Return a text in one line, with "?" in place of each character that controls how others are shown."""
    if text.isprintable():
        return text
    return "".join(character if is_plain(character) else "?" for character in text)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 variant" or "2 variants"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
