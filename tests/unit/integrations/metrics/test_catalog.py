"""Every metric that is exported, and every counter of a node."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import vp_mqtt
from vp_mqtt.integrations.metrics import catalog
from vp_mqtt.integrations.metrics.catalog import Kind

PACKAGE = Path(vp_mqtt.__file__).parent
ALL = (*catalog.OF_NODES, *catalog.OF_SITE)
UNITS = ("_seconds", "_bytes", "_celsius", "_ratio")
WITHOUT_UNIT = {"vp_node_info", "vp_node_problem", "vp_node_presence", "vp_site_connected", "vp_site_problems"}
OF_FRAMES = {"frame", "frame_id", "run", "sequence", "label", "truth"}


def test_names_and_units_are_those_of_prometheus() -> None:
    assert len({entry.name for entry in ALL}) == len(ALL)
    for entry in ALL:
        assert re.fullmatch(r"vp_[a-z]+(_[a-z]+)+", entry.name)
        if entry.kind is Kind.COUNTER:
            assert entry.name.endswith("_total")
        else:
            assert entry.name.endswith(UNITS) or entry.name in WITHOUT_UNIT
        assert entry.help.endswith(".")


def test_the_number_of_label_values_is_bounded() -> None:
    for entry in ALL:
        assert entry.labels[0] == "site"
        assert not OF_FRAMES & set(entry.labels)


def counted(tree: ast.AST) -> Iterator[str]:
    """Yield the names of counters that code increases: `counts["name"] += 1`, or a choice between two."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Subscript):
            name = node.target.value
            if (name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")).endswith("counts"):
                constants = (one for one in ast.walk(node.target.slice) if isinstance(one, ast.Constant))
                yield from (str(one.value) for one in constants if isinstance(one.value, str))
        if isinstance(node, ast.keyword) and node.arg == "more_counts":
            yield from (str(key.value) for key in ast.walk(node.value) if isinstance(key, ast.Constant))


def test_every_counter_of_a_node_is_exported() -> None:
    files = [*(PACKAGE / "nodes").glob("*.py"), *(PACKAGE / "fusion").glob("*.py")]
    found = {name for file in files for name in counted(ast.parse(file.read_text(encoding="utf-8")))}
    exported = {name for entry in catalog.OF_NODES for name in entry.counts}
    assert {"frames", "votes_unsent", "labels", "frames_dropped", "messages_dropped", "late"} <= found
    assert found | {"connections", "refused"} == exported
