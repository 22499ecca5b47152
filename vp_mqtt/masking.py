"""Passwords and tokens in addresses, hidden wherever an address is shown: logs, errors, settings, statuses.

Addresses of cameras and brokers carry secrets in many places: `rtsp://user:password@host`, `http://host/?token=..`, the
path of a WebSocket, the key of an RTMP stream, `/user=admin_password=..` of some cameras. What is not known to be
harmless is hidden: a host name too many is better than a password.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"

_WORD = re.compile(r"\S+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://")
# Punctuation that ends a sentence or closes a quotation, rather than the address in it.
_CLOSING = "'\"`)]}>,;:.!"
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:(\d*|PORT))?")
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
_USUAL_WEBSOCKET_PATHS = {"", "/", "/mqtt", "/mqtt/", "/ws"}


def hide_secrets(text: str) -> str:
    """Return a text with the secrets of all addresses in it hidden.

    An address ends at a blank: one that may have blanks inside is to be hidden with `hide_in_address` first.
    """
    return _WORD.sub(lambda word: hide_in_address(word.group()), text)


def hide_in_address(address: str) -> str:
    """Return an address, or any other word, with its user, password, parameters and tokens hidden.

    Args:
        address: as a user wrote it: of any scheme or of none, well-formed or not.
    """
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
    shown = f"{host}{_hide_path(scheme, path)}{_hide_parameters(more)}"
    return f"{_hide_without_scheme(before)}{scheme}{HIDDEN + at if at else ''}{shown}{closing}"


def holds_secret(address: str) -> bool:
    """Return whether an address seems to hold a password or a token; the name of a user alone is neither."""
    rest = _PARAMETER.sub(lambda one: one.group() if _SECRET_PARAMETER.match(one.group()) else "", address)
    return hide_in_address(rest) != rest and not _PLAIN_USER.fullmatch(rest)


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
    scheme = scheme.lower()
    if scheme in {"ws://", "wss://"}:
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
