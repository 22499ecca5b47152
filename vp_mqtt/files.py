"""Files and what is read from them: atomic writes, the cache folder, TOML, pydantic's errors as lines for people."""

from __future__ import annotations

import atexit
import codecs
import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.plain_text import counted

_TEMPORARY: list[Path] = []
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
PARTIAL_FILES = ".*.part"
"""Glob pattern of the files that an atomic write is writing to, or that a crash in the middle of one has left."""


@contextmanager
def open_atomically(path: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """Open a file for writing that appears whole, when the block ends, or not at all.

    It is written under another name in the same folder, flushed to the disk and renamed: neither an exception nor a
    power cut leaves half a file, and a file that was there before stays until the new one takes its place.

    Args:
        path: the file; its folder exists.
        mode: the file's permissions; by default those of any new file (0o666 less the umask).

    Yields:
        The file, to be written to in binary.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.part")
    # Never more open to others than it will be in the end.
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode & 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    # Not every file system can; the file is whole either way, only the rename may be lost in a power cut.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomically(path: Path, data: bytes | str, *, mode: int | None = None) -> None:
    """Write a file so that it is there whole or not at all; see `open_atomically`.

    Args:
        path: the file; its folder exists.
        data: the content; text is written as UTF-8.
        mode: the file's permissions; by default those of any new file (0o666 less the umask).

    Raises:
        OSError: it cannot be written.
    """
    with open_atomically(path, mode=mode) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def prepare_folder(folder: Path, name: str) -> None:
    """Make a folder, and see whether files can be written to it: before long work, whose result it is to hold.

    Args:
        folder: it may be there already.
        name: what error messages call it.

    Raises:
        UserError: it cannot be made, or nothing can be written to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{name}: {why_unwritable(folder, error)}") from None


def why_unwritable(folder: Path, error: OSError) -> str:
    """Return why a folder cannot be made or written to, and what to do, in a few words.

    Args:
        folder: that was to be written to.
        error: that came of it.
    """
    if isinstance(error, FileExistsError | NotADirectoryError):
        files = (path for path in (folder, *folder.parents) if path.exists() and not path.is_dir())
        if (file := next(files, None)) is not None:
            return f"{'this' if file == folder else file} is a file; name a folder"
    if error.errno in _FORBIDDEN:
        return f"{error.strerror}; name a folder that you may write to"
    return error.strerror or str(error)


def cache_folder() -> Path:
    """Return the folder for what can be fetched or measured again: systemd's for the unit, else the user's.

    It need not exist, and it may be one that cannot be written to: see `write_to_cache`.
    """
    # systemd separates several folders by colons; our units have one.
    from_systemd = os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    return Path(from_systemd) if from_systemd else platformdirs.user_cache_path("vp-mqtt", appauthor=False)


def write_to_cache(path: Path, data: bytes | str, *, mode: int | None = None) -> Path:
    """Write a file of a cache, or, if it cannot be written there, below a temporary folder, which is said once.

    Args:
        path: where it belongs; its folder need not exist.
        data: the content; text is written as UTF-8.
        mode: the file's permissions; see `write_atomically`.

    Returns:
        Where it is: `path`, or a file of the same name in a temporary folder of the same name.

    Raises:
        UserError: it cannot be written to a temporary folder either.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data, mode=mode)
    except OSError as error:
        spare = _temporary_folder(f"{path} cannot be written ({error.strerror})") / path.parent.name / path.name
        try:
            spare.parent.mkdir(exist_ok=True)
            write_atomically(spare, data, mode=mode)
        except OSError as second:
            raise UserError(f"{path}: {error.strerror}; nor can {spare.parent} be used ({second.strerror})") from None
        return spare
    return path


def _temporary_folder(reason: str) -> Path:
    """Return a folder that goes with the process; why it is used is logged the first time."""
    if not _TEMPORARY:
        try:
            folder = tempfile.mkdtemp(prefix="vp-cache-")
        except OSError as error:
            raise UserError(f"{reason}, and there is no temporary folder ({error.strerror})") from None
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _TEMPORARY.append(Path(folder))
        LOGGER.warning("%s: continuing without a cache that lasts", reason)
    return _TEMPORARY[0]


def is_readable_by_others(path: Path) -> bool:
    """Return whether a file's mode lets others than its owner read it; False if it is not there."""
    try:
        return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in what its byte order mark says: editors and PowerShell on Windows write one.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is neither in UTF-8 nor in UTF-16 with a byte order mark.
    """
    data = path.read_bytes()
    return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


def read_toml(path: Path, *, name: str | None = None, hint: str = "") -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: the file.
        name: what error messages call it; its path by default.
        hint: what to do if it cannot be read, for the error message.

    Raises:
        UserError: it cannot be read, or is not TOML.
    """
    name = name or str(path)
    try:
        text = read_text(path)
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}{f'; {hint}' if hint else ''}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: not valid TOML: {error}") from None
    return parse_toml(text, name)


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """Parse TOML.

    Args:
        text: the document.
        name: what error messages call it.

    Raises:
        UserError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{name}: not valid TOML: {error}") from None


def error_lines(error: ValidationError) -> list[str]:
    """Return what is wrong with a document, a line for each error, such as "boards[0].threads: must be at least 1"."""
    lines: list[str] = []
    choices: list[ErrorDetails] = []
    found = error.errors(include_url=False)
    for details, after in zip(found, [*found[1:], None], strict=True):
        if details["type"] == "too_short" and _has_wrong_items(details, found):
            continue
        choices.append(details)
        where = error_place(details)
        if is_of_choice(details) and after is not None and is_of_choice(after) and error_place(after) == where:
            continue
        reason = join_choices([error_reason(one) for one in choices])
        lines.append(f"{where}: {reason}" if where else reason)
        choices = []
    return lines


def _has_wrong_items(details: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Return whether items of a list are wrong: pydantic does not count those, and calls the list too short."""
    place = details["loc"]
    return any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in errors)


