"""The page's passwords: one for those who look, one for those who operate, as argon2 hashes in a file."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import argon2
import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error, is_readable_by_others, read_text, write_atomically
from vp_mqtt.web.security.people import PageRole

SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 1000
_KEY_BYTES = 32
_SECRET = 0o600
_Hash = Annotated[str, Field(pattern=r"^\$argon2id\$", max_length=500)]

_HASHER = argon2.PasswordHasher()


class Passwords(BaseModel):
    """The content of the passwords file.

    Attributes:
        key: signs the sessions, in hexadecimal.
        viewer: hash of the password of those who look; None: there are no viewers.
        operator: hash of the password of those who operate; None: there are no operators.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(
        default_factory=lambda: secrets.token_hex(_KEY_BYTES), validate_default=True
    )
    viewer: _Hash | None = None
    operator: _Hash | None = None

    def for_role(self, role: PageRole) -> str | None:
        """Return the hash of a role's password."""
        return self.operator if role is PageRole.OPERATOR else self.viewer

    def role_of(self, password: str) -> PageRole | None:
        """Return whose password this is, None if it is nobody's. Takes some tens of ms on purpose."""
        if len(password) > LONGEST_PASSWORD:
            return None
        found = None
        # All are tried, whichever fits: the time tells nothing.
        for role in (PageRole.VIEWER, PageRole.OPERATOR):
            stored = self.for_role(role)
            if stored is not None and _fits(stored, password):
                found = role
        return found


def _fits(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def default_file() -> Path:
    """Return where the passwords file is unless a setting names another place."""
    return platformdirs.user_config_path("vp-mqtt", appauthor=False) / "web.passwords"


def read_passwords(path: Path) -> Passwords | None:
    """Read the passwords file; None if there is none.

    Raises:
        UserError: it cannot be read, is not such a file, or others can read it.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    if is_readable_by_others(path):
        raise UserError(f"{path}: others can read it: chmod 600 {path}")
    try:
        return Passwords.model_validate_json(text)
    except ValidationError as error:
        raise UserError(
            f"{path}: not a file of passwords ({first_error(error)}); make one with --set-password"
        ) from None


def set_password(path: Path, role: PageRole, password: str) -> None:
    """Set a role's password; its sessions end.

    Args:
        path: the passwords file, which need not exist.
        role: whose password it is.
        password: the new one.

    Raises:
        UserError: the password is too short or too long, or the file cannot be read or written.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise UserError(f"a password needs {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    before = read_passwords(path) or Passwords()
    if any(
        (stored := before.for_role(other)) is not None and other is not role and _fits(stored, password)
        for other in PageRole
    ):
        raise UserError("viewers and operators need different passwords: by it the page knows who signs in")
    after = before.model_copy(update={str(role): _HASHER.hash(password)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, after.model_dump_json(indent=1, exclude_none=True) + "\n", mode=_SECRET)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
