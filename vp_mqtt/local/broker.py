"""A private broker on a free port of 127.0.0.1, for `vp demo`: Mosquitto, or the embedded one (extra `broker`)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from vp_mqtt.errors import UserError
from vp_mqtt.local import mosquitto
from vp_mqtt.local.broker_process import BrokerProcess, StartError
from vp_mqtt.local.ports import HOST

_EMBEDDED = "iotcore"
_EMBEDDED_HINT = "`pip install iotcore`"

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
    """Name and version of a broker, as its program or package reports them."""

    name: str
    version: str


class LocalBroker:
    """An MQTT 5 broker on a free port of 127.0.0.1, for as long as the context lasts.

        with LocalBroker.find() as broker:
            print(broker.url, broker.info.name)

    It runs as a child process that Ctrl-C in the terminal does not reach, and that ends with this process, even if
    that is killed.

    Args:
        info: the broker's name and version.
        process: the broker, not started yet.

    Attributes:
        info: the broker's name and version.
        url: "mqtt://127.0.0.1:PORT", once started.
    """

    def __init__(self, info: BrokerInfo, process: BrokerProcess) -> None:
        self.info = info
        self.url = ""
        self._process = process

    @classmethod
    def find(cls, kind: Literal["auto", "embedded", "mosquitto"] = "auto") -> Self:
        """Return a broker that is installed on this machine, not started yet.

        Args:
            kind: "mosquitto", "embedded" (the library iotcore), or "auto": Mosquitto where it is
                installed, else the embedded one.

        Raises:
            UserError: no such broker is installed.
        """
        program = None if kind == "embedded" else mosquitto.find_mosquitto()
        if program is not None:
            return cls(BrokerInfo("mosquitto", mosquitto.mosquitto_version(program)), mosquitto.Mosquitto())
        if kind == "mosquitto":
            raise UserError(f"Mosquitto is not installed: {mosquitto.INSTALL_HINT}")
        if importlib.util.find_spec(_EMBEDDED) is not None:
            info = BrokerInfo(_EMBEDDED, importlib.metadata.version(_EMBEDDED))
            return cls(info, BrokerProcess(write_rumqttd))
        if kind == "embedded":
            raise UserError(f"the embedded broker is not installed: {_EMBEDDED_HINT}")
        raise UserError(f"no MQTT broker is installed: {_EMBEDDED_HINT} or {mosquitto.INSTALL_HINT}")

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


def write_rumqttd(folder: Path, port: int) -> list[str]:
    """Write the embedded broker's configuration for `port` into `folder` and return the command that runs it."""
    config = folder / "rumqttd.toml"
    config.write_text(_RUMQTTD_TOML.format(host=HOST, port=port, max_packet=mosquitto.MAX_PACKET), encoding="utf-8")
    # It logs every packet as an error, through Python; what keeps it from starting is an exception, printed anyway.
    return [sys.executable, "-P", "-m", _EMBEDDED, "--config", str(config), "--log-level", "CRITICAL"]
