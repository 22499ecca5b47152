from __future__ import annotations

import errno
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vp_mqtt import files
from vp_mqtt.errors import UserError
from vp_mqtt.files import (
    PARTIAL_FILES,
    cache_folder,
    error_lines,
    first_error,
    open_atomically,
    parse_toml,
    prepare_folder,
    read_toml,
    why_unwritable,
    write_atomically,
    write_to_cache,
)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("data", [b"new \xff", "neu \u00fc"])
def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path, data: bytes | str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a longer old content")
    write_atomically(path, data)
    assert path.read_bytes() == (data if isinstance(data, bytes) else data.encode())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write_half() -> None:
        with open_atomically(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_being_written_is_hidden_under_a_name_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with open_atomically(path) as first, open_atomically(path) as second:
        first.write(b"first")
        second.write(b"second")
        assert not path.exists()
        partial = sorted(tmp_path.iterdir())
        assert len(partial) == 2
        assert sorted(tmp_path.glob(PARTIAL_FILES)) == partial
    assert path.read_bytes() == b"first"  # the last to be closed


def test_permissions_are_as_asked_for_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "by umask", b"")
        for mode in (0o600, 0o644, 0o755):
            with open_atomically(tmp_path / f"{mode:o}", mode=mode):
                (partial,) = tmp_path.glob(PARTIAL_FILES)
                assert mode_of(partial) == 0o600
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "by umask") == 0o640
    assert [mode_of(tmp_path / name) for name in ("600", "644", "755")] == [0o600, 0o644, 0o755]


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", b"")


def test_data_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def logged_fsync(descriptor: int) -> None:
        is_folder = Path(f"/proc/self/fd/{descriptor}").resolve() == tmp_path.resolve()
        events.append("flush folder" if is_folder else f"flush {os.fstat(descriptor).st_size} bytes")
        fsync(descriptor)

    def logged_replace(self: Path, target: Path) -> Path:
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(Path, "replace", logged_replace)
    write_atomically(tmp_path / "file", b"12345")
    assert events == ["flush 5 bytes", "rename", "flush folder"]


