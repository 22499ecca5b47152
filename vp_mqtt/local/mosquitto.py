"""Mosquitto on this machine: where it is, how it is configured here, and one that is started and stopped at will."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from vp_mqtt.errors import UserError
from vp_mqtt.local.broker_process import BrokerProcess
from vp_mqtt.local.ports import HOST

INSTALL_HINT = "`apt-get install mosquitto`"
MAX_PACKET = 16 * 1024 * 1024
"""The largest MQTT packet accepted, in bytes: room for a model file, and a bound on what one message can cost."""

# Where Debian and a build from source put Mosquitto; the first is not on an ordinary user's PATH.
_SYSTEM_PATH = "/usr/sbin:/usr/local/sbin"
# How many messages may wait for a client that reads slowly: this also bounds frames, for which Mosquitto 2.0 ignores
# `max_queued_bytes`.
_MAX_QUEUED = 1000


def find_mosquitto() -> Path | None:
    """Return the Mosquitto program on the PATH or where Debian and source builds put it, or None."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path=_SYSTEM_PATH)
    return None if found is None else Path(found)


def mosquitto_version(program: Path) -> str:
    """Return the version of a Mosquitto program, "unknown" if it does not print one."""
    # There is no option for this: the help starts with the version, and ends with exit code 3 or 1.
    answer = subprocess.run([str(program), "-h"], capture_output=True, text=True, check=False, timeout=10)
    match = re.search(r"mosquitto version (\S+)", answer.stdout + answer.stderr)
    return match[1] if match else "unknown"


def config_text(port: int, extra: str = "") -> str:
    """Return a Mosquitto configuration: one listener on 127.0.0.1, open to everyone, nothing on disk.

    Args:
        port: the TCP port, 1 to 65535.
        extra: further lines; an option in them replaces the one here, but for `listener`, which adds one.
    """
    lines = f"""\
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
""".splitlines()
    replaced = {line.split()[0] for line in extra.splitlines() if line.strip()} - {"listener"}
    return "\n".join([*(line for line in lines if line.split()[0] not in replaced), *extra.splitlines(), ""])


def write_mosquitto(folder: Path, port: int, extra: str = "") -> list[str]:
    """Write a configuration (see `config_text`) into `folder` and return the command that runs Mosquitto with it.

    Raises:
        UserError: Mosquitto is not installed.
    """
    program = find_mosquitto()
    if program is None:
        raise UserError(f"Mosquitto is not installed: {INSTALL_HINT}")
    config = folder / "mosquitto.conf"
    config.write_text(config_text(port, extra), encoding="utf-8")
    return [str(program), "-c", str(config)]


class Mosquitto(BrokerProcess):
    """A Mosquitto of our own on 127.0.0.1, open to everyone.

    Args:
        extra: further lines of its configuration, see `config_text`. Mosquitto, started by root, must be able to read
            the files that they name as another user.
        port: a TCP port; 0: a free one is chosen at the first start.

    Attributes:
        extra: as given; a change takes effect at the next start.
    """

    def __init__(self, extra: str = "", *, port: int = 0) -> None:
        super().__init__(lambda folder, port: write_mosquitto(folder, port, self.extra), port=port)
        self.extra = extra

    @property
    def url(self) -> str:
        """The broker's address, once started."""
        return f"mqtt://{HOST}:{self.port}"
