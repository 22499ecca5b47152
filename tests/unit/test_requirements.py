"""requirements/*.txt, which `make` installs, agree with pyproject.toml and name no package index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# The coverage-guided fuzzer is installed by hand: it has wheels for few platforms.
UNLOCKED = {"dev-fuzz", "bench", "site"}


def locked(file: str) -> dict[str, list[Requirement]]:
    """Return the requirements in a file, by name: more than one where versions differ between Pythons."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / "requirements" / file).read_text(encoding="utf-8").splitlines():
        if re.match(r"[a-z]", line):
            requirement = Requirement(line.removesuffix("\\"))
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        ("demo.txt", {"broker", "web"}),
        ("board.txt", {"sign"}),
        ("web.txt", {"sign", "web", "teach"}),
        ("dev.txt", set(PROJECT["optional-dependencies"]) - UNLOCKED),
    ],
)
def test_every_requirement_is_locked_in_a_version_that_it_accepts(file: str, extras: set[str]) -> None:
    pins = locked(file) | locked("torch.txt") if file == "dev.txt" else locked(file)
    required = [
        *PROJECT["dependencies"],
        *(line for extra in extras for line in PROJECT["optional-dependencies"][extra]),
    ]
    for line in required:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{line}: run `make lock`"
        for pin in pins[name]:
            [version] = [specifier.version for specifier in pin.specifier]
            assert requirement.specifier.contains(version, prereleases=True), f"{line}: run `make lock`"


def test_the_sets_agree() -> None:
    everything = locked("dev.txt")
    for file in ("demo.txt", "board.txt", "web.txt"):
        for name, pins in locked(file).items():
            if name in everything:
                # Where it is needed may differ, not what is installed there.
                assert {str(pin.specifier) for pin in pins} <= {str(pin.specifier) for pin in everything[name]}, name


@pytest.mark.parametrize("file", ["demo.txt", "board.txt", "web.txt", "dev.txt", "torch.txt"])
def test_no_file_names_an_index_or_a_path(file: str) -> None:
    for line in (ROOT / "requirements" / file).read_text(encoding="utf-8").splitlines():
        if not re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", line):
            assert not re.search(r"://|^\s*-| @ ", line)
