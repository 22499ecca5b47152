"""A real Mosquitto for the tests: started, stopped, killed and frozen at will."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil  # type: ignore[import-untyped,unused-ignore] # its stubs may be missing

from vp_mqtt.local.broker import find_mosquitto, mosquitto_settings
from vp_mqtt.local.broker_process import HOST, BrokerProcess, free_port


class Mosquitto:
    """A Mosquitto on 127.0.0.1 that keeps its port over restarts.

    Ends with the test process, even if that is killed. Without Mosquitto on the machine it raises FileNotFoundError:
    tests that skip themselves show nothing.

        with Mosquitto("max_packet_size 30000") as broker:
            connect(broker.url)
            broker.stop()
            broker.start()  # the same port

    Args:
        extra: lines added to the configuration; an option given here wins over the usual one. Paths in it must be
            readable by Mosquitto, which root's processes run as another user: put the files into `folder`.
        port: the port, or None for a free one.

    Attributes:
        extra: as given; changes count from the next start.
        folder: for files that `extra` names (passwords, access rules, certificates); removed by `close`.
    """

    def __init__(self, extra: str = "", *, port: int | None = None) -> None:
        program = find_mosquitto()
        if program is None:
            raise FileNotFoundError("the tests need a real Mosquitto: apt-get install mosquitto")
        self.program = program
        self.extra = extra
        self.port = port or free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="vp-mosquitto-"))
        self.folder.chmod(0o755)
        self._process = BrokerProcess(self._write)

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of Mosquitto itself; raises RuntimeError while it is not running."""
        guard = self._process.guard_pid
        if guard is None:
            raise RuntimeError("Mosquitto is not running")
        children = psutil.Process(guard).children()
        if not children:
            raise RuntimeError("Mosquitto has ended by itself")
        return int(children[0].pid)

    def start(self) -> Self:
        """Start it on its port and wait until it answers; StartError with its last words if it does not."""
        if self._process.guard_pid is not None:
            raise RuntimeError("Mosquitto runs already")
        self._process.start(port=self.port)
        return self

    def stop(self) -> None:
        """End it politely: its clients get a DISCONNECT or at least a closed connection."""
        if self._process.guard_pid is not None and psutil.Process(self._process.guard_pid).children():
            self.thaw()
        self._process.stop()

    def kill(self) -> None:
        """End it with SIGKILL."""
        psutil.Process(self.pid).kill()
        self._process.stop()

    def freeze(self) -> None:
        """Stop its clock (SIGSTOP): connections stay open, the kernel accepts new ones, nothing is answered."""
        psutil.Process(self.pid).suspend()

    def thaw(self) -> None:
        """Let a frozen one go on (SIGCONT)."""
        psutil.Process(self.pid).resume()

    def close(self) -> None:
        """Stop it and remove `folder`."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, folder: Path, port: int) -> list[str]:
        # More listeners may be added, every other option stands once.
        given = {line.split()[0] for line in self.extra.splitlines() if line.strip()} - {"listener"}
        usual = [line for line in mosquitto_settings(port).splitlines() if line.split()[0] not in given]
        settings = folder / "mosquitto.conf"
        settings.write_text("\n".join([*usual, self.extra, ""]))
        return [str(self.program), "-c", str(settings)]
