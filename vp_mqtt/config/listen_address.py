"""Where a server of ours listens: an IP address and a port."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_PORT = re.compile(r"[0-9]{1,5}")
_MAX_PORT = 65_535
_LOCAL = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a server listens.

    Attributes:
        host: an IP address, without brackets.
        port: a TCP port; 0: a free one.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Return the address that HOST:PORT is.

        Raises:
            ValueError: it is none.
        """
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        advice = f"{text!r}: write ADDRESS:PORT, such as 127.0.0.1:8321 or 0.0.0.0:8321"
        try:
            address = ipaddress.ip_address(_LOCAL if host == "localhost" else host)
        except ValueError:
            raise ValueError(advice) from None
        if not _is_port(port):
            raise ValueError(advice)
        return cls(str(address), int(port))

    @classmethod
    def parse_port(cls, text: str) -> ListenAddress:
        """Return the address that PORT, on this machine alone, or HOST:PORT is.

        Raises:
            ValueError: it is neither.
        """
        if _is_port(text):
            return cls(_LOCAL, int(text))
        try:
            return cls.parse(text)
        except ValueError:
            raise ValueError(f"{text!r}: write a port, such as 9321, or ADDRESS:PORT, such as 0.0.0.0:9321") from None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= _MAX_PORT
