"""Table and plots of `vp bench compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.comparison.measure import Result
from vp_mqtt.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMES = {
    "single": "single network",
    "mp-float32": "model parallelism, float32",
    "mp-float16": "model parallelism, float16",
    "mp-int8": "model parallelism, int8",
    "cp": "class parallelism",
    "vp": "variant parallelism",
}
_COLOURS = {
    "single": "#555555",
    "mp-float32": "#d95f02",
    "mp-float16": "#e6ab02",
    "mp-int8": "#a6761d",
    "cp": "#7570b3",
    "vp": "#1b9e77",
}
# Keeps overlapping lines distinguishable.
_STYLES = {"single": "s-", "mp": "v--", "cp": "x:", "vp": "o-"}
_DOTS_PER_INCH = 150
_CAPTION = (
    "n: boards. right: accuracy with all alive. bytes: sent by all boards per frame. 1 dead, n-1 dead: frames "
    "answered. unanswered: of the frames of a run in which one board dies half-way."
)


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def results_table(results: Sequence[Result]) -> Table:
    """Return a table with a row for every result."""
    columns = ("n", "link", "right", "p50 ms", "p95 ms", "bytes", "1 dead", "n-1 dead", "unanswered")
    table = Table("", *columns, caption=_CAPTION, caption_justify="left")
    for result in results:
        found = result.as_dict()
        dead, death = found["dead"], found.get("one_dies")
        last = str(max(int(count) for count in dead))
        table.add_row(
            result.system.name,
            str(result.system.boards),
            found["link"],
            _text(found["accuracy"], ".1%"),
            _text(found["response_ms"]["p50"], ".1f"),
            _text(found["response_ms"]["p95"], ".1f"),
            _text(found["bytes_per_frame"], ",.0f"),
            _text(dead["1"]["answered"], ".0%") if "1" in dead else "-",
            _text(dead[last]["answered"], ".0%") if int(last) == result.system.boards - 1 > 0 else "-",
            f"{death['unanswered']} of {death['frames']}" if death else "-",
        )
    return table


def write_plots(results: Sequence[Result], folder: Path) -> list[Path]:
    """Plot response times, bytes on the wire, and the effect of dead boards, and return the files.

    Raises:
        UserError: the folder cannot be written.
    """
    figures = {
        "compare-response.png": _dots(results, "response time, median to 95 % [ms]", "response"),
        "compare-bytes.png": _dots(results, "sent by all boards per frame [bytes]", "bytes"),
        "compare-dead.png": _dead(results),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            figure.savefig(folder / name, dpi=_DOTS_PER_INCH)
    except OSError as error:
        raise UserError(f"--plots {folder}: {error.strerror}") from None
    return [folder / name for name in figures]


def _names(results: Sequence[Result]) -> list[str]:
    return [name for name in _NAMES if any(result.system.name == name for result in results)]


def _dots(results: Sequence[Result], label: str, what: str) -> Figure:
    """Return dots by number of boards, one panel per kind of link, on a logarithmic scale."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (of the extra `train`, and slow to load)
    from matplotlib.ticker import EngFormatter, NullFormatter, ScalarFormatter  # noqa: PLC0415

    links = list(dict.fromkeys(result.link for result in results))
    figure = Figure(figsize=(1.5 + 3.6 * len(links), 4.4), layout="constrained")
    parts = figure.subplots(1, len(links), sharey=True, squeeze=False)[0]
    names = _names(results)
    counts = sorted({result.system.boards for result in results if result.system.kind != "single"})
    for axes, link in zip(parts, links, strict=True):
        for place, name in enumerate(names):
            mine = [result for result in results if result.system.name == name and result.link == link]
            for result in mine:
                value = result.p50_ms if what == "response" else result.bytes_per_frame
                if value is None:
                    continue
                at = 0.0 if name == "single" else 1.0 + counts.index(result.system.boards)
                shift = 0.0 if name == "single" else (place - len(names) / 2) * 0.16
                label_once = _NAMES[name] if result is mine[0] else None
                # A bar's length would mean nothing on this scale.
                marker = _STYLES[result.system.kind][0]
                axes.plot(at + shift, value, marker, color=_COLOURS[name], label=label_once, ms=8)
                if what == "response" and result.p95_ms is not None:
                    axes.vlines(at + shift, value, result.p95_ms, color=_COLOURS[name])
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(EngFormatter(sep="") if what == "bytes" else ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(range(len(counts) + 1), ["1", *map(str, counts)])
        axes.set_xlabel("boards")
        axes.set_title(link or "loopback")
        axes.grid(axis="y", alpha=0.3)
    parts[0].set_ylabel(label)
    handles, labels = parts[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _dead(results: Sequence[Result]) -> Figure:
    """Return the effect of dead boards with the most boards: answered frames, or accuracy where it is known."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    link = results[0].link
    most = max(result.system.boards for result in results)
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    shown = [r for r in results if r.link == link and r.system.boards == most]
    has_accuracy = all(result.accuracy for result in shown)
    for name in _names(shown):
        (result,) = [one for one in shown if one.system.name == name]
        shares = [
            100 * answers.share * (result.accuracy[count] if has_accuracy else 1)
            for count, answers in sorted(result.dead.items())
        ]
        style = _STYLES[result.system.kind]
        axes.plot(sorted(result.dead), shares, style, color=_COLOURS[name], label=_NAMES[name], alpha=0.8, ms=8)
    axes.set_xlabel(f"dead boards, of {most}")
    axes.set_ylabel("frames labelled right [%]" if has_accuracy else "frames answered [%]")
    axes.set_ylim(-3, 103)
    axes.set_xticks(range(most))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
