"""Rows of the table of whole pictures and their centre. Pure. The first row is the heading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.table_rows import percent


def zooms(result: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Accuracy of families and base models on whole pictures, and with the zoom that their validation part chose."""
    rows = [["", "", "zoom", "validation: whole pictures", "their centre", "test: whole pictures", "their centre"]]
    for one in result:
        shares = [percent(share) for part in ("validation", "test") for share in one[part]]
        rows.append([f"`{one['data']}`", one["network"], ", ".join(one["zoom"]), *shares])
    return rows
