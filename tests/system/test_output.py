"""Standard output that is full, closed, or in an encoding without the characters of a name."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vp_mqtt.errors import UserError
from vp_mqtt.terminal import guarded_output

VP = [sys.executable, "-m", "vp_mqtt"]
needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@needs_full_device
@pytest.mark.parametrize(
    "arguments", [["--help"], ["version"], ["camera", "--show-settings"], ["node", "--variant", "1", "--show-settings"]]
)
def test_a_full_disk_behind_the_output_is_reported_in_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*VP, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == "vp: cannot write the output: No space left on device\n"
    assert done.returncode == 2


@pytest.mark.parametrize("arguments", [["--help"], ["node", "--variant", "1", "--show-settings"]])
def test_a_reader_that_has_gone_ends_the_program_silently(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([*VP, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_pipe_that_is_not_the_output_is_reported() -> None:
    with pytest.raises(BrokenPipeError), guarded_output():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_closed_standard_streams_do_not_matter() -> None:
    command = " ".join([*VP, "node", "--variant", "1", "--show-settings", ">&-", "2>&-"])
    assert subprocess.run(["/bin/sh", "-c", command], check=False).returncode == 0


def test_characters_that_the_output_lacks_are_escaped(tmp_path: Path) -> None:
    settings = tmp_path / "camera.toml"
    settings.write_text('[camera]\nsource = "Küche/\u6d4b"\n', encoding="utf-8")
    done = subprocess.run(
        [*VP, "camera", "--config", str(settings), "--show-settings"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "K\\xfcche/\\u6d4b" in done.stdout


def test_an_error_that_is_not_about_the_output_is_left_as_it_is() -> None:
    with pytest.raises(FileNotFoundError), guarded_output():
        Path("/nowhere").read_bytes()
    with pytest.raises(UserError, match="something else"), guarded_output():
        raise UserError("something else")
