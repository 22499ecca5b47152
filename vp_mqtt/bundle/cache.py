"""Bundles on a board's disk: written aside, flushed and renamed, so that a power cut leaves the old ones whole."""

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
from vp_mqtt.files import PARTIAL_FILES, cache_folder, write_atomically
from vp_mqtt.protocol.bundle_pointer import BundlePointer, BundleRef
from vp_mqtt.protocol.messages import MessageError

_ABANDONED_S = 3600
_MODE = 0o600
_POINTER = "current.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")


def default_folder() -> Path:
    """Return where bundles are kept by default."""
    return cache_folder() / "bundles"


class Cache:
    """The bundles of one site on this machine."""

    def __init__(self, folder: Path, site: str, verifier: Verifier) -> None:
        """Use a folder, without making it.

        Args:
            folder: for all sites.
            site: the site's name, which has been checked to be one.
            verifier: what a bundle must pass before it is used.
        """
        self._folder = folder / site
        self._verifier = verifier

    def find(self, ref: BundleRef, variant: int | None) -> Bundle | None:
        """Return a bundle that is on disk whole, verified anew; None if it must be fetched.

        Args:
            ref: the bundle.
            variant: whose model is needed; None for the manifest alone.

        Raises:
            SignatureError: it is there, but not signed by the trusted key.
            UserError: it is there, but has no such variant.
        """
        folder = self._folder / ref.digest
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
        """Keep a file of a bundle.

        Args:
            ref: the bundle.
            file: its name, which the manifest's own check has found to be a plain file name.
            data: the file, verified.

        Raises:
            UserError: it cannot be written.
        """
        path = self._folder / ref.digest / file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data, mode=_MODE)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; check --bundle-cache") from None

    def remember(self, pointer: BundlePointer) -> None:
        """Note what the site runs, for a start without word from the broker, and drop the bundles it no longer needs.

        Raises:
            UserError: it cannot be written.
        """
        path = self._folder / _POINTER
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, pointer.encode(), mode=_MODE)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; check --bundle-cache") from None
        for aside in self._folder.rglob(PARTIAL_FILES):
            # Left by a power cut; a younger one may be another node's, at work.
            with contextlib.suppress(OSError):
                if time.time() - aside.stat().st_mtime > _ABANDONED_S:
                    aside.unlink()
        for folder in self._folder.iterdir():
            if _DIGEST.fullmatch(folder.name) and folder.name not in pointer.digests():
                shutil.rmtree(folder, ignore_errors=True)

    def recall(self, variant: int | None) -> Bundle | None:
        """Return the bundle that the site ran last, if it is here whole and passes; None otherwise."""
        try:
            pointer = BundlePointer.decode((self._folder / _POINTER).read_bytes())
            return self.find(pointer.current, variant) if pointer.current else None
        except (OSError, MessageError, SignatureError, UserError):
            return None
