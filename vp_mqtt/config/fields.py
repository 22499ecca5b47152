"""Types of settings, with their checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from vp_mqtt.protocol.topics import NAME_PATTERN


def _readable_file(path: Path) -> Path:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    return path


def _password_file(path: Path) -> Path:
    try:
        return _readable_file(path)
    except ValueError as error:
        if path.is_absolute() or path.suffix:
            raise
        # Perhaps the password itself, which is not to be read in a log.
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{reason} (it is to name a file with the password; what was given is not shown)") from None


def _not_empty(value: object) -> object:
    # An empty path would be the current folder.
    if value == "":
        raise ValueError("must not be empty; leave it out, or name a file")
    return value


def lower_case(value: object) -> object:
    """Return a text in lower case, anything else as it is."""
    return value.lower() if isinstance(value, str) else value


def as_number(value: object) -> object:
    """Return a text of digits as a number, anything else as it is."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def as_size(value: object) -> object:
    """Return WIDTHxHEIGHT as two numbers, anything else as it is.

    Raises:
        ValueError: a text is no size.
    """
    if isinstance(value, str):
        width, cross, height = value.lower().partition("x")
        if not (cross and width.isdecimal() and height.isdecimal()):
            raise ValueError(f"{value!r} is not a size; write WIDTHxHEIGHT, such as 640x480")
        return int(width), int(height)
    return value


def as_text(value: object) -> object:
    """Return a whole number as text, anything else as it is."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def as_names(value: object) -> object:
    """Return names that commas separate, or a list of names, as a tuple; anything else as it is."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(","))
    return tuple(value) if isinstance(value, list) else value


def as_variant(value: object) -> object:
    """Return "auto" as it is, anything else as a whole number from 0.

    Raises:
        ValueError: it is none.
    """
    if value == "auto":
        return value
    text = str(value)
    if isinstance(value, bool | float) or not (text.isascii() and text.isdecimal()):
        raise ValueError("write a variant's index, from 0, or auto")
    return int(text)


def as_unknown(value: object) -> object:
    """Return "auto" and "off" as they are, anything else as a number from 0 to 1.

    Raises:
        ValueError: it is none.
    """
    if value in {"auto", "off"}:
        return value
    try:
        threshold = float(str(value))
    except ValueError:
        threshold = -1
    if not 0 <= threshold <= 1:
        raise ValueError(f"{value!r} is neither 'auto' nor 'off' nor a number from 0 to 1")
    return threshold


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
InputFile = Annotated[Path, BeforeValidator(_not_empty), AfterValidator(_readable_file)]
PasswordFile = Annotated[Path, BeforeValidator(_not_empty), AfterValidator(_password_file)]
Folder = Annotated[Path, BeforeValidator(_not_empty)]
Side = Annotated[int, Field(ge=16, le=8192)]
