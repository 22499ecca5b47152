"""The rows of each table of the documentation, made from a result. Pure. The first row is the heading."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

Result = dict[str, Any]
Rows = list[list[str]]

_COUNTS = {1: "one", 2: "two", 3: "three"}
_SYSTEMS = {"single": "single", "mp-float32": "MP, float32", "mp-int8": "MP, int8", "cp": "CP", "vp": "VP"}
_RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
_LIBRARIES = {"opencv-python-headless": "OpenCV", "onnxruntime": "ONNX Runtime", "numpy": "NumPy"}


def percent(share: float, digits: int = 2) -> str:
    """Return a share, 0..1, in percent."""
    return f"{100 * share:.{digits}f} %"


def _bold(share: float) -> str:
    return f"**{percent(share)}**"


def _optional(value: float | None, missing: str = "-") -> str:
    return missing if value is None else f"{value:,}" if isinstance(value, int) else f"{value}"


def accuracy(result: Result, *, has_mean_per_class: bool = False) -> Rows:
    """Accuracy of a family and of its base model, as `vp bench accuracy --json` prints it."""
    family = result["trainings"]["family"]
    scores, costs = family["eval"]["accuracy"], family["variants"]
    per_class = family["eval"]["mean_per_class"] if has_mean_per_class else None
    count = len(scores["variants"])

    def row(*cells: str, mean_per_class: str = "") -> list[str]:
        return [*cells, mean_per_class] if has_mean_per_class else list(cells)

    rows = [row("", "pixels", "params fewer", "MACs fewer", "accuracy", mean_per_class="mean per class")]
    fused_mean = _bold(per_class["fused"]) if per_class else ""
    rows.append(row(f"**fused, all {count} alive**", "", "", "", _bold(scores["fused"]), mean_per_class=fused_mean))
    for dead, word in _COUNTS.items():
        alive = str(count - dead)
        explained = " (mean over all choices; worst)" if dead == 1 else ""
        worst = percent(scores["by_alive_worst"][alive]["accuracy"])
        rows.append(
            row(f"fused, {word} dead{explained}", "", "", "", f"{percent(scores['by_alive'][alive])} ({worst})")
        )
    for index in reversed(range(count)):
        cost = costs[index]
        rows.append(
            row(
                f"variant {index}",
                str(cost["resolution"]),
                f"{cost['params_ratio']:.2f} x",
                f"{cost['macs_ratio']:.2f} x",
                percent(scores["variants"][index]),
                mean_per_class=percent(per_class["variants"][index]) if per_class else "",
            )
        )
    base = result["trainings"].get("base")
    if base is not None:
        (cost,), (score,) = base["variants"], base["eval"]["accuracy"]["variants"]
        base_mean = _bold(base["eval"]["mean_per_class"]["variants"][0]) if has_mean_per_class else ""
        ratios = (f"{cost['params_ratio']:g} x", f"{cost['macs_ratio']:g} x")
        rows.append(
            row("**MobileNetV2 1.0**", str(cost["resolution"]), *ratios, _bold(score), mean_per_class=base_mean)
        )
    return rows


def accuracy_through_jpeg(result: Result) -> Rows:
    """Accuracy of a family on pictures as they are, and through JPEG."""
    family = result["trainings"]["family"]
    plain, jpeg = family["eval"]["accuracy"], family["eval_jpeg_90"]["accuracy"]
    count = len(plain["variants"])
    rows = [["", "pixels", "accuracy", "through JPEG, quality 90"]]
    rows.append(
        [f"**fused, all {count} alive**", "", f"**{percent(plain['fused'])}**", f"**{percent(jpeg['fused'])}**"]
    )
    for dead, word in _COUNTS.items():
        what = f"fused, {word} board dead (mean over all choices)" if dead == 1 else f"fused, {word} dead"
        rows.append([what, "", *(percent(one["by_alive"][str(count - dead)]) for one in (plain, jpeg))])
    for index in reversed(range(count)):
        shares = (percent(one["variants"][index]) for one in (plain, jpeg))
        rows.append([f"variant {index}", str(family["variants"][index]["resolution"]), *shares])
    return rows


def from_scratch(result: Result) -> Rows:
    """Accuracy of families and base models without pretrained weights."""
    sets = [result[name] for name in ("fashion-mnist", "cifar10", "caltech101")]

    def with_mean(share: float, one: Result) -> str:
        mean = f" ({percent(one['mean_per_class'])})" if "mean_per_class" in one else ""
        return f"**{percent(share)}**{mean}"

    rows = [["", "Fashion-MNIST", "CIFAR-10", "Caltech-101 (mean per class)"]]
    rows.append(["**fused, all six alive**", *(with_mean(one["fused"], one) for one in sets)])
    for dead, word in _COUNTS.items():
        explained = " (mean over all choices)" if dead == 1 else ""
        rows.append([f"fused, {word} dead{explained}", *(percent(one["by_alive"][str(6 - dead)]) for one in sets)])
    worst_and_best = (f"{percent(one['worst_variant'])}, {percent(one['best_variant'])}" for one in sets)
    rows.append(["variants, the worst and the best", *worst_and_best])
    bases = [one["base"] for one in sets]
    base_cells = (f"{with_mean(base['accuracy'], base)}, {base['resolution']} pixels" for base in bases)
    rows.append(["**MobileNetV2 1.0**", *base_cells])
    minutes = (f"{one['minutes']['family']}, {one['minutes']['base']}" for one in sets)
    rows.append(["minutes of one core, family and base", *minutes])
    return rows


def linear_classifier(result: Result) -> Rows:
    """Accuracy of linear classifiers, as `vp bench linear-classifier --json` prints it."""
    return [
        ["pixels", *map(str, result["resolutions"]), "fused"],
        ["accuracy", *(percent(share, 1) for share in (*result["variants"], result["fused"]))],
    ]


def fusion_rules(result: Result) -> Rows:
    """Accuracy of fusion rules on three sets, each as `vp bench fusion --json` prints it."""
    sets = {"Fashion-MNIST": "fashion-mnist", "Caltech-101": "caltech101", "CIFAR-10": "cifar10"}
    heading = ["", ""]
    for title in sets:
        heading += [title, "", ""]
    rows = [heading, ["residual", "weights", *(["validation", "test", "half"] * len(sets))]]
    for rules in zip(*(result[name]["rules"] for name in sets.values()), strict=True):
        shares = [f"{100 * rule[part]:.2f}" for rule in rules for part in ("validation", "test", "half")]
        rows.append([rules[0]["residual"], rules[0]["weights"], *shares])
    return rows


def ablation(result: Result) -> Rows:
    """Accuracy by part of the recipe, as `vp bench ablation --json` prints it."""
    rows = [["", "fused", "two of three alive", "a variant alone"]]
    for part, mean in result["accuracy"].items():
        rows.append([part, *(percent(mean[key]) for key in ("fused", "two_alive", "alone"))])
    return rows


def compare_response(result: Result) -> Rows:
    """Accuracy, response time and bytes of every system, as `vp bench compare --json` prints them under "all"."""
    columns = ["system", "boards", "link", "accuracy", "response p50", "p95", "bytes per frame"]
    rows = [[*columns, "unanswered of frames as one dies"]]
    for one in result["all"]:
        death = one["one_dies"]
        rows.append(
            [
                _SYSTEMS[one["system"]],
                str(one["boards"]),
                one["link"],
                percent(one["accuracy"]).replace(" ", ""),
                f"{one['response_ms']['p50']:.0f}",
                f"{one['response_ms']['p95']:.0f}",
                f"{one['bytes_per_frame']:,.0f}",
                f"{death['unanswered']} of {death['frames']}",
            ]
        )
    return rows


def compare_dead(result: Result) -> Rows:
    """Answered frames and accuracy by dead boards, of the results behind the first kind of link."""
    first = [one for one in result["all"] if one["link"] == result["all"][0]["link"]]
    most = max(len(one["dead"]) for one in first)
    rows = [["system", "boards", *(f"{dead} dead" for dead in range(most))]]
    for one in first:
        cells = [
            f"{100 * own['answered']:.0f}%, {100 * own['accuracy']:.1f}%"
            if (own := one["dead"].get(str(dead))) is not None
            else ""
            for dead in range(most)
        ]
        rows.append([_SYSTEMS[one["system"]], str(one["boards"]), *cells])
    return rows


def models(result: Result) -> Rows:
    """Cost of models by number of classes, each as `vp bench models --json` prints it."""
    classes = ["10", "101", "150"]
    reports = [result[count] for count in classes]
    rows = [["", "pixels", "head", "params, 10 classes", "101 classes", "150 classes", "MACs, 101 classes"]]
    params = (f"{report['baseline']['params']:,}" for report in reports)
    macs = reports[1]["baseline"]["macs"]
    rows.append(["base model", "224", "1280", *params, f"{macs / 1e6:.1f} M"])
    for variants in zip(*(report["variants"] for report in reports), strict=True):
        cells = [f"{one['params']:,} ({one['params_ratio']:.2f} x)" for one in variants]
        cells[0] = cells[0].replace(" x)", " x fewer)")
        one = variants[1]
        mega = f"{one['macs'] / 1e6:.2f} M ({one['macs_ratio']:.2f} x)"
        rows.append([f"variant {one['index']}", str(one["resolution"]), str(one["head"]), *cells, mega])
    return rows


def latency_models(result: Result) -> Rows:
    """Latency of models alone, as `vp bench latency --json` prints it under "models"."""
    measured = result["models"]
    rows = [["runtime, threads", "base", *(str(one["resolution"]) for one in measured[0]["variants"])]]
    for one in measured:
        cells = [f"{variant['ms']:.2f} ({variant['ratio']:.1f})" for variant in one["variants"]]
        title = f"{_RUNTIMES[one['runtime']]}, {one['precision']}, {one['threads']}"
        rows.append([title, f"{one['baseline_ms']:.1f}", *cells])
    return rows


def latency_end_to_end(result: Result) -> Rows:
    """Response times of several runs, each as `vp bench latency --json` prints it under "end_to_end"."""
    rows = [["run", "frames", "p50", "p99", "p50 to the lower bound's", "p99 to the lower bound's p99"]]
    for number, run in enumerate(result["runs"], start=1):
        one = run["one"]
        times = (f"{one['p50_ms']:.1f}", f"{one['p99_ms']:.1f}", f"{run['ratio_p50']:.2f}", f"{run['ratio_p99']:.2f}")
        rows.append([str(number), str(one["frames"]), *times])
    return rows


def footprint(result: Result) -> Rows:
    """What a board needs, as `vp bench footprint --json` prints it."""
    install = result["install"]
    libraries = ", ".join(f"{_LIBRARIES[name]} {mb:g}" for name, mb in install["distributions"].items())
    variant, fusion, camera = (result["processes"][role] for role in ("variant", "fusion", "camera"))
    vote = result["wire"]["vote"]
    node = help_text = ""
    if "bare_cpu_s" in result:
        node = f"; {result['start_cpu_s'] / result['libraries_cpu_s']:.1f} x the processor time of its imports"
        help_text = f"; {result['help_cpu_s'] / result['bare_cpu_s']:.0f} x the processor time of a bare interpreter"
    return [
        ["", ""],
        ["installed, without extras", f"{install['mb']:g} MB: {libraries}, our own {install['own_mb']:g}"],
        ["torch", "loaded" if result["torch_is_mapped"] else "not installed, not loaded"],
        ['from `vp-node` to "online"', f"{result['start_to_online_s']:.2f} s (target 1.5){node}"],
        ["`vp --help`", f"{result['help_s']:.2f} s (target 0.3){help_text}"],
        [
            "resident memory of a variant node, of the fusion node, of the camera",
            f"{variant['rss_mb']:g} MB (target 120), {fusion['rss_mb']:g} MB, {camera['rss_mb']:g} MB",
        ],
        ["threads of a variant node", str(variant["threads"])],
        [
            "processor time per frame of a variant node (96 pixels), of the fusion node, of the camera",
            ", ".join(f"{one['cpu_ms_per_frame']:g} ms" for one in (variant, fusion, camera)),
        ],
        [
            "vote: payload; complete packet as a subscriber gets it",
            f"{vote['payload_bytes']:g} bytes (target 8 + 4k = 20); {vote['packet_bytes']:g} bytes (target 64)",
        ],
    ]


def faults(result: Result) -> Rows:
    """Frames under every fault, as `vp bench faults --json` prints them."""
    keys = {
        "announced": "announced",
        "labelled": "labelled",
        "no votes": "without_votes",
        "lost": "lost",
        "late": "late",
        "p99": "latency_ms_p99",
        "max": "latency_ms_max",
        "recovery": "recovery_s",
        "accuracy": "accuracy",
        "meanwhile": "accuracy_meanwhile",
    }
    rows = [["fault", "what", *keys]]
    for one in result["faults"]:
        skipped = [f"skipped: {one['skipped']}"] + [""] * (len(keys) - 1) if "skipped" in one else None
        rows.append([one["fault"], one["what"], *(skipped or [_plain(one[key]) for key in keys.values()])])
    return rows


def _plain(value: float | None) -> str:
    return "-" if value is None else str(value)


def soak(result: Result) -> Rows:
    """Frames of long runs and of runs under load, each as `vp bench soak --json` prints it."""
    keys = ("announced", "labelled", "without_votes", "lost", "late", "latency_ms_p99_worst_camera")
    rows = [["run", "announced", "labelled", "no votes", "lost", "late", "p99"]]
    for one in result["runs"]:
        note = f", {one['note']}" if "note" in one else ""
        rows.append([f"{one['what']}, `{one['command']}`{note}", *(_optional(one[key], "") for key in keys)])
    return rows


def brokers(result: Result) -> Rows:
    """Findings about every broker."""
    names = list(result["brokers"])
    rows = [["", *(f"{name} {version}" for name, version in result["brokers"].items())]]
    rows += [[one["check"], *(one[name] for name in names)] for one in result["checks"]]
    return rows


def brokers_latency(result: Result) -> Rows:
    """Latency over two hops, as `vp bench brokers --json` prints it under "latency"."""
    clients: Sequence[str] = ("plain", "nodelay", "nodelay, quickack")
    cells: dict[str, list[str]] = {}
    for one in result["latency"]:
        p50, p99 = one["p50_ms"], one["p99_ms"]
        if p50 >= _DELAYED_ACK_MS:
            text = f"**{_two_digits(p50)} / {_two_digits(p99)}**"
        else:
            bold = "**" if p99 >= _DELAYED_ACK_MS else ""
            text = f"{_two_digits(p50)} / {bold}{_two_digits(p99)}{bold}"
        cells.setdefault(one["broker"], []).append(text)
    heading = ["", *(f"QoS {qos} plain" if name == "plain" else name.split()[-1] for qos in (0, 1) for name in clients)]
    return [heading, *([broker, *own] for broker, own in cells.items())]


def _two_digits(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004


_DELAYED_ACK_MS = 40
"""A delayed acknowledgement takes 40 ms on Linux: such times are set in bold."""


def mutants(result: Result) -> Rows:
    """Return how many mutants of each package the tests kill."""
    rows = [["package", "mutants run", "killed by the tests", "of these by time-out", "share", "refused by mypy"]]
    for one in result["packages"]:
        share = percent(one["killed"] / one["run"], 1)
        counts = [str(one[key]) for key in ("run", "killed", "timed_out")]
        rows.append([one["package"], *counts, share, str(one["refused_by_mypy"])])
    return rows


def mutant_survivors(result: Result) -> Rows:
    """Return the mutants that no test notices."""
    rows = [["package", "function", "changed line"]]
    for one in result["packages"]:
        rows += [[one["package"], f"`{alive['function']}`", f"`{alive['line']}`"] for alive in one["survivors"]]
    return rows


def states(result: Result) -> Rows:
    """Changes of a camera's state by setting on the test part, as `vp bench states --json` prints it."""
    test = result["test"]
    heading = ["labels", "of", "more to leave", "dwell", "changes", "needless", "never followed", "delay p50 (p95)"]
    rows = [[*heading, "in frames", "behind a gate: changes", "needless", "never followed", "delay p50 (p95)"]]

    def cells(one: Result) -> list[str]:
        delay = f"{one['delay_s']['p50']:.1f} s ({one['delay_s']['p95']:.1f} s)"
        return [str(one["published"]), str(one["needless"]), percent(one["missed"], 0), delay]

    for one in test["settings"]:
        frames = one["all"]["delay_frames"]
        setting = [str(one["labels"]), str(one["window"]), str(one["hysteresis"]), f"{one['dwell']:g} s"]
        in_frames = f"{frames['p50']:.0f} ({frames['p95']:.0f})"
        rows.append([*setting, *cells(one["all"]), in_frames, *cells(one["gated"])])
    return rows


