"""Valid names of classes."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

from vp_mqtt.plain_text import is_plain

LONGEST_CLASS_NAME = 200


def _is_printable(character: str) -> bool:
    # Lone surrogates cannot be written.
    return is_plain(character) and unicodedata.category(character) != "Cs"


def _check_printable(name: str) -> str:
    if not all(map(_is_printable, name)):
        raise ValueError("a class name must not hold control characters")
    return normalize(name)


def normalize(name: str) -> str:
    """Return a name in Unicode's composed form (NFC): names that look the same are the same, from whatever system."""
    return unicodedata.normalize("NFC", name)


ClassName = Annotated[str, Field(min_length=1, max_length=LONGEST_CLASS_NAME), AfterValidator(_check_printable)]
"""A class's name: 1 to 200 characters, none that is invisible or controls others; in Unicode's normal form C."""


def as_class_name(text: str) -> str:
    """Return a text as a class name: invalid characters become "?", and a long text is cut off."""
    return "".join(c if _is_printable(c) else "?" for c in normalize(text)[:LONGEST_CLASS_NAME])
