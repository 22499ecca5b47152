"""Bundles from the broker on a board's disk. Files are written atomically: a power cut leaves the old ones whole."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import time
from pathlib import Path

from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME
from vp_mqtt.bundle.signing import SignatureError, Verifier
from vp_mqtt.errors import UserError
from vp_mqtt.files import PARTIAL_FILES, cache_folder, write_to_cache
from vp_mqtt.protocol.bundle_pointer import BundlePointer, BundleRef
from vp_mqtt.protocol.messages import MessageError

_ABANDONED_S = 3600
_PRIVATE = 0o600
_POINTER = "current.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")


def default_folder() -> Path:
    """Return where bundles are kept by default."""
    return cache_folder() / "bundles"


class Cache:
    """The bundles of one site on this machine."""

    def __init__(self, folder: Path, site: str, verifier: Verifier) -> None:
        """Use a folder; it is made when something is kept.

        Args:
            folder: of all sites.
            site: the site's name, which has been validated.
            verifier: checks the signatures of bundles.
        """
        self._folder = folder / site
        self._verifier = verifier
        # Of bundles of which a file had to be written elsewhere: there all of it is.
        self._elsewhere: dict[str, Path] = {}

    def find(self, ref: BundleRef, variant: int | None) -> Bundle | None:
        """Return a bundle that is on the disk whole, after verifying it; None if it must be fetched.

        Args:
            ref: the bundle.
            variant: whose model is needed; None for the manifest alone.

        Raises:
            SignatureError: it is not signed by the trusted key.
            UserError: it has no such variant.
        """
        folder = self._elsewhere.get(ref.digest, self._folder / ref.digest)
        try:
            manifest = (folder / MANIFEST_NAME).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(manifest).hexdigest() != ref.digest:
            return None
        self._verifier.check(manifest, ref.signature)
        bundle = open_bundle(folder)
        if variant is not None:
            entry = bundle.variant(variant)
            try:
                model = (folder / entry.file).read_bytes()
            except OSError:
                return None
            if hashlib.sha256(model).hexdigest() != entry.sha256:
                return None
        return bundle

    def put(self, ref: BundleRef, file: str, data: bytes) -> None:
        """Write a file of a bundle.

        Args:
            ref: the bundle.
            file: its name, a plain file name: the manifest has been validated.
            data: its content, which has been verified.

        Raises:
            UserError: it cannot be written, not even to a temporary folder.
        """
        folder = self._folder / ref.digest
        written = write_to_cache(folder / file, data, mode=_PRIVATE).parent
        if written != folder:
            self._complete(written, folder)
            self._elsewhere[ref.digest] = written

    def remember(self, pointer: BundlePointer) -> None:
        """Write down what the site runs, for a start without the broker, and delete the bundles it no longer needs.

        Raises:
            UserError: it cannot be written, not even to a temporary folder.
        """
        if write_to_cache(self._folder / _POINTER, pointer.encode(), mode=_PRIVATE).parent != self._folder:
            return
        for partial in self._folder.rglob(PARTIAL_FILES):
            # Old ones are left from a power cut; a younger one may be another node's work in progress.
            with contextlib.suppress(OSError):
                if time.time() - partial.stat().st_mtime > _ABANDONED_S:
                    partial.unlink()
        for folder in self._folder.iterdir():
            if _DIGEST.fullmatch(folder.name) and folder.name not in pointer.digests():
                shutil.rmtree(folder, ignore_errors=True)

    def recall(self, variant: int | None) -> Bundle | None:
        """Return the bundle that the site ran last; None if it is not here whole, or not valid."""
        try:
            pointer = BundlePointer.decode((self._folder / _POINTER).read_bytes())
            return self.find(pointer.current, variant) if pointer.current else None
        except (OSError, MessageError, SignatureError, UserError):
            return None

    @staticmethod
    def _complete(written: Path, folder: Path) -> None:
        """Copy what is already in the cache to the folder that takes the rest of the bundle."""
        with contextlib.suppress(OSError):
            for file in folder.iterdir():
                if not (written / file.name).exists():
                    shutil.copyfile(file, written / file.name)
