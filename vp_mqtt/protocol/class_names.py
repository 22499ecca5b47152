"""What classes may be called."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

LONGEST_CLASS_NAME = 200


# Control characters, lone surrogates, line and paragraph separators: on a terminal they do more than show. Joiners,
# which some scripts need, are not among them.
_REFUSED = {"Cc", "Cs", "Zl", "Zp"}


def _is_shown(character: str) -> bool:
    return unicodedata.category(character) not in _REFUSED


def _only_shown(name: str) -> str:
    if not all(map(_is_shown, name)):
        raise ValueError("a class name must not hold control characters")
    return name


ClassName = Annotated[str, Field(min_length=1, max_length=LONGEST_CLASS_NAME), AfterValidator(_only_shown)]
"""A class's name: 1 to 200 characters, none of which controls a terminal."""


def as_class_name(text: str) -> str:
    """Return a text as a class name: what may not be in it becomes "?", and what is too long is cut off."""
    return "".join(c if _is_shown(c) else "?" for c in text[:LONGEST_CLASS_NAME])
