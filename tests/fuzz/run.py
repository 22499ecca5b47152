"""A long run of the coverage-guided fuzzer (atheris) over every decoder: `python -m tests.fuzz.run --inputs 1000000`.

Each decoder is fuzzed in a process of its own, which begins from the inputs in `nasty.py` and is ended by libFuzzer at
a crash, an exception, an input that takes more than 10 s, or more than 1 GB of memory. Prints one JSON object each.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_STATUS = re.compile(r"^#(\d+)\s+(INITED|DONE|pulse|NEW|REDUCE).*?rss: (\d+)Mb", re.MULTILINE)


def _child(name: str, arguments: list[str]) -> None:
    import atheris  # noqa: PLC0415

    with atheris.instrument_imports(include=["vp_mqtt", "tests.fuzz.targets", "tomllib", "json"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415

    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


def _fuzz(name: str, beginnings: Sequence[bytes], inputs: int, seconds: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="vp-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, data in enumerate(beginnings):
            (corpus / str(number)).write_bytes(data)
        limits = [f"-runs={inputs}", f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", "-max_len=4096"]
        command = [sys.executable, "-m", "tests.fuzz.run", "--child", name, "--", *limits]
        process = subprocess.run(
            [*command, f"-artifact_prefix={folder}/", str(corpus)], capture_output=True, text=True, check=False
        )
    lines = _STATUS.findall(process.stderr)
    result: dict[str, object] = {"decoder": name, "failed": process.returncode != 0}
    if lines:
        result |= {"inputs": int(lines[-1][0]), "rss_mb_start": int(lines[0][2]), "rss_mb_end": int(lines[-1][2])}
    if process.returncode != 0:
        result["output"] = process.stderr[-2000:]
    return result


def main() -> int:
    """Fuzz, print what came of it, and return 1 if a decoder failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for each decoder")
    parser.add_argument("--seconds", type=int, default=0, help="at most, for each decoder; 0: no limit")
    parser.add_argument("--only", action="append", help="this decoder; may be repeated")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _child(given.child, given.rest)
        return 0
    # Imports what a child has to instrument first.
    from tests.fuzz.nasty import NASTY  # noqa: PLC0415

    if unknown := set(given.only or ()) - set(NASTY):
        parser.error(f"--only {min(unknown)}: there are {', '.join(sorted(NASTY))}")
    failed = False
    for name in given.only or NASTY:
        result = _fuzz(name, NASTY[name], given.inputs, given.seconds)
        failed |= bool(result["failed"])
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