def unknown(result: Result) -> Rows:
    """How well foreign pictures are told from known ones, as `vp eval --unknown` prints it, by bundle."""
    heading = ["bundle", "foreign pictures", "AUROC", "best variant", "accepted", "best variant"]
    rows = [[*heading, "bundle's threshold: kept", "accepted", "accuracy of kept"]]
    for name, evaluation in result.items():
        for foreign, one in evaluation["unknown"].items():
            auroc, accepted, own = one["auroc"], one["accepted_at_95"], one["by_bundle"]
            best = max(range(len(auroc["variants"])), key=lambda variant: auroc["variants"][variant])
            cells = [f"{one['images']} of {foreign}", f"{auroc['fused']:.3f}", f"{auroc['variants'][best]:.3f}"]
            cells += [percent(accepted["fused"], 1), percent(accepted["variants"][best], 1)]
            shares = (own["kept"], own["accepted"], own["accuracy_of_kept"]) if own else ()
            rows.append([name, *cells, *([percent(share, 1) for share in shares] or ["-"] * 3)])
    return rows


def calibration(result: Result) -> Rows:
    """Accuracy and calibration error, as `vp eval` prints it, by bundle."""
    rows = [["bundle", "images", "accuracy", "calibration error", "of the variants alone"]]
    for name, evaluation in result.items():
        ece = evaluation["ece"]
        alone = f"{percent(min(ece['variants']), 1)} to {percent(max(ece['variants']), 1)}"
        accuracy_of_all = percent(evaluation["accuracy"]["fused"], 1)
        rows.append([name, str(evaluation["images"]), accuracy_of_all, percent(ece["fused"], 1), alone])
    return rows


def left_out(result: Result) -> Rows:
    """How well classes that were left out are told from the others: `vp bench leave-out --json`, by family."""
    heading = ["family", "choices", "AUROC, mean", "lowest, highest", "best variant, mean", "fused ahead", "accepted"]
    rows = [[*heading, "accuracy", "calibration error"]]
    for name, choices in result.items():
        draws = choices["draws"]
        areas = [draw["unknown"]["auroc"] for draw in draws]
        fused, best = [area["fused"] for area in areas], [max(area["variants"]) for area in areas]
        ahead = sum(ours > theirs for ours, theirs in zip(fused, best, strict=True))
        cells = [name, str(len(draws)), f"{fmean(fused):.3f}", f"{min(fused):.3f}, {max(fused):.3f}"]
        cells += [f"{fmean(best):.3f}", f"{ahead} of {len(draws)}"]
        accepted = fmean(draw["unknown"]["accepted_at_95"]["fused"] for draw in draws)
        shares = (accepted, *(fmean(draw[key]["fused"] for draw in draws) for key in ("accuracy", "ece")))
        rows.append([*cells, *(percent(share, 1) for share in shares)])
    return rows
