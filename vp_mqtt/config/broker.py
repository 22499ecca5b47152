"""How to reach an MQTT broker: its address, the account, certificates and patience."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vp_mqtt.masking import hide_in_address

DEFAULT_URL = "mqtt://127.0.0.1:1883"
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
"""Port by URL scheme, for addresses that name none."""

_TLS_SCHEMES = {"mqtts", "wss"}
_WEBSOCKET_SCHEMES = {"ws", "wss"}


def split_url(url: str) -> list[str]:
    """Return the URLs of the brokers in `SCHEME://[USER@]HOST[:PORT],HOST[:PORT],..[/PATH]`, one for each host.

    The scheme may be repeated before each host, but not differ.
    """
    scheme, separator, rest = url.partition("://")
    user, at, rest = rest.rpartition("@")
    parts = [part.partition("/") for part in rest.split(f",{scheme}://")]
    path = "/".join(dict.fromkeys(path for _, _, path in parts if path))
    hosts = [host for places, _, _ in parts for host in places.split(",")]
    return [f"{scheme}{separator}{user}{at}{host}{parts[-1][1]}{path}" for host in hosts]


def check_url(url: str) -> str:
    """Return the URL of a broker, or of the brokers of a cluster with the scheme written once, if it is one.

    Raises:
        ValueError: it is not; the message says what to write instead, and never repeats a password.
    """
    first, *others = split_url(url)
    for one in (first, *others):
        _check_single(one)
    if not others:
        return url
    parts = [urlsplit(one) for one in (first, *others)]
    hosts = ",".join([parts[0].netloc, *(part.netloc.rpartition("@")[2] for part in parts[1:])])
    return f"{parts[0].scheme}://{hosts}{parts[0].path}"


def _check_single(url: str) -> None:
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


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerOptions:
    """What a client needs to know to connect to a broker.

    Attributes:
        url: mqtt://, mqtts://, ws:// or wss://HOST:PORT; a user name may precede the host, a password may not. Several
            HOST:PORT, with commas between them, are the brokers of a cluster: `each` returns the options of each, and
            the properties below are those of the first.
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
        return hide_in_address(check_url(self.url))

    def each(self) -> list[BrokerOptions]:
        """Return the options of each broker of a cluster, in the order given; of a single broker, these."""
        urls = split_url(self.url)
        return [replace(self, url=url) for url in urls] if len(urls) > 1 else [self]

    @property
    def _first(self) -> str:
        return split_url(self.url)[0]

    def address_with(self, scheme: str) -> str:
        """Return the address of the same host and port with another URL scheme; a user name is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    @property
    def scheme(self) -> str:
        """URL scheme: mqtt, mqtts, ws or wss."""
        return urlsplit(self._first).scheme

    @property
    def host(self) -> str:
        """Host name or IP address."""
        return urlsplit(self._first).hostname or ""

    @property
    def port(self) -> int:
        """TCP port: the one in the URL, or the scheme's default."""
        parts = urlsplit(self._first)
        return parts.port or DEFAULT_PORTS[parts.scheme]

    @property
    def path(self) -> str:
        """Path of the WebSocket endpoint."""
        return urlsplit(self._first).path or "/mqtt"

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self._first).scheme in _TLS_SCHEMES

    @property
    def uses_websockets(self) -> bool:
        """Whether MQTT travels over WebSockets."""
        return urlsplit(self._first).scheme in _WEBSOCKET_SCHEMES

    @property
    def account(self) -> str | None:
        """The user name to log in with: `username`, or the one in the URL, in which %40 stands for an @ (RFC 3986)."""
        in_url = urlsplit(self._first).username
        return self.username or (unquote(in_url) if in_url else in_url)
