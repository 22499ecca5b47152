"""A complete site on this machine for a measurement: Mosquitto, nodes as processes, and a recorder."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.emulation.network import BROKER_ADDRESS, BoardNetwork
from benchmarks.testbed.recorder import Recorder
from vp_mqtt.errors import UserError
from vp_mqtt.local.broker_process import StartError
from vp_mqtt.local.mosquitto import Mosquitto
from vp_mqtt.local.node_processes import NodeProcesses
from vp_mqtt.local.ports import HOST, free_port
from vp_mqtt.protocol.topics import ANY

SITE = "bench"
CAMERA = "cam0"
_START_S = 60.0


class MeasuredSite:
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
        records: str | None = ANY,
        broker_extra: str = "",
    ) -> None:
        """Prepare, without starting anything.

        Args:
            bundle: the family: a folder, or the name of a bundled one.
            deadline_ms: deadline of a window, in ms.
            network: the network of boards behind a bad link.
            has_links: whether nodes are started behind links of their own, see `start`.
            suspect_after: as `vp-fusion --suspect-after`.
            stats_every: seconds between two messages with a node's counters, which add bytes on the wire.
            records: as of `Recorder`.
            broker_extra: further lines of Mosquitto's configuration.
        """
        self.bundle = bundle
        self._deadline_ms = deadline_ms
        self._suspect_after = suspect_after
        self._network = network
        self._is_private = has_links or network is not None
        self._broker = Mosquitto()
        self._broker.extra = broker_extra
        self._stack = ExitStack()
        self.nodes = NodeProcesses(["--site", SITE, "--stats-every", f"{stats_every:g}"])
        self._records = records

    def __enter__(self) -> Self:
        """Start broker and recorder.

        Raises:
            UserError: Mosquitto is not installed, or did not start.
        """
        if self._is_private:
            self._broker.port = free_port()
            self._broker.extra += f"\nlistener {self._broker.port} {BROKER_ADDRESS}"
        try:
            self._broker.start()
        except StartError as error:
            raise UserError(f"Mosquitto did not start: {error}") from None
        self._stack.callback(self._stop_broker)
        self.port = self._broker.port
        self._stack.enter_context(self.nodes)
        self.recorder = Recorder(self.url(HOST), SITE, records=self._records)
        self.recorder.start()
        self._stack.callback(self.recorder.stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def url(self, host: str) -> str:
        """Return the broker's URL with this host, which depends on the network of the client."""
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
        waiting = ("--deadline-ms", f"{self._deadline_ms:g}", "--suspect-after", str(self._suspect_after))
        # A frame without a class name would count as one without votes.
        arguments = (*waiting, "--unknown", "off")
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
        """Start a variant node, named v0, v1, .. by default."""
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
        """Start a camera node, which has the camera's name."""
        arguments = ("--camera", camera, "--source", source, "--fps", f"{fps:g}", "--frames", str(frames))
        self.start(camera, "camera", *arguments, environment=environment, log=log)

    def await_online(self, *names: str) -> None:
        """Wait until nodes are online.

        Raises:
            UserError: one of them did not come online.
        """
        recorder = self.recorder
        if not recorder.until(lambda: all(recorder.is_online(name) for name in names), _START_S):
            missing = [name for name in names if not recorder.is_online(name)]
            raise UserError(f"not online: {', '.join(missing)}; {self.nodes.failed() or 'no error reported'}")

    def _stop_broker(self) -> None:
        if self._broker.guard_pid is not None:
            self.signal_broker(signal.SIGCONT)
            self._broker.stop()

    def signal_broker(self, number: signal.Signals) -> None:
        """Send the broker a signal."""
        self._broker.signal(number)

    def kill_broker(self) -> None:
        """Kill the broker (SIGKILL)."""
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
