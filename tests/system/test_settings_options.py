"""The commands' flags, in processes: a user's error is reported in one line, with exit code 2."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import error_line, run_vp

SECRET = "hunter2-Geheim"


def test_an_unknown_bundle_is_reported_in_one_line_by_a_process() -> None:
    for arguments in (("node", "--variant", "0"), ("fusion",)):
        reported = error_line(run_vp(*arguments, "--bundle", "no-such-family"))
        assert reported.startswith("no bundle at 'no-such-family'")


def test_a_variant_that_is_not_in_the_bundle_is_reported_in_one_line_by_a_process(bundle: Path) -> None:
    reported = error_line(run_vp("node", "--variant", "6", "--bundle", str(bundle)))
    assert reported == "variant 6: the bundle 'tiny' has variants 0 to 5"


def test_more_classes_in_a_vote_than_there_are_is_reported_in_one_line_by_a_process(bundle: Path) -> None:
    reported = error_line(run_vp("node", "--variant", "0", "--k", "5", "--bundle", str(bundle)))
    half = "a vote holds at most half of the classes; the bundle 'tiny' has 4, so write 2 or less"
    assert reported == f"--k 5: {half}"


def test_an_unknown_source_is_reported_in_one_line_by_a_process(tmp_path: Path) -> None:
    reported = error_line(run_vp("camera", "--source", str(tmp_path / "nowhere")))
    assert reported.startswith(f"--source {tmp_path / 'nowhere'}: there is no such file or folder")


def test_a_wrong_environment_is_reported_in_one_line_by_a_process() -> None:
    assert error_line(run_vp("fusion", VP_BROKER="localhost")).startswith("VP_BROKER: ")
    assert error_line(run_vp("node", VP_VARIANT="two")).startswith("VP_VARIANT: ")


def test_a_process_shows_its_settings() -> None:
    code, out, err = run_vp("node", "--variant", "3", "--show-settings", VP_SITE="attic", VP_PASSWORD=SECRET)
    assert (code, err) == (0, "")
    assert re.search(r"^variant +3  \(flag\)$", out, re.MULTILINE)
    assert re.search(r"^site +attic  \(environment\)$", out, re.MULTILINE)
    assert SECRET not in out


def test_help_answers_without_loading_what_only_nodes_need() -> None:
    code = (
        "import sys; sys.argv = ['vp', 'node', '--help']\n"
        "from vp_mqtt.cli import app\n"
        "try:\n    app.main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted({'torch', 'onnxruntime', 'cv2', 'paho', 'onnx'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["node", "--bogus"], "vp node: No such option: --bogus; see `vp node --help`"),
        (["bench", "models", "--classes", "x"], "vp bench models: Invalid value for '--classes'"),
        (["nothing"], "vp: No such command 'nothing'"),
        (["train"], "vp train: Missing argument"),
    ],
)
def test_a_wrong_command_line_is_reported_in_one_line(arguments: list[str], reported: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "vp_mqtt", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(reported)
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""
