"""The key of the forms' tokens where there are no passwords: kept in a file, so that open pages outlast a restart."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from vp_mqtt.files import write_atomically
from vp_mqtt.logs import LOGGER

_KEY = re.compile(r"[0-9a-f]{64}")
_SECRET_FILE, _PRIVATE_FOLDER, _OTHERS = 0o600, 0o700, 0o077


def new_key() -> str:
    """Return a random key."""
    return secrets.token_hex(32)


def kept_key(file: Path) -> str:
    """Return the key in a file of ours that nobody else can read or write; otherwise a new one, kept if it can be."""
    try:
        found = file.read_text(encoding="ascii").strip()
        kept = file.stat()
        is_private = not kept.st_mode & _OTHERS and kept.st_uid in {0, os.geteuid()}
        if _KEY.fullmatch(found) and is_private:
            return found
    except (OSError, UnicodeDecodeError):
        pass
    key = new_key()
    try:
        file.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        write_atomically(file, key + "\n", mode=_SECRET_FILE)
    except OSError as error:
        LOGGER.warning("page: %s: %s; after a restart, open pages have to be loaded again", file, error.strerror)
    return key
