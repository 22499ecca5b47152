"""What a site ran before the first bundle that was ever pushed to it: the broker does not keep that one."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.errors import UserError
from vp_mqtt.files import write_atomically
from vp_mqtt.protocol.bundle_pointer import SHORT_DIGITS


class _Record(BaseModel):
    """The bundle that was pushed, by its short digest, and the one before: a folder, or the name of a bundled one."""

    model_config = ConfigDict(frozen=True)

    sent: str
    before: str


class FirstPush:
    """Remembers, over restarts, what to push for going back where only one bundle was pushed yet."""

    def __init__(self, file: Path) -> None:
        """Use a file, which is written when there is something to remember."""
        self._file = file

    def note(self, digest: str, previous: str | None, before: str | None) -> None:
        """Note a push.

        Args:
            digest: of the bundle that the site runs now, in hexadecimal.
            previous: of the one that the broker keeps besides; None if there is none.
            before: what the boards ran before the push, as `vp push` takes it; None if that is not here.

        Raises:
            OSError: the file cannot be written.
        """
        if previous is not None:
            self._file.unlink(missing_ok=True)
        elif before is not None and _digest_of(before) not in {None, digest[:SHORT_DIGITS]}:
            record = _Record(sent=digest[:SHORT_DIGITS], before=before)
            write_atomically(self._file, record.model_dump_json(), mode=0o600)

    def before(self, running: str | None) -> str | None:
        """Return what the boards ran before the first push; None if they do not run what was pushed then.

        Args:
            running: the short digest of what they run.
        """
        try:
            record = _Record.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return None
        return record.before if record.sent == running and _digest_of(record.before) is not None else None


def _digest_of(bundle: str) -> str | None:
    """Return the short digest of a bundle; None if it is not there any more."""
    try:
        return open_bundle(bundle).manifest.short_digest.hex()
    except UserError:
        return None
