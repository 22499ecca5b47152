"""A whole site on this machine for a measurement: a Mosquitto, nodes as processes, and an observer."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.emulation.network import BROKER_ADDRESS, BoardNetwork
from benchmarks.testbed.recorder import Observer
from vp_mqtt.errors import UserError
from vp_mqtt.local.broker_process import StartError
from vp_mqtt.local.mosquitto import Mosquitto
from vp_mqtt.local.node_processes import NodeProcesses
from vp_mqtt.local.ports import HOST, free_port

SITE = "bench"
CAMERA = "cam0"
_START_S = 60.0


class Rig:
    """Runs a site; everything ends with the context."""

    def __init__(
        self,
        *,
        bundle: str,
        deadline_ms: float,
        network: BoardNetwork | None = None,
        has_links: bool = False,
        suspect_after: int = 3,
        stats_every: float = 0.5,
        hears_frames: bool = True,
    ) -> None:
        """Prepare, without starting anything.

        Args:
            bundle: the family: a folder, or the name of one in the box.
            deadline_ms: of a window, in ms.
            network: where boards behind a bad link run.
            has_links: whether nodes are started behind links of their own, see `start`.
            suspect_after: as `vp-fusion --suspect-after`.
            stats_every: seconds between two messages with a node's counters, which are bytes on the wire too.
            hears_frames: whether the observer listens to announces, votes and labels.
        """
        self.bundle = bundle
        self._deadline_ms = deadline_ms
        self._suspect_after = suspect_after
        self._network = network
        self._is_private = has_links or network is not None
        self._broker = Mosquitto()
        self._stack = ExitStack()
        self.nodes = NodeProcesses(["--site", SITE, "--stats-every", f"{stats_every:g}"])
        self._hears_frames = hears_frames

    def __enter__(self) -> Self:
        """Start broker and observer.

        Raises:
            UserError: Mosquitto is not installed, or did not start.
        """
        if self._is_private:
            self._broker.port = free_port()
            self._broker.extra = f"listener {self._broker.port} {BROKER_ADDRESS}"
        try:
            self._broker.start()
        except StartError as error:
            raise UserError(f"Mosquitto did not start: {error}") from None
        self._stack.callback(self._stop_broker)
        self.port = self._broker.port
        self._stack.enter_context(self.nodes)
        self.observer = Observer(self.url(HOST), SITE, hears_frames=self._hears_frames)
        self._stack.callback(self.observer.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def url(self, host: str) -> str:
        """Return the broker's address as it is seen from one of its sides."""
        return f"mqtt://{host}:{self.port}"

    def start(
        self,
        name: str,
        *arguments: str,
        behind_link: bool = False,
        link: BoardNetwork | None = None,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        """Start a node under a name, in the boards' network if `behind_link`, or behind a link of its own."""
        network = self._network if behind_link else link
        prefix: Sequence[str] = network.prefix if network is not None else ()
        host = BROKER_ADDRESS if prefix else HOST
        self.nodes.start(
            name,
            *arguments,
            "--name",
            name,
            "--broker",
            self.url(host),
            prefix=prefix,
            environment=environment,
            log=log,
        )

    def start_fusion(self, *, environment: Mapping[str, str] | None = None, log: Path | None = None) -> None:
        """Start the fusion node."""
        arguments = ("--deadline-ms", f"{self._deadline_ms:g}", "--suspect-after", str(self._suspect_after))
        self.start("fusion", "fusion", "--bundle", self.bundle, *arguments, environment=environment, log=log)

    def start_variant(
        self,
        variant: int,
        *,
        name: str | None = None,
        behind_link: bool = False,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        """Start a variant's node, called v0, v1, .. unless it has a name."""
        self.start(
            name or f"v{variant}",
            "node",
            "--variant",
            str(variant),
            "--bundle",
            self.bundle,
            behind_link=behind_link,
            environment=environment,
            log=log,
        )

    def start_camera(
        self,
        *,
        source: str,
        fps: float,
        frames: int = 0,
        camera: str = CAMERA,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        """Start a camera's node, called as the camera."""
        arguments = ("--camera", camera, "--source", source, "--fps", f"{fps:g}", "--frames", str(frames))
        self.start(camera, "camera", *arguments, environment=environment, log=log)

    def await_online(self, *names: str) -> None:
        """Wait until nodes are online.

        Raises:
            UserError: one of them did not come.
        """
        observer = self.observer
        if not observer.until(lambda: all(observer.is_online(name) for name in names), _START_S):
            missing = [name for name in names if not observer.is_online(name)]
            raise UserError(f"not online: {', '.join(missing)}; {self.nodes.failed() or 'no error told'}")

    def _stop_broker(self) -> None:
        if self._broker.guard_pid is not None:
            self.signal_broker(signal.SIGCONT)
            self._broker.stop()

    def signal_broker(self, number: signal.Signals) -> None:
        """Send the broker a signal."""
        self._broker.signal(number)

    def kill_broker(self) -> None:
        """End the broker with SIGKILL."""
        self.signal_broker(signal.SIGKILL)
        self._broker.stop()

    def restart_broker(self) -> None:
        """Start the broker again, on its port.

        Raises:
            UserError: it did not start.
        """
        try:
            self._broker.start()
        except StartError as error:
            raise UserError(f"Mosquitto did not start again: {error}") from None

    def pids(self) -> dict[str, int]:
        """Return the process ids of broker and nodes, by name."""
        return {"broker": self._broker.pid, **self.nodes.pids()}
