"""Writes the tables of docs/metrics.md, which a test keeps up to date: metrics from the code, alerts from the rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from vp_mqtt.integrations.metrics import catalog
from vp_mqtt.integrations.metrics.catalog import Entry

DOCUMENT = Path("docs/metrics.md")
RULES = Path("deploy/prometheus/vp-mqtt.rules.yml")


def metrics_table(entries: Iterable[Entry]) -> str:
    """Return a table of metrics in Markdown."""
    rows = (
        f"| `{entry.name}` | {entry.kind} | {', '.join(entry.labels)} | {entry.help.rstrip('.')} |" for entry in entries
    )
    return "\n".join(["| metric | type | labels | meaning |", "|---|---|---|---|", *rows])


def alerts_table(rules: str) -> str:
    """Return a table of the alerts in a rules file, in Markdown."""
    found = (rule for group in yaml.safe_load(rules)["groups"] for rule in group["rules"])
    rows = (
        f"| `{rule['alert']}` | {rule['labels']['severity']} | `{rule['expr']}` | {rule['for']} |" for rule in found
    )
    return "\n".join(
        ["| alert | severity | fires where | for |", "|---|---|---|---|", *(_escaped(row) for row in rows)]
    )


def _escaped(row: str) -> str:
    """Return a row of a table whose code may have a bar in quotes: `=~"a|b"`."""
    return re.sub(r"(?<=\w)\|(?=\w)", r"\\|", row)


def filled(text: str, root: Path) -> str:
    """Return a document with each part between `<!-- metrics: NAME -->` and the next `<!-- end -->` written anew."""
    tables = dict(_tables(root))
    return re.sub(
        r"(<!-- metrics: (\w+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{tables[found[2]]}\n{found[3]}",
        text,
        flags=re.DOTALL,
    )


def _tables(root: Path) -> Iterator[tuple[str, str]]:
    yield "nodes", metrics_table(catalog.OF_NODES)
    yield "site", metrics_table(catalog.OF_SITE)
    yield "alerts", alerts_table((root / RULES).read_text(encoding="utf-8"))


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8"), Path()), encoding="utf-8")
