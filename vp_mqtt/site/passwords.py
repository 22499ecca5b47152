"""Passwords: generated at random, and stored in Mosquitto's format."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

_PASSWORD_BYTES = 24
_SALT_BYTES = 12
_ITERATIONS = 1000
_MAX_ITERATIONS = 10_000_000
_SHORTEST = 12
_FEWEST_DIFFERENT = 6


def generate() -> str:
    """Return a new password of 192 random bits, as 32 letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def weakness(password: str, account: str) -> str | None:
    """Return what makes a password easy to guess; None if nothing does.

    Args:
        password: generated, or replaced by a person.
        account: the account's name.
    """
    if len(password) < _SHORTEST:
        return f"it has {len(password)} characters: use {_SHORTEST} or more"
    if len(set(password)) < _FEWEST_DIFFERENT:
        return "it repeats a few characters: use a random one"
    if account.lower() in password.lower():
        return "it holds the account's name: use a random one"
    return None


def _hash(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)


def entry(account: str, password: str, salt: bytes | None = None) -> str:
    """Return a line of Mosquitto's password file: `ACCOUNT:$7$ITERATIONS$SALT$HASH`.

    PBKDF2-HMAC-SHA512 (RFC 8018) with a salt of 12 bytes and a key of 64, as mosquitto_passwd writes it. A
    generated password cannot be guessed whatever the number of iterations; many would delay the broker, which checks
    passwords in the same thread that delivers messages.

    Args:
        account: the user name.
        password: the password to store.
        salt: 12 bytes; by default random.
    """
    salt = salt or secrets.token_bytes(_SALT_BYTES)
    parts = base64.b64encode(salt).decode(), base64.b64encode(_hash(password, salt, _ITERATIONS)).decode()
    return f"{account}:$7${_ITERATIONS}${parts[0]}${parts[1]}"


def matches(line: str, account: str, password: str) -> bool:
    """Return whether a line of a password file holds this account and password."""
    name, _, stored = line.partition(":")
    match stored.split("$"):
        case ["", "7", iterations, salt, digest] if name == account and iterations.isdecimal():
            try:
                count = int(iterations)
                if not 0 < count <= _MAX_ITERATIONS:
                    return False
                expected = base64.b64decode(digest, validate=True)
                found = _hash(password, base64.b64decode(salt, validate=True), count)
            except (binascii.Error, ValueError):
                return False
            return hmac.compare_digest(expected, found)
    return False
