"""Mutation testing: `make mutants`, `make mutants PACKAGE=fusion`.

mutmut changes one thing at a time in protocol, fusion, bundle and mqtt, and runs the unit tests of these packages that
reach the changed function. A mutant is killed when a test fails or hangs. Those that mypy refuses are not run, and left
out of the share: what counts is whether the tests notice. Survivors are listed;
docs/mutants.md has those of the last run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

PACKAGES = ("protocol", "fusion", "bundle", "mqtt")
FLOOR = 90
"""Percent of each package's mutants that the tests must kill."""

_KILLED = {"killed", "timeout", "segfault"}
_NOT_RUN = "caught by type check"
_TOOLS = Path(sys.executable).parent
_ENVIRONMENT = {**os.environ, "PATH": f"{_TOOLS}{os.pathsep}{os.environ['PATH']}"}


def run(packages: tuple[str, ...]) -> None:
    """Test the mutants of these packages that have not been tested since their code changed."""
    names = [f"vp_mqtt.{package}.*" for package in packages]
    subprocess.run([_TOOLS / "mutmut", "run", *names], env=_ENVIRONMENT, check=True)


def results() -> dict[str, str]:
    """Return the outcome of every mutant, by its name."""
    listed = subprocess.run(
        [_TOOLS / "mutmut", "results", "--all", "true"], env=_ENVIRONMENT, check=True, capture_output=True, text=True
    )
    return dict(re.findall(r"^ *(vp_mqtt\.\S+): (.+)$", listed.stdout, re.MULTILINE))


def main() -> int:
    """Test the packages named on the command line, all four by default; return 1 if too many mutants survive."""
    packages = tuple(sys.argv[1:]) or PACKAGES
    run(packages)
    outcomes = results()
    is_enough = True
    for package in packages:
        own = {name: outcome for name, outcome in outcomes.items() if name.startswith(f"vp_mqtt.{package}.")}
        alive = [name for name, outcome in own.items() if outcome not in {*_KILLED, _NOT_RUN}]
        for name in alive:
            print(f"{name}: {own[name]}")  # noqa: T201
        tested = sum(outcome != _NOT_RUN for outcome in own.values())
        killed = 100 * (1 - len(alive) / max(tested, 1))
        counts = ", ".join(f"{count} {outcome}" for outcome, count in Counter(own.values()).most_common())
        print(f"{package}: {killed:.1f} % of {tested} mutants killed ({counts})")  # noqa: T201
        is_enough &= killed >= FLOOR
    return 0 if is_enough else 1


if __name__ == "__main__":
    sys.exit(main())
