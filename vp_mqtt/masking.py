"""Passwords and tokens in addresses, hidden wherever an address is shown: logs, errors, settings, statuses.

Addresses of cameras and brokers carry secrets in many places: `rtsp://user:password@host`, `http://host/?token=..`, the
path of a WebSocket, the key of an RTMP stream, `/user=admin_password=..` of some cameras, or any word of a path. So
nothing is shown of an address but its scheme, host and port, unless the host is one of those that this package names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

HIDDEN = "***"

_WORD = re.compile(r"\S+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://")
# Punctuation that ends a sentence or closes a quotation, rather than the address in it.
_CLOSING = "'\"`)]}>,;:.!"
_ONE_HOST = r"(\[[^\]]*\]|[^:\[\]]*)(:(\d*|PORT))?"
# .. or several, of a cluster.
_HOST = re.compile(rf"{_ONE_HOST}(,{_ONE_HOST})*")
_COLON = re.compile(r":|%3a", re.IGNORECASE)
# In text that is not an address with a scheme, only parameters of such names are hidden.
_SECRET_PARAMETER = re.compile(
    r"((?:^|[?&;])[^=&;?\s]*(?:pass|pwd|pw|psw|token|key|secret|auth|login|user|usr|sig|session)[^=&;?\s]*=)[^&;\s]*",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"[?&;][^=&;?#\s]*=[^&;#\s]*")
# Of a path, a part that nobody would type: letters among several digits, or a long hexadecimal number.
_TOKEN = re.compile(
    r"(?=.*[A-Za-z])(?=(?:.*\d){3})[A-Za-z0-9]{10,}|(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z0-9]{12,}|[0-9A-Fa-f-]{16,}"
)
# .. and one that follows such a name.
_SECRET_NAME = re.compile(
    r"(?:.*[-_.])?(?:pass|password|passwd|pwd|token|key|apikey|secret|auth|session)", re.IGNORECASE
)
_PLAIN_USER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^:@/?#%]+@[^@?#]*")
PUBLIC_HOSTS = frozenset(
    {
        "arxiv.org",
        "data.caltech.edu",
        "data.vision.ee.ethz.ch",
        "github.com",
        "storage.googleapis.com",
        "ufldl.stanford.edu",
        "vision.stanford.edu",
        "www.cs.toronto.edu",
        "www.robots.ox.ac.uk",
    }
)
"""Where pages are that messages name."""
# A shorter text may be anywhere.
_LEAST_SECRET = 4
_WEBSOCKET = {"ws://", "wss://"}
_USUAL_WEBSOCKET_PATHS = {"", "/", "/mqtt", "/mqtt/", "/ws"}


def hide_secrets(text: str) -> str:
    """Return a text with the secrets of all addresses in it hidden.

    An address ends at a blank: one that may have blanks inside is to be hidden with `hide_in_address` first.
    """
    return _WORD.sub(lambda word: hide_in_address(word.group()), text)


def hide_in_address(address: str) -> str:
    """Return an address, or any other word, with its user, password, path and parameters hidden.

    Args:
        address: as a user wrote it: of any scheme or of none, well-formed or not.
    """
    return _hide(address, _hide_all)


def hide_parts_of(address: str, text: str) -> str:
    """Return a text in which the path and parameters of an address are hidden, also where they stand alone."""
    found = _SCHEME.search(address)
    if found is None:
        return text
    _, path, more = _split(address[found.end() :].rpartition("@")[2])
    for part in sorted({path + more, path, more[1:]}, key=len, reverse=True):
        for form in (part, unquote(part)):
            if form.startswith("/") and form.strip("/"):
                text = text.replace(form, f"/{HIDDEN}")
            elif len(form) >= _LEAST_SECRET:
                text = text.replace(form, HIDDEN)
    return text


def _hide(address: str, hide_rest: Callable[[str, str, str, str], str]) -> str:
    found = _SCHEME.search(address)
    if found is None:
        return _hide_without_scheme(address)
    before, scheme, rest = address[: found.start()], found.group(), address[found.end() :]
    bare = rest.rstrip(_CLOSING)
    closing = rest[len(bare) :]
    # A password may contain any character, also one that it should not: what is before the last @ is not looked at.
    _, at, place = bare.rpartition("@")
    host, path, more = _split(place)
    if not _HOST.fullmatch(host):
        host = HIDDEN
    shown = f"{host}{hide_rest(scheme.lower(), host, path, more)}"
    return f"{_hide_without_scheme(before)}{scheme}{HIDDEN + at if at else ''}{shown}{closing}"


def _hide_all(scheme: str, host: str, path: str, more: str) -> str:
    """Return what is shown of path and parameters."""
    usual = _USUAL_WEBSOCKET_PATHS if scheme in _WEBSOCKET else {"", "/"}
    if not more and (path in usual or host in PUBLIC_HOSTS):
        return path
    return f"/{HIDDEN}"


def _hide_suspicious(scheme: str, _host: str, path: str, more: str) -> str:
    """Return path and parameters, with what looks like a secret hidden."""
    return f"{_hide_path(scheme, path)}{_hide_parameters(more)}"


def holds_secret(address: str) -> bool:
    """Return whether an address seems to hold a password or a token; the name of a user alone is neither."""
    rest = _PARAMETER.sub(lambda one: one.group() if _SECRET_PARAMETER.match(one.group()) else "", address)
    return _hide(rest, _hide_suspicious) != rest and not _PLAIN_USER.fullmatch(rest)


def _split(place: str) -> tuple[str, str, str]:
    """Return host with port, path, and parameters with what is before them."""
    end = next((at for at, c in enumerate(place) if c in "?#;"), len(place))
    host, slash, path = place[:end].partition("/")
    return host, slash + path, place[end:]


def _hide_without_scheme(word: str) -> str:
    user, at, rest = word.rpartition("@")
    if at and _COLON.search(user):
        word = f"{HIDDEN}@{rest}"
    return _SECRET_PARAMETER.sub(rf"\1{HIDDEN}", word)


def _hide_path(scheme: str, path: str) -> str:
    if scheme in _WEBSOCKET:
        return path if path in _USUAL_WEBSOCKET_PATHS else f"/{HIDDEN}"
    parts = path.split("/")
    if scheme.startswith("rtmp"):
        # rtmp://HOST/APPLICATION/KEY
        return "/".join([*parts[:2], *(HIDDEN for _ in parts[2:])])
    named = (_SECRET_NAME.fullmatch(before) is not None for before in ["", *parts])
    return "/".join(
        HIDDEN if part and is_secret else _hide_part(part) for part, is_secret in zip(parts, named, strict=False)
    )


def _hide_part(part: str) -> str:
    plain = unquote(part)
    if "@" in plain or "://" in plain or _TOKEN.fullmatch(plain):
        return HIDDEN
    name, equals, _ = plain.partition("=")
    return f"{name}={HIDDEN}" if equals else part


def _hide_parameters(more: str) -> str:
    if more.startswith("#"):
        return f"#{HIDDEN}" if more != "#" else more
    names = (one.partition("=")[:2] for one in more[1:].split("&"))
    return more[:1] + "&".join(f"{name}={HIDDEN}" if equals else HIDDEN for name, equals in names) if more else ""
