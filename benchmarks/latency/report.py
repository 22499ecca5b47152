"""Tables of `vp bench latency`."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_latency(report: dict[str, Any]) -> None:
    """Print the command's JSON as tables."""
    console = Console(highlight=False)
    machine = report["machine"]
    console.print(f"{machine['processor']}, {machine['cores']} cores, load {machine['load']}", soft_wrap=True)
    if report["models"]:
        console.print(f"\nmodels alone, ms for a picture: family '{report['family']}', {report['classes']} classes")
        console.print(_models(report["models"]))
    if report["end_to_end"] is not None:
        camera = {"jpeg": "passes JPEGs through", "encode": "encodes"}[report["end_to_end"]["camera"]]
        console.print(f"\nfrom capture to label, ms: '{report['end_to_end']['bundle']}', the camera {camera}")
        console.print(*_end_to_end(report["end_to_end"]), sep="\n", soft_wrap=True)


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


def _end_to_end(report: dict[str, Any]) -> list[Table | str]:
    table = Table("", "p50", "p95", "p99", "labels")
    one, all_variants, floor = report["one"], report["all"], report["floor"]
    rows = (
        (f"variant {one['alive'][0]} alone", one, str(one["labels"])),
        (f"{len(all_variants['alive'])} variants", all_variants, str(all_variants["labels"])),
        ("lower bound", floor, ""),
    )
    for title, row, count in rows:
        table.add_row(title, *(f"{row[f'{name}_ms']:.2f}" for name in ("p50", "p95", "p99")), count)
    ratios = f"to the lower bound: p50 {report['ratio_p50']} x, p99 {report['ratio_p99']} x"
    return [table, f"{ratios}; all variants to one: p50 {report['all_to_one_p50']} x"]