def first_error(error: ValidationError) -> str:
    """Return the first thing that is wrong with a document, in one line; see `error_lines`."""
    return error_lines(error)[0]


def error_place(details: ErrorDetails) -> str:
    """Return where in a document an error is, such as "boards[0].threads"; empty where it concerns all of it."""
    is_inside = is_of_choice(details) or details["loc"][-1:] == ("[key]",)
    place = details["loc"][:-1] if is_inside else details["loc"]
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")


def is_of_choice(details: ErrorDetails) -> bool:
    """Return whether an error concerns one of several kinds of value that a field takes: pydantic reports each."""
    last = details["loc"][-1] if len(details["loc"]) > 1 else None
    return isinstance(last, str) and details["type"] != "extra_forbidden" and _CHOICE.fullmatch(last) is not None


def join_choices(reasons: Sequence[str]) -> str:
    """Return as one reason what is wrong with a value as each of the kinds that a field takes."""
    first, *others = dict.fromkeys(reasons)
    return ", or ".join([first, *(other.removeprefix("must ").removeprefix("be ") for other in others)])


def error_reason(details: ErrorDetails) -> str:
    """Return what is wrong with a value, in a few words."""
    reason = _REASONS.get(details["type"])
    if reason is None:
        return details["msg"].removeprefix("Value error, ")
    return reason if isinstance(reason, str) else reason(details.get("ctx", {}))


def _plain(number: float) -> str:
    return f"{number:.15g}"


def _too_many(context: Mapping[str, Any]) -> str:
    # Pydantic stops counting early in some sequences, and then does not know how many there are.
    found = context.get("actual_length")
    return f"must have at most {counted(context['max_length'], 'item')}" + (f", not {found}" if found else "")


def _too_few(context: Mapping[str, Any]) -> str:
    found = context.get("actual_length")
    return f"must have at least {counted(context['min_length'], 'item')}" + ("" if found is None else f", not {found}")


_CHOICE = re.compile(r"str|int|float|bool|constrained-\w+|(literal|list|tuple|dict|constrained|function-\w+)\[.*\]")
"""How pydantic calls the kinds of value that a field takes, in the place of an error."""

_NAME = "must have 1 to 64 characters from A-Z a-z 0-9 _ . - and start with a letter or a digit"
PATTERN_TEXTS = {
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$": _NAME,
    r"^\+$|^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$": f"{_NAME}, or be + for all",
    r"^[a-z0-9][a-z0-9-]*$": "must have only a-z 0-9 - and start with a letter or a digit",
    r"^[A-Za-z0-9][A-Za-z0-9_-]{0,61}$": (
        "its name must have 1 to 62 characters from A-Z a-z 0-9 _ - and start with a letter or a digit"
    ),
    r"^[0-9a-f]{8}$": "must have 8 digits from 0-9 a-f",
    r"^[0-9a-f]{64}$": "must have 64 digits from 0-9 a-f",
    r"^[0-9a-f]{128}$": "must have 128 digits from 0-9 a-f",
    r"^[0-9]{2,4}x[0-9]{2,4}$": "must be WIDTHxHEIGHT, such as 640x480",
}
"""What to say of patterns that users meet."""

_REASONS: dict[str, str | Callable[[Mapping[str, Any]], str]] = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "enum": lambda context: f"must be {context['expected']}",
    "extra_forbidden": "there is no such key",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": lambda context: f"must be greater than {_plain(context['gt'])}",
    "greater_than_equal": lambda context: f"must be at least {_plain(context['ge'])}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "json_invalid": lambda context: f"not valid JSON: {context['error']}",
    "less_than": lambda context: f"must be less than {_plain(context['lt'])}",
    "less_than_equal": lambda context: f"must be at most {_plain(context['le'])}",
    "list_type": "must be a list",
    "literal_error": lambda context: f"must be {context['expected']}",
    "missing": "is missing",
    "model_attributes_type": "must be a table",
    "model_type": "must be a table",
    "string_pattern_mismatch": lambda context: PATTERN_TEXTS.get(
        context["pattern"], f"must match the pattern {context['pattern']}"
    ),
    "string_too_long": lambda context: f"must have at most {counted(context['max_length'], 'character')}",
    "string_too_short": lambda context: f"must have at least {counted(context['min_length'], 'character')}",
    "string_type": "must be text",
    "too_long": _too_many,
    "too_short": _too_few,
    "tuple_type": "must be a list",
}
"""What to say of an error, by pydantic's type of it; from its context where that is a function."""
