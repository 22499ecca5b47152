"""The broker in the box: a broker of one's own on a free port of 127.0.0.1, for `vp demo` and for tests."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from vp_mqtt.errors import UserError
from vp_mqtt.local.broker_process import HOST, MAX_PACKET, BrokerProcess, StartError

__all__ = ["BrokerInfo", "LocalBroker", "find_mosquitto", "mosquitto_settings", "write_mosquitto", "write_rumqttd"]

_EMBEDDED = "iotcore"
_EMBEDDED_HINT = "`pip install vp-mqtt[broker]`"
_MOSQUITTO_HINT = "`apt-get install mosquitto`"
# Where Debian and a build from source put Mosquitto; an ordinary user's PATH lacks the first.
_SYSTEM_PATH = "/usr/sbin:/usr/local/sbin"

# How many messages may wait for a client that reads slowly: also the bound on its frames, for which Mosquitto 2.0
# ignores `max_queued_bytes`.
_MAX_QUEUED = 1000

# Only a `v5` listener speaks MQTT 5. rumqttd keeps the latest messages of every subscription in memory, read or not:
# up to 1 GB with the sizes of its example file.
_RUMQTTD_TOML = """\
id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 16

[v5.1]
name = "v5"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = {max_packet}
max_inflight_count = 100
"""


@dataclass(frozen=True)
class BrokerInfo:
    """Which broker runs: its name and its version, as read from the program or the package itself."""

    name: str
    version: str


class LocalBroker:
    """An MQTT 5 broker on a free port of 127.0.0.1, for as long as the context lasts.

        with LocalBroker() as broker:
            print(broker.url, broker.info.name)

    It runs as a child process that Ctrl-C in the terminal does not reach, and that ends with the process that started
    it, however that one ends.

    Args:
        kind: "mosquitto", "embedded" (the broker of the extra `vp-mqtt[broker]`), or "auto": Mosquitto where it is
            installed, else the embedded one.

    Attributes:
        info: the broker's name and version.
        url: "mqtt://127.0.0.1:PORT", once started.

    Raises:
        UserError: no such broker is installed.
    """

    info: BrokerInfo
    url: str

    def __init__(self, *, kind: Literal["auto", "embedded", "mosquitto"] = "auto") -> None:
        self.url = ""
        mosquitto = None if kind == "embedded" else find_mosquitto()
        if mosquitto is not None:
            program = mosquitto
            self.info = BrokerInfo("mosquitto", _mosquitto_version(mosquitto))
            self._process = BrokerProcess(lambda folder, port: write_mosquitto(program, folder, port))
        elif kind == "mosquitto":
            raise UserError(f"Mosquitto is not installed: {_MOSQUITTO_HINT}")
        elif importlib.util.find_spec(_EMBEDDED) is not None:
            self.info = BrokerInfo(_EMBEDDED, importlib.metadata.version(_EMBEDDED))
            self._process = BrokerProcess(write_rumqttd)
        elif kind == "embedded":
            raise UserError(f"the embedded broker is not installed: {_EMBEDDED_HINT}")
        else:
            raise UserError(f"no MQTT broker is installed: {_EMBEDDED_HINT} or {_MOSQUITTO_HINT}")

    def __enter__(self) -> Self:
        """Start the broker.

        Raises:
            UserError: it ended, or did not accept an MQTT 5 connection within 10 s; with its last lines of output.
        """
        try:
            self._process.start()
        except StartError as error:
            raise UserError(f"the broker {self.info.name} {self.info.version} did not start: {error}") from error
        self.url = f"mqtt://{HOST}:{self._process.port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()


def find_mosquitto() -> Path | None:
    """Return the Mosquitto program on the PATH or where Debian and source builds put it, or None."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path=_SYSTEM_PATH)
    return None if found is None else Path(found)


def mosquitto_settings(port: int) -> str:
    """Return the text of a Mosquitto configuration: one listener on 127.0.0.1, open to everyone, nothing on disk.

    Args:
        port: the TCP port, 1 to 65535.
    """
    return f"""\
listener {port} {HOST}
allow_anonymous true
persistence false
set_tcp_nodelay true
max_packet_size {MAX_PACKET}
max_queued_messages {_MAX_QUEUED}
log_dest stderr
log_type error
log_type warning
connection_messages false
"""


def write_mosquitto(program: Path, folder: Path, port: int) -> list[str]:
    """Write Mosquitto's configuration for `port` into `folder` and return the command that runs it."""
    settings = folder / "mosquitto.conf"
    settings.write_text(mosquitto_settings(port))
    return [str(program), "-c", str(settings)]


def write_rumqttd(folder: Path, port: int) -> list[str]:
    """Write the packaged broker's configuration for `port` into `folder` and return the command that runs it."""
    settings = folder / "rumqttd.toml"
    settings.write_text(_RUMQTTD_TOML.format(host=HOST, port=port, max_packet=MAX_PACKET))
    # It logs every packet as an error, by way of Python; what keeps it from starting is an exception, printed anyway.
    return [sys.executable, "-P", "-m", _EMBEDDED, "--config", str(settings), "--log-level", "CRITICAL"]


def _mosquitto_version(program: Path) -> str:
    # It has no option for this: the help begins with the version, and ends with exit code 3 or 1.
    answer = subprocess.run([str(program), "-h"], capture_output=True, text=True, check=False, timeout=10)
    match = re.search(r"mosquitto version (\S+)", answer.stdout + answer.stderr)
    return match[1] if match else "unknown"
