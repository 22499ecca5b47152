"""The programs `vp`, `vp-camera`, `vp-node` and `vp-fusion`, and the table of `vp`'s commands."""

from __future__ import annotations

import typer

from vp_mqtt import __version__
from vp_mqtt.cli.lazy import LazyCommand, LazyGroup, VersionOption, run_app
from vp_mqtt.cli.termination import ended_as_by_ctrl_c

_NODES = "Nodes"
_BUNDLES = "Bundles"
_TRAINING = "Training"
_SITE = "Site"
_MEASURE = "Measure"

CAMERA = LazyCommand(
    "vp_mqtt.cli.nodes:camera_command",
    "Publish the frames of a webcam, video, stream or image folder.",
    _NODES,
    {
        "snapshot": LazyCommand(
            "vp_mqtt.cli.nodes:snapshot_command",
            "Write one picture of the source to a file, turned and mirrored as it is published.",
        )
    },
)
NODE = LazyCommand(
    "vp_mqtt.cli.nodes:variant_command", "Run one variant of a family on a site's frames and publish its votes.", _NODES
)
FUSION = LazyCommand(
    "vp_mqtt.cli.nodes:fusion_command", "Fuse the variants' votes into one label for every frame.", _NODES
)

COMMANDS = {
    "demo": LazyCommand(
        "vp_mqtt.cli.demo:demo",
        "Run the whole system on this machine: broker, camera, fusion node and every variant, each in its own process.",
    ),
    "version": LazyCommand("vp_mqtt.cli.app:version", "Print the version."),
    "camera": CAMERA,
    "node": NODE,
    "fusion": FUSION,
    "watch": LazyCommand(
        "vp_mqtt.cli.nodes:watch_command",
        "Show a site's labels as they arrive: in a live table on a terminal, otherwise one line each.",
        _NODES,
    ),
    "web": LazyCommand(
        "vp_mqtt.cli.web:web_command",
        "Show a site in a browser: what is recognised and why, its boards, and its history.",
        _NODES,
    ),
    "push": LazyCommand(
        "vp_mqtt.cli.push:push_command",
        "Publish a bundle to the broker and switch a site's boards to it, or roll back to the previous one.",
        _BUNDLES,
    ),
    "keygen": LazyCommand(
        "vp_mqtt.cli.push:keygen",
        "Create an Ed25519 key pair: the private key signs bundles (vp push --sign), the public key verifies them.",
        _BUNDLES,
    ),
    "capture": LazyCommand(
        "vp_mqtt.cli.capture:capture_command",
        "Fill a class folder with pictures from a camera or from a site's frames, without near-duplicates.",
        _TRAINING,
    ),
    "teach": LazyCommand(
        "vp_mqtt.cli.teach:teach",
        "Teach a family classes of your own in seconds: its backbones stay as they are, only its classifiers learn.",
        _TRAINING,
    ),
    "train": LazyCommand(
        "vp_mqtt.cli.train:train",
        "Train a family on labelled pictures: with nothing else said, frozen first, then fine-tuned if that helps.",
        _TRAINING,
    ),
    "check-data": LazyCommand(
        "vp_mqtt.cli.data:check_data",
        "Read every picture once, and list unusable pictures and duplicates that would spoil a result.",
        _TRAINING,
    ),
    "eval": LazyCommand(
        "vp_mqtt.cli.data:evaluate",
        "Evaluate a bundle on held-out pictures: each variant, and the fused label for any subset of them and any k.",
        _TRAINING,
    ),
    "export": LazyCommand(
        "vp_mqtt.cli.export:export",
        "Write a trained family as a bundle: a manifest and one ONNX model per variant.",
        _TRAINING,
    ),
    "calibrate": LazyCommand(
        "vp_mqtt.cli.export:calibrate",
        "Calibrate a bundle that was exported without its pictures: zoom, confidence, and what is unknown.",
        _TRAINING,
    ),
    "merge": LazyCommand(
        "vp_mqtt.cli.merge:merge",
        "Merge variants of several bundles of the same classes into one bundle, such as those of several trainings.",
        _TRAINING,
    ),
    "samples": LazyCommand(
        "vp_mqtt.cli.data:samples",
        "Write a few held-out pictures of each class, chosen at random, for a camera node to play.",
        _TRAINING,
    ),
    "site": LazyCommand("vp_mqtt.cli.site:app", "Set up a site of boards, from the plan to running nodes.", _SITE),
    "broker": LazyCommand("vp_mqtt.cli.broker:app", "Look at a broker.", _SITE),
    "home-assistant-remove": LazyCommand(
        "vp_mqtt.cli.home_assistant:remove_command",
        "Remove a site's device and its entities from Home Assistant; stop a fusion node with --home-assistant first.",
        _SITE,
    ),
    "bench": LazyCommand(
        "vp_mqtt.cli.bench:bench", "Measure what a family costs, and how the running system performs.", _MEASURE
    ),
    "baseline": LazyCommand(
        "vp_mqtt.cli.bench:baseline",
        "Run what variant parallelism is compared with, over the same broker (from a checkout).",
        _MEASURE,
    ),
}
"""Every command of `vp`, in the order in which `vp --help` lists them."""


class VpGroup(LazyGroup):
    """The commands of `vp`."""

    table = COMMANDS


app = typer.Typer(
    cls=VpGroup,
    help="Image recognition on a handful of cheap boards: variant parallelism over MQTT.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def vp(*, version: VersionOption = False) -> None:
    """Hold the options of `vp` itself."""


def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run `vp`."""
    with ended_as_by_ctrl_c():
        run_app(app, "vp")


def camera_main() -> None:
    """Run `vp-camera`."""
    run_app(CAMERA.app(add_completion=True), "vp-camera")


def node_main() -> None:
    """Run `vp-node`."""
    run_app(NODE.app(add_completion=True), "vp-node")


def fusion_main() -> None:
    """Run `vp-fusion`."""
    run_app(FUSION.app(add_completion=True), "vp-fusion")