def test_a_file_system_that_cannot_flush_folders_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve() == tmp_path.resolve():
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    write_atomically(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_folder_for_long_work_is_made_and_left_empty(tmp_path: Path) -> None:
    for _ in range(2):
        prepare_folder(tmp_path / "new" / "run", "--out run")
        assert list((tmp_path / "new" / "run").iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match=r"^--out run: this is a file; name a folder$"):
        prepare_folder(file, "--out run")
    with pytest.raises(UserError, match=rf"^--out run: {file} is a file; name a folder$"):
        prepare_folder(file / "sub" / "run", "--out run")

    def refuse(dir: Path) -> None:  # noqa: A002 (as in tempfile)
        raise OSError(errno.EROFS, "Read-only file system", str(dir))

    # Not by its permissions, which do not stop root.
    monkeypatch.setattr("vp_mqtt.files.tempfile.TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"^--out run: Read-only file system; name a folder that you may write to$"):
        prepare_folder(tmp_path / "run", "--out run")
    assert why_unwritable(tmp_path, OSError(errno.ENOSPC, "No space left on device")) == "No space left on device"
    assert why_unwritable(tmp_path, FileExistsError(errno.EEXIST, "File exists")) == "File exists"


def test_the_cache_is_systemds_then_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for unset in (None, ""):
        for name in ("CACHE_DIRECTORY", "XDG_CACHE_HOME"):
            if unset is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, unset)
        assert cache_folder() == tmp_path / ".cache" / "vp-mqtt"
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/vp-mqtt")
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/vp-mqtt")
    assert cache_folder() == Path("/var/cache/vp-mqtt")
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/one:/var/cache/two")
    assert cache_folder() == Path("/var/cache/one")


def test_toml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes("name = 'Küche'\n[table]\nx = 1\n".encode())
    assert read_toml(path) == {"name": "Küche", "table": {"x": 1}}


def test_toml_that_cannot_be_read_is_reported_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file.toml"
    for arguments, message in (
        ({}, f"{path}: No such file or directory"),
        ({"name": "--config x"}, "--config x: No such file or directory"),
        ({"hint": "make one"}, f"{path}: No such file or directory; make one"),
    ):
        with pytest.raises(UserError) as caught:
            read_toml(path, **arguments)
        assert str(caught.value) == message


@pytest.mark.parametrize("content", [b"x = ", b"x = 1\nx = 2", b"\xff", b"x = " + b"[" * 100_000])
def test_what_is_not_toml_is_reported_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_toml(path, name="--config x", hint="not shown")
    assert str(caught.value).startswith("--config x: not valid TOML: ")
    assert "\n" not in str(caught.value)
    assert "not shown" not in str(caught.value)


def test_parsed_text_is_called_by_its_name() -> None:
    assert parse_toml("x = [1]", "--set") == {"x": [1]}
    with pytest.raises(UserError, match=r"^--set x: not valid TOML: "):
        parse_toml("x", "--set x")


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    whole: int = Field(default=1, ge=1, le=3)
    between: float = Field(default=0.5, gt=0, lt=1, allow_inf_nan=False)
    word: Annotated[str, Field(pattern=r"^[a-z]+$")] = "x"
    sized: Annotated[str, Field(min_length=1, max_length=2)] = "x"
    few: Annotated[tuple[int, ...], Field(min_length=1, max_length=2)] = (1,)
    two_at_least: Annotated[list[int], Field(min_length=2)] = [1, 2]
    flag: bool = False
    choice: Literal["a", "b"] = "a"
    colour: Colour = Colour.RED
    mapping: dict[str, int] = {}

    @field_validator("mapping")
    @classmethod
    def _not_too_odd(cls, value: dict[str, int]) -> dict[str, int]:
        if 13 in value.values():
            raise ValueError("13 is unlucky")
        return value


class Outer(BaseModel):
    boards: tuple[Inner, ...]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("whole", 0, "must be at least 1"),
        ("whole", 4, "must be at most 3"),
        ("whole", 1.5, "must be a whole number"),
        ("whole", "two", "must be a whole number"),
        ("whole", None, "must be a whole number"),
        ("between", 0, "must be greater than 0"),
        ("between", 1, "must be less than 1"),
        ("between", float("nan"), "must be a finite number"),
        ("between", "much", "must be a number"),
        ("between", None, "must be a number"),
        ("word", "No", "must match the pattern ^[a-z]+$"),
        ("word", 1, "must be text"),
        ("sized", "", "must have at least 1 character"),
        ("sized", "abc", "must have at most 2 characters"),
        ("few", [], "must have at least 1 item, not 0"),
        ("few", [1, 2, 3], "must have at most 2 items, not 3"),
        ("few", 1, "must be a list"),
        ("two_at_least", [1], "must have at least 2 items, not 1"),
        ("two_at_least", "x", "must be a list"),
        ("flag", "perhaps", "must be true or false"),
        ("flag", None, "must be true or false"),
        ("choice", "c", "must be 'a' or 'b'"),
        ("colour", "green", "must be 'red' or 'blue'"),
        ("mapping", 1, "must be a table"),
        ("mapping", {"x": 13}, "13 is unlucky"),
        ("other", 1, "there is no such key"),
    ],
)
def test_a_wrong_value_is_reported_in_words(key: str, value: object, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"boards": [{}, {key: value}]})
    assert first_error(caught.value) == f"boards[1].{key}: {reason}"


def test_all_errors_are_reported_in_their_order() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"boards": [1, {"whole": 0, "flag": 2}]})
    assert error_lines(caught.value) == [
        "boards[0]: must be a table",
        "boards[1].whole: must be at least 1",
        "boards[1].flag: must be true or false",
    ]
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({})
    assert first_error(caught.value) == "boards: is missing"


@pytest.mark.parametrize(
    ("document", "line"),
    [
        (b"[", "not valid JSON: EOF while parsing a list at line 1 column 1"),
        (b"1", "must be a table"),
    ],
)
def test_an_error_of_the_whole_document_names_no_place(document: bytes, line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate_json(document)
    assert first_error(caught.value) == line


def test_what_cannot_be_written_to_the_cache_is_kept_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "_TEMPORARY", [])
    assert write_to_cache(tmp_path / "a" / "b" / "c", "text") == tmp_path / "a" / "b" / "c"
    assert not caplog.records
    for number in range(2):
        path = write_to_cache(tmp_path / "a" / "b" / "c" / "d", str(number))
        assert path.parts[-2:] == ("c", "d")
        assert path.read_text() == str(number)
    assert len(caplog.records) == 1
    monkeypatch.setattr(files, "_TEMPORARY", [tmp_path / "gone"])
    with pytest.raises(UserError, match=r"File exists; nor can .*gone.* be used \(No such file"):
        write_to_cache(tmp_path / "a" / "b" / "c" / "d", "text")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_toml_may_begin_with_a_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "vp.toml"
    path.write_text('name = "ä"\r\n', encoding=encoding, newline="")
    assert read_toml(path) == {"name": "ä"}


def test_a_file_cut_in_the_middle_of_a_character_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "vp.toml"
    path.write_bytes(b"\xff\xfea")
    with pytest.raises(UserError, match="not valid TOML"):
        read_toml(path)
