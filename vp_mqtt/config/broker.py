"""How to reach an MQTT broker: its address, the account, certificates and patience."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vp_mqtt.masking import hide_in_address

DEFAULT_URL = "mqtt://127.0.0.1:1883"
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
"""Port by URL scheme, for addresses that name none."""

_TLS_SCHEMES = {"mqtts", "wss"}
_WEBSOCKET_SCHEMES = {"ws", "wss"}


def check_url(url: str) -> str:
    """Return the URL of a broker if it is one.

    Raises:
        ValueError: it is not; the message says what to write instead, and never repeats a password.
    """
    # A part before an @ may hold a password, even in a malformed URL.
    shown = "the address" if "@" in url else repr(hide_in_address(url))
    if ":" in url.rpartition("@")[0].partition("://")[2]:
        raise ValueError("keep the password out of the address: put it in VP_PASSWORD or in --password-file")
    if any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError(f"{shown} contains a space or a control character; write mqtt://HOST:1883")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"{shown} has no valid host and port; write mqtt://HOST:1883") from None
    if parts.scheme not in DEFAULT_PORTS or not host:
        raise ValueError(f"{shown} is not a broker's address; write mqtt://HOST:1883 (or mqtts://, ws://, wss://)")
    if port == 0:
        raise ValueError(f"{shown} has no valid port; write mqtt://HOST:1883")
    if not unquote(parts.username or "a").isprintable():
        raise ValueError(f"{shown} has a user name with a control character; write mqtt://USER@HOST:1883")
    has_path = parts.path not in {"", "/"}
    if parts.query or parts.fragment or (has_path and parts.scheme not in _WEBSOCKET_SCHEMES):
        raise ValueError(f"{shown} has a path, which only ws:// and wss:// can have; write mqtt://HOST:1883")
    return url


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerOptions:
    """What a client needs to know to connect to a broker.

    Attributes:
        url: mqtt://, mqtts://, ws:// or wss://HOST:PORT; a user name may precede the host, a password may not.
        username: account at the broker.
        password: of the account; left out of the repr.
        ca_file: certificates (PEM) of the authorities that the broker's certificate may be signed by; None for the
            operating system's.
        cert_file: client certificate (PEM).
        key_file: private key of the client certificate (PEM).
        keepalive_s: MQTT keepalive, in seconds.
        give_up_after_s: seconds to look for the broker at the start before giving up; 0 for never.

    Raises:
        ValueError: `url` is not the URL of a broker.
    """

    url: str = DEFAULT_URL
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: int = 10
    give_up_after_s: float = 0.0

    def __post_init__(self) -> None:
        check_url(self.url)

    @property
    def address(self) -> str:
        """The broker's address, for people, without what may be secret in it."""
        return hide_in_address(self.url)

    def address_with(self, scheme: str) -> str:
        """Return the address of the same host and port with another URL scheme; a user name is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    @property
    def scheme(self) -> str:
        """URL scheme: mqtt, mqtts, ws or wss."""
        return urlsplit(self.url).scheme

    @property
    def host(self) -> str:
        """Host name or IP address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """TCP port: the one in the URL, or the scheme's default."""
        parts = urlsplit(self.url)
        return parts.port or DEFAULT_PORTS[parts.scheme]

    @property
    def path(self) -> str:
        """Path of the WebSocket endpoint."""
        return urlsplit(self.url).path or "/mqtt"

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme in _TLS_SCHEMES

    @property
    def uses_websockets(self) -> bool:
        """Whether MQTT travels over WebSockets."""
        return urlsplit(self.url).scheme in _WEBSOCKET_SCHEMES

    @property
    def account(self) -> str | None:
        """The user name to log in with: `username`, or the one in the URL, in which %40 stands for an @ (RFC 3986)."""
        in_url = urlsplit(self.url).username
        return self.username or (unquote(in_url) if in_url else in_url)
