"""Tables of `vp bench footprint` and `vp bench models`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from vp_mqtt.training.cost import ModelsReport


def print_footprint(report: dict[str, Any]) -> None:
    """Print the command's JSON as tables."""
    console = Console(highlight=False)
    install = report["install"]
    largest = ", ".join(f"{name} {mb:g}" for name, mb in list(install["distributions"].items())[:4])
    imports = ", ".join(f"{node} {one['s']:.2f}" for node, one in report["import"].items())
    lines = [
        f"installed: {install['mb']:g} MB (our own: {install['own_mb']:g} MB; {largest}, ..)",
        f"imports, s: {imports}",
        f"vp --help: {report['help_s']:.2f} s, {_times(report, 'help_cpu_s', 'bare_cpu_s')} a bare Python",
        f"vp-node, from its start to online: {report['start_to_online_s']:.2f} s",
        f"processor time until then: {_times(report, 'start_cpu_s', 'libraries_cpu_s')} that of its imports",
        f"torch in a node: {'yes' if report['torch_is_mapped'] else 'no'}",
    ]
    console.print(*lines, sep="\n", soft_wrap=True)
    table = Table(f"after {report['frames']} frames", "memory, MB", "shared counted once", "threads", "CPU, ms a frame")
    for role, own in report["processes"].items():
        table.add_row(
            role, f"{own['rss_mb']:g}", f"{own['pss_mb']:g}", str(own["threads"]), f"{own['cpu_ms_per_frame']:g}"
        )
    console.print(table)
    table = Table("on the wire, bytes", "payload", "whole packet")
    for kind, sizes in report["wire"].items():
        table.add_row(kind, f"{sizes['payload_bytes']:g}", f"{sizes['packet_bytes']:g}")
    console.print(table)


def _times(report: dict[str, Any], what: str, of: str) -> str:
    return f"{report[what] / report[of]:.1f} times"


def print_models(report: ModelsReport) -> None:
    """Print the base model and every variant of a family in a table."""
    table = Table("", "pixels", "width", "head", "params", "fewer", "MACs", "fewer")
    base = report.baseline
    table.add_row("base model", "224", "1.0", "1280", f"{base.params:,}", "", f"{base.macs / 1e6:.1f} M", "")
    for one in report.variants:
        table.add_row(
            f"variant {one.index}",
            str(one.resolution),
            str(one.alpha),
            str(one.head),
            f"{one.params:,}",
            f"{one.params_ratio:.2f} x",
            f"{one.macs / 1e6:.2f} M",
            f"{one.macs_ratio:.2f} x",
        )
    Console(highlight=False).print(f"family '{report.family}', {report.classes} classes", table)
