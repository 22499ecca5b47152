"""What `vp bench latency` found, for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_latency(told: dict[str, Any]) -> None:
    """Print what the command's JSON holds as tables."""
    console = Console(highlight=False)
    machine = told["machine"]
    console.print(f"{machine['processor']}, {machine['cores']} cores, load {machine['load']}", soft_wrap=True)
    if told["models"]:
        console.print(f"\nmodels alone, ms for a picture: family '{told['family']}', {told['classes']} classes")
        console.print(_models(told["models"]))
    if told["end_to_end"] is not None:
        camera = {"jpeg": "passes JPEGs through", "encode": "encodes"}[told["end_to_end"]["camera"]]
        console.print(f"\nfrom capture to label, ms: '{told['end_to_end']['bundle']}', the camera {camera}")
        console.print(*_end_to_end(told["end_to_end"]), sep="\n", soft_wrap=True)


def _models(comparisons: list[dict[str, Any]]) -> Table:
    resolutions = [str(variant["resolution"]) for variant in comparisons[0]["variants"]]
    table = Table("runtime", "base", *resolutions)
    for one in comparisons:
        table.add_row(
            f"{one['runtime']}\n{one['precision']}, {one['threads']} thr.",
            f"{one['baseline_ms']:.2f}",
            *(f"{variant['ms']:.2f}\n{variant['ratio']:.1f} x" for variant in one["variants"]),
        )
    return table


def _end_to_end(told: dict[str, Any]) -> list[Table | str]:
    table = Table("", "p50", "p95", "p99", "labels")
    one, everything, floor = told["one"], told["all"], told["floor"]
    rows = (
        (f"variant {one['alive'][0]} alone", one, str(one["labels"])),
        (f"{len(everything['alive'])} variants", everything, str(everything["labels"])),
        ("floor", floor, ""),
    )
    for title, row, count in rows:
        table.add_row(title, *(f"{row[f'{name}_ms']:.2f}" for name in ("p50", "p95", "p99")), count)
    ratios = f"to the floor: p50 {told['ratio_p50']} x, p99 {told['ratio_p99']} x"
    return [table, f"{ratios}; all variants to one: p50 {told['all_to_one_p50']} x"]
