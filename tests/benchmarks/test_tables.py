"""Tables of the documentation come from the files in benchmarks/results, and say what those say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from benchmarks.tables import PAGES, RESULTS, ROOT, TABLES, read_result, render, update
from vp_mqtt.errors import UserError

FILES = sorted(path.stem for path in RESULTS.glob("*.json"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert update(text) == text, "run `python -m benchmarks.tables`"
    assert text.count("<!-- table:") == text.count("<!-- /table -->")


def test_every_table_is_in_a_page_and_every_file_in_a_table() -> None:
    shown = re.findall(r"<!-- table: (\S+) -->", "".join(page.read_text(encoding="utf-8") for page in PAGES))
    assert sorted(shown) == sorted(TABLES)
    assert {file for file, _ in TABLES.values()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_how_where_and_when_it_was_measured(name: str) -> None:
    found = read_result(name)
    assert found.keys() - {"note"} == {"command", "machine", "date", "date_of", "result"}
    assert all(isinstance(command, str) for command in found["command"])
    assert found["machine"]
    assert date.fromisoformat(found["date"])
    assert found["date_of"] in {"measurement", "commit"}


def test_another_result_makes_another_table(tmp_path: Path) -> None:
    found = read_result("ablation")
    found["result"]["accuracy"] = {"all": {"fused": 0.5, "two_alive": 0.25, "alone": 0.125}}
    (tmp_path / "ablation.json").write_text(json.dumps(found))
    page = "before\n<!-- table: ablation -->\n| old |\n<!-- /table -->\nafter\n"
    assert update(page, tmp_path).splitlines() == [
        "before",
        "<!-- table: ablation -->",
        "| | fused | two of three alive | a variant alone |",
        "|---|---|---|---|",
        "| all | 50.00 % | 25.00 % | 12.50 % |",
        "<!-- /table -->",
        "after",
    ]


def test_what_is_not_there_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no table 'none'"):
        render("none")
    with pytest.raises(UserError, match=r"ablation\.json"):
        render("ablation", tmp_path)


def test_the_command_checks_the_pages() -> None:
    command = [sys.executable, "-m", "benchmarks.tables", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "all tables are up to date\n"), done.stderr
