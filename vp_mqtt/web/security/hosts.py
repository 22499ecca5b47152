"""Which names a browser may reach the page under: a foreign one may be an attack by DNS rebinding. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

_LOCAL_NAMES = frozenset({"localhost"})


def host_of(header: str) -> str:
    """Return the host in a Host or Origin header, in lower case, without port and brackets."""
    text = header.lower().partition("://")[2] or header.lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")


def is_allowed(header: str, names: Iterable[str], *, is_local: bool) -> bool:
    """Return whether a request's Host header is one that a browser would send for this page.

    An IP address is: whoever rebinds a name has to use a name. Where the page listens on this machine alone, only
    addresses of this machine are.

    Args:
        header: the Host header.
        names: further names of the page, in lower case.
        is_local: whether the page listens on a loopback address.
    """
    host = host_of(header)
    if host in _LOCAL_NAMES or host in set(names):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or not is_local


def is_same_origin(origin: str | None, fetch_site: str | None, host: str) -> bool:
    """Return whether a request that changes something comes from the page itself.

    Args:
        origin: the Origin header, which browsers send with every such request.
        fetch_site: the Sec-Fetch-Site header.
        host: the Host header.
    """
    if fetch_site is not None and fetch_site not in {"same-origin", "none"}:
        return False
    return origin is None or origin.lower().partition("://")[2] == host.lower()
