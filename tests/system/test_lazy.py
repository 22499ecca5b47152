"""`vp --help` answers at once: a command is imported when it is named, and not before."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest
import typer

from vp_mqtt import __version__
from vp_mqtt.cli.app import COMMANDS

HEAVY = {"torch", "onnxruntime", "openvino", "onnx", "cv2", "numpy", "pydantic", "pydantic_settings", "paho", "scipy"}

LOADED = """\
import sys
sys.argv = ["vp", *sys.argv[1:]]
from vp_mqtt.cli.app import main
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
print(*sorted(name for name in sys.modules if "." not in name or name.startswith("vp_mqtt.")))
"""


def loaded_by(*arguments: str) -> set[str]:
    """Return the modules that `vp ARGUMENTS` has loaded at its end: whole packages, and our own by module."""
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_nothing_heavy() -> None:
    assert loaded_by("--help") & HEAVY == set()


@pytest.mark.parametrize(
    "arguments", [("version",), ("bench", "--help"), ("site", "--help"), ("bench", "soak", "--help")]
)
def test_small_commands_load_nothing_heavy_of_ours(arguments: tuple[str, ...]) -> None:
    # typer itself loads pydantic to read a command's arguments.
    assert loaded_by(*arguments) & (HEAVY - {"pydantic"}) == set()


def test_help_loads_no_command_at_all() -> None:
    ours = {name for name in loaded_by("--help") if name.startswith("vp_mqtt.")}
    assert ours == {
        "vp_mqtt.cli",
        "vp_mqtt.cli.app",
        "vp_mqtt.cli.lazy",
        "vp_mqtt.cli.termination",
        "vp_mqtt.errors",
        "vp_mqtt.masking",
        "vp_mqtt.plain_text",
        "vp_mqtt.terminal",
    }


def test_a_command_loads_itself_and_no_other() -> None:
    loaded = loaded_by("train", "--help")
    assert "vp_mqtt.cli.train" in loaded
    assert not loaded & {"vp_mqtt.cli.nodes", "vp_mqtt.cli.push", "vp_mqtt.cli.site", "benchmarks.cli", "torch"}


def test_help_shows_every_command_and_its_text() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vp_mqtt", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "300"},
    )
    rows = re.findall(r"^│ (\S+) +(\S.*?) *│$", done.stdout, re.MULTILINE)
    shown = {name: text for name, text in rows if not name.startswith("--")}
    assert list(shown) == list(COMMANDS)
    assert shown == {name: lazy.help for name, lazy in COMMANDS.items()}
    panels = [panel for panel in re.findall(r"^╭─ (\w+) ", done.stdout, re.MULTILINE) if panel != "Options"]
    assert panels == list(dict.fromkeys(lazy.panel or "Commands" for lazy in COMMANDS.values()))


@pytest.mark.parametrize(("program", "function"), [("vp", "main"), ("vp-node", "node_main")])
def test_every_program_prints_its_version(program: str, function: str) -> None:
    code = f"import sys; sys.argv = ['{program}', '--version']; from vp_mqtt.cli import app; app.{function}()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{program} {__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["calibrate", "/nowhere", "data", "--out", "x"],
        ["merge", "/nowhere", "--out", "x"],
        ["eval", "/nowhere", "data"],
    ],
    ids=lambda command: command[0],
)
def test_work_with_bundles_needs_no_torch(command: list[str]) -> None:
    code = f"""
import sys
from vp_mqtt.cli import app

class WithoutTorch:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, WithoutTorch())
sys.argv = {["vp", *command]}
app.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no bundle at '/nowhere'" in done.stderr


def test_vp_alone_prints_its_help() -> None:
    done = subprocess.run([sys.executable, "-m", "vp_mqtt"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "Usage: vp [OPTIONS] COMMAND" in done.stdout
    assert done.stderr.strip() == ""


def completed(words: str, function: str = "main") -> set[str]:
    """Return what bash offers after `words` of a command line, the last of which is incomplete."""
    program = words.split(" ", maxsplit=1)[0]
    environment = {
        f"_{program.replace('-', '_').upper()}_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    code = f"import sys; sys.argv = ['{program}']; from vp_mqtt.cli import app; app.{function}()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    return set(done.stdout.split())


def test_commands_and_flags_are_completed() -> None:
    assert completed("vp ") == set(COMMANDS)
    assert completed("vp wa") == {"watch"}
    assert {"init", "check", "provision"} <= completed("vp site ")
    assert {"--password-file", "--ca-file"} <= completed("vp node --")
    assert completed("vp-node --vari", "node_main") == {"--variant"}


def test_completion_scripts_are_offered_by_every_program() -> None:
    for program, function in [("vp", "main"), ("vp-camera", "camera_main"), ("vp-fusion", "fusion_main")]:
        assert completed(f"{program} --inst", function) == {"--install-completion"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_has_the_help_text_of_each_command(name: str) -> None:
    lazy = COMMANDS[name]
    found = lazy.load()
    own = found.info.help if isinstance(found, typer.Typer) else inspect.getdoc(found)
    assert own == lazy.help


def test_a_command_is_run_with_its_arguments() -> None:
    done = subprocess.run([sys.executable, "-m", "vp_mqtt", "version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout)


def test_a_misspelt_command_gets_a_suggestion() -> None:
    ended = subprocess.run([sys.executable, "-m", "vp_mqtt", "demoo"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "vp: No such command 'demoo'. Did you mean 'demo'?; see `vp --help`\n"
