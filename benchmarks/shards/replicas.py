"""Boards that share a variant's frames: what one more is worth, what a slow one costs, what a dead one loses."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.child_process import module_command
from benchmarks.testbed.recording import Recording
from benchmarks.testbed.site import CAMERA, SITE, MeasuredSite
from vp_mqtt.local.ports import HOST

_BUNDLE = "fashion-mnist"
_VARIANT = 5
_DEADLINE_MS = 250.0
_WARM_UP_S = 3.0


@dataclass(frozen=True)
class Group:
    """Boards, and a camera.

    Attributes:
        seconds: how long each board takes for a frame, in s, beside the model's own time.
        fps: of the camera.
        leaves: whether a board leaves the group while it is behind.
        kills: whether the last of the boards is killed.
    """

    seconds: Sequence[float]
    fps: float
    leaves: bool = True
    kills: bool = False


GROUPS = {
    "one board, 60 ms a frame": Group((0.06,), 30),
    "two boards, 60 ms a frame": Group((0.06, 0.06), 30),
    "two boards, one is killed": Group((0.06, 0.06), 10, kills=True),
    "two boards, 20 and 200 ms": Group((0.02, 0.2), 20),
    "the same, the slow one stays in the group": Group((0.02, 0.2), 20, leaves=False),
}
"""What is measured, by name."""


def summary(recording: Recording, begin: float, end: float) -> dict[str, Any]:
    """Return what became of the frames that were announced in this time, on the recorder's clock."""
    frames = {frame for frame, at in recording.announced.items() if begin <= at < end}
    labels = [label for label in recording.labels if label.frame in frames]
    waits = sorted((label.at - recording.announced[label.frame]) * 1000 for label in labels)
    with_vote = sum(label.label is not None for label in labels)
    return {
        "frames": len(frames),
        "without_label": len(frames) - len({label.frame for label in labels}),
        "without_vote": len(labels) - with_vote,
        "with_vote_per_s": round(with_vote / (end - begin), 1),
        "announce_to_label_ms_p50": round(waits[len(waits) // 2], 1) if waits else None,
        "announce_to_label_ms_p95": round(waits[int(len(waits) * 0.95)], 1) if waits else None,
    }


def run(group: Group, seconds: float) -> dict[str, Any]:
    """Measure a group of boards for so many seconds.

    Raises:
        UserError: Mosquitto or a node did not start.
    """
    with ExitStack() as stack:
        site = stack.enter_context(MeasuredSite(bundle=_BUNDLE, deadline_ms=_DEADLINE_MS))
        site.start_fusion()
        boards = []
        for number, slow in enumerate(group.seconds):
            behaviour = "leaves" if group.leaves else "stays"
            flags = ["--variant", str(_VARIANT), "--bundle", _BUNDLE, "--replica", "--name", f"board{number}"]
            login = ["--broker", site.url(HOST), "--site", SITE, "--stats-every", "0.5"]
            command = module_command("benchmarks.shards.slow_board", str(slow), behaviour, *flags, *login)
            board = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(board.wait)
            stack.callback(board.kill)
            boards.append(board)
        site.await_online("fusion", *(f"board{number}" for number in range(len(boards))))
        site.start_camera(source="samples", fps=group.fps)
        site.await_online(CAMERA)
        time.sleep(_WARM_UP_S)
        begin = time.monotonic()
        time.sleep(seconds / 2)
        if group.kills:
            boards[-1].kill()
        time.sleep(seconds / 2)
        end = time.monotonic()
        time.sleep(2 * _DEADLINE_MS / 1000)
        found = summary(site.recorder.recording(CAMERA), begin, end)
        left = sum(site.recorder.counts(f"board{number}").get("left_group", 0) for number in range(len(boards)))
        return found | {"boards": len(boards), "fps": group.fps, "left_group": left}


def measure(seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all groups, each for so many seconds.

    Raises:
        UserError: Mosquitto or a node did not start.
    """
    found = {}
    for name, group in GROUPS.items():
        found[name] = run(group, seconds)
        say(f"{name}: {found[name]}")
    return found
