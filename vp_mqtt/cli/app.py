"""The commands: what each does, and where it is. It is imported when it is named, so that `--help` answers at once."""

from __future__ import annotations

import importlib

import typer

from vp_mqtt import __version__
from vp_mqtt.cli.lazy import LazyCommand, lazy_app, run_app

CAMERA = LazyCommand(
    "vp_mqtt.cli.nodes:camera_command", "Publish the frames of a webcam, video, stream or folder of pictures."
)
NODE = LazyCommand(
    "vp_mqtt.cli.nodes:variant_command",
    "Run one variant of a family on the frames of a site, and publish its votes.",
)
FUSION = LazyCommand(
    "vp_mqtt.cli.nodes:fusion_command", "Fuse the votes of the variants into one label for every frame."
)

COMMANDS = {
    "camera": CAMERA,
    "node": NODE,
    "fusion": FUSION,
    "watch": LazyCommand(
        "vp_mqtt.cli.nodes:watch_command",
        "Show the labels of a site as they come: a live table on a terminal, else a line each.",
    ),
    "train": LazyCommand("vp_mqtt.cli.train:train", "Train a family on labelled pictures."),
    "check-data": LazyCommand(
        "vp_mqtt.cli.data:check_data",
        "Read every picture once, and list what cannot be used, or is in the set twice where it must not be.",
    ),
    "eval": LazyCommand(
        "vp_mqtt.cli.data:evaluate",
        "Judge a bundle on held-out pictures: each variant, and the fusion with any number of them alive and for "
        "any k.",
    ),
    "export": LazyCommand(
        "vp_mqtt.cli.train:export",
        "Write a trained family as a bundle: a manifest and one ONNX model per variant.",
    ),
    "samples": LazyCommand(
        "vp_mqtt.cli.data:samples",
        "Write a few held-out pictures of each class, drawn by chance, for a camera node to play.",
    ),
    "push": LazyCommand(
        "vp_mqtt.cli.push:push_command",
        "Publish a bundle at the broker, and switch the boards of a site to it; or go back to the one before.",
    ),
    "keygen": LazyCommand(
        "vp_mqtt.cli.push:keygen",
        "Make a pair of Ed25519 keys: the private one signs bundles (vp push --sign), the public one checks them.",
    ),
    "home-assistant-remove": LazyCommand(
        "vp_mqtt.cli.home_assistant:remove_command",
        "Remove a site's device and its entities from Home Assistant; stop a fusion node with --home-assistant first.",
    ),
    "demo": LazyCommand(
        "vp_mqtt.cli.demo:demo",
        "Show the whole system on this machine: a broker, a camera, a fusion node and every variant as its own "
        "process.",
    ),
    "version": LazyCommand("vp_mqtt.cli.app:version", "Print the version."),
    "bench": LazyCommand("benchmarks.cli:app", "Measure what a family costs, and how the running system fares."),
    "baseline": LazyCommand(
        "benchmarks.comparators.cli:app", "What variant parallelism is compared with, over the same broker."
    ),
    "site": LazyCommand("vp_mqtt.cli.site:app", "From a box of boards to a running site."),
}
"""Every command of `vp`, in the order in which `vp --help` shows them."""


def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _run_one(command: LazyCommand) -> None:
    module, _, name = command.place.partition(":")
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help=command.help)(getattr(importlib.import_module(module), name))
    run_app(app)


def main() -> None:
    """Run `vp`."""
    run_app(lazy_app("Image recognition on a handful of cheap boards: variant parallelism over MQTT.", COMMANDS))


def camera_main() -> None:
    """Run `vp-camera`."""
    _run_one(CAMERA)


def node_main() -> None:
    """Run `vp-node`."""
    _run_one(NODE)


def fusion_main() -> None:
    """Run `vp-fusion`."""
    _run_one(FUSION)
