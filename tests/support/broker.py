"""A real Mosquitto for the tests: started, stopped, killed and frozen at will."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from vp_mqtt.local import mosquitto
from vp_mqtt.local.ports import free_port


class Mosquitto(mosquitto.Mosquitto):
    """A Mosquitto on 127.0.0.1 that keeps its port over restarts.

    Ends with the test process, even if that is killed. Without Mosquitto on the machine `start` raises UserError: tests
    that skip themselves show nothing.

        with Mosquitto("max_packet_size 30000") as broker:
            connect(broker.url)
            broker.stop()
            broker.start()  # the same port

    Args:
        extra: lines added to the configuration; an option given here replaces the usual one. Files that it names must
            be readable by Mosquitto, which runs as another user when started by root: put them into `folder`.
        port: the port; 0: a free one, chosen at once.

    Attributes:
        folder: for files that `extra` names (passwords, access rules, certificates); removed by `close`.
    """

    def __init__(self, extra: str = "", *, port: int = 0) -> None:
        super().__init__(extra, port=port or free_port())
        self.folder = Path(tempfile.mkdtemp(prefix="vp-mosquitto-"))
        self.folder.chmod(0o755)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.signal(signal.SIGKILL)
        self.stop()

    def freeze(self) -> None:
        """Stop its clock (SIGSTOP): connections stay open, the kernel accepts new ones, nothing is answered."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one continue (SIGCONT)."""
        self.signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop it, frozen or not, and remove `folder`."""
        with contextlib.suppress(RuntimeError):
            self.thaw()
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
