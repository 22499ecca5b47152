"""The commands of `vp bench` and `vp baseline` that a checkout adds. Each is imported when it is named."""

from __future__ import annotations

import typer

from vp_mqtt.cli.lazy import LazyCommand, LazyGroup

_LATENCY = "Latency"
_COST = "Cost"
_ROBUSTNESS = "Robustness"
_ACCURACY = "Accuracy"
_COMPARISON = "Comparison"

COMMANDS = {
    "latency": LazyCommand(
        "benchmarks.latency.cli:latency",
        "Measure the variants against MobileNetV2 1.0 at 224, and the running system from capture to label.",
        _LATENCY,
    ),
    "device-path": LazyCommand(
        "benchmarks.latency.cli:device_path",
        "Measure where a device's time goes, step by step, and what alternatives would change.",
        _LATENCY,
    ),
    "fusion-speed": LazyCommand(
        "benchmarks.latency.cli:fusion_speed",
        "Count the votes per second that the fusion node handles on one core, without the network.",
        _LATENCY,
    ),
    "scale": LazyCommand(
        "benchmarks.scale.cli:scale",
        "Measure how many cameras and variants one fusion node on one core carries, beside a bare client that counts.",
        _COST,
    ),
    "models": LazyCommand(
        "benchmarks.footprint.cli:models",
        "Count parameters and multiply-accumulates of every variant, against MobileNetV2 1.0 at 224.",
        _COST,
    ),
    "footprint": LazyCommand(
        "benchmarks.footprint.cli:footprint",
        "Measure what a board needs: disk, memory, threads, time to start, bytes on the wire.",
        _COST,
    ),
    "motion": LazyCommand(
        "benchmarks.motion.cli:motion",
        "Measure what the motion gate saves in a still scene, how soon it passes a change, and what it takes for one.",
        _COST,
    ),
    "first-version": LazyCommand(
        "benchmarks.page.cli:first_version",
        'Train on pictures through the page, from "Train now" to the bundle, and take the time.',
        _COST,
    ),
    "page": LazyCommand(
        "benchmarks.page.cli:page",
        "Show the page of a busy site in Chromium for an hour, and sample memory and processor time of both sides.",
        _COST,
    ),
    "frames": LazyCommand(
        "benchmarks.frames.cli:frames",
        "Measure frames as captured, encoded anew, and of a webcam's smaller mode: bytes, processor time, labels.",
        _COST,
    ),
    "faults": LazyCommand(
        "benchmarks.faults.cli:faults",
        "Break boards, links, clocks, fusion node and broker, one after the other, and count lost and late frames.",
        _ROBUSTNESS,
    ),
    "cells": LazyCommand(
        "benchmarks.cells.cli:cells",
        "Measure what a head office sees of a cell whose link is slow, lossy and cut, and what the cell itself loses.",
        _ROBUSTNESS,
    ),
    "soak": LazyCommand(
        "benchmarks.faults.cli:soak",
        "Run a site for a long time under random faults, and sample memory, threads and file descriptors.",
        _ROBUSTNESS,
    ),
    "shards": LazyCommand(
        "benchmarks.shards.cli:shards",
        "Let fusion nodes that share cameras, and boards that share a variant's frames, come, go and hang.",
        _ROBUSTNESS,
    ),
    "accuracy": LazyCommand(
        "benchmarks.accuracy.cli:accuracy",
        "Train, export and evaluate the families and base models of a plan, and print a Markdown table.",
        _ACCURACY,
    ),
    "strange-pictures": LazyCommand(
        "benchmarks.unknown.cli:strange_pictures",
        "Write pictures that show nothing: black frames, noise, textures, and blurred ones of a folder.",
        _ACCURACY,
    ),
    "own-pictures": LazyCommand(
        "benchmarks.own_pictures.cli:own_pictures",
        "Train on a few pictures of a few classes: frozen families against the usual recipe of one network.",
        _ACCURACY,
    ),
    "labelling": LazyCommand(
        "benchmarks.labelling.cli:labelling",
        "Label frames that the page's queue proposes, or random ones, and compare what that teaches.",
        _ACCURACY,
    ),
    "small-families": LazyCommand(
        "benchmarks.unknown.cli:small_families",
        "Teach families of four classes of forty pictures, and measure how well their confidence is calibrated.",
        _ACCURACY,
    ),
    "leave-out": LazyCommand(
        "benchmarks.unknown.cli:leave_out",
        "Leave classes out of linear classifiers, and measure how well their pictures are told from the others.",
        _ACCURACY,
    ),
    "ablation": LazyCommand(
        "benchmarks.accuracy.cli:ablation", "Measure what each part of the training recipe contributes.", _ACCURACY
    ),
    "linear-classifier": LazyCommand(
        "benchmarks.accuracy.cli:linear_classifier",
        "Train linear classifiers on the features that variants start from, and evaluate them.",
        _ACCURACY,
    ),
    "fusion": LazyCommand(
        "benchmarks.accuracy.cli:fusion",
        "Fuse a bundle's votes by other rules and weights than the paper's, and evaluate each.",
        _ACCURACY,
    ),
    "pareto": LazyCommand(
        "benchmarks.accuracy.cli:pareto",
        "Compare single networks with families of several boards: accuracy against the time of the slowest board.",
        _ACCURACY,
    ),
    "states": LazyCommand(
        "benchmarks.states.cli:states",
        "Play real pictures that flicker to a family, and count the changes of the state against the true ones.",
        _ACCURACY,
    ),
    "compare": LazyCommand(
        "benchmarks.comparison.cli:compare",
        "Compare variant parallelism with the single network, model and class parallelism, on emulated boards.",
        _COMPARISON,
    ),
    "brokers": LazyCommand(
        "benchmarks.brokers.cli:brokers",
        "Check what Mosquitto, iotcore and amqtt do of what this project needs, and measure them.",
        _COMPARISON,
    ),
    "tables": LazyCommand(
        "benchmarks.tables:tables", "Write the tables of the documentation from the files in benchmarks/results."
    ),
}
"""What `vp bench` has beside the commands for boards, in the order in which `--help` lists them."""

BASELINE_COMMANDS = {
    "stage": LazyCommand(
        "benchmarks.comparators.cli:stage", "Run one stage of a network that was cut for model parallelism."
    ),
    "cut": LazyCommand(
        "benchmarks.comparators.cli:cut",
        "Cut a trained network at its block boundaries into stages, for model parallelism.",
    ),
    "classes": LazyCommand(
        "benchmarks.comparators.cli:classes",
        'Write a family for class parallelism: every board covers a share of the classes, and "none of mine".',
    ),
}
"""The commands of `vp baseline`."""


class _BaselineGroup(LazyGroup):
    table = BASELINE_COMMANDS


baseline = typer.Typer(
    cls=_BaselineGroup,
    help="Run what variant parallelism is compared with, over the same broker.",
    no_args_is_help=True,
)


@baseline.callback()
def _baseline() -> None:
    pass
