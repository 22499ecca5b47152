"""Bundles from the broker on a board's disk. Files are written atomically: a power cut leaves the old ones whole."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import time
from pathlib import Path

from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.bundle.incoming import PartialFiles, delete_partial_files
from vp_mqtt.bundle.manifest import MANIFEST_NAME
from vp_mqtt.bundle.records import Hangs, NewestSwitch, RanBundles, read_record
from vp_mqtt.bundle.signing import SignatureError, Verifier
from vp_mqtt.errors import UserError
from vp_mqtt.files import PARTIAL_FILES, cache_folder, write_to_cache
from vp_mqtt.protocol.bundle_pointer import BundlePointer, BundleRef
from vp_mqtt.protocol.messages import MessageError

_ABANDONED_S = 3600
_PRIVATE = 0o600
_POINTER = "current.json"
_RAN = "ran-{}.json"
_HUNG = "hung-{}.json"
_SWITCH = "switch.json"
_MOST_HANGS = 1
_PARTIAL = "partial"
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
        self._newest_switch = 0

    def find(self, ref: BundleRef, variant: int | None) -> Bundle | None:
        """Return a bundle that is on the disk whole, after verifying it; None if it must be fetched.

        Args:
            ref: the bundle.
            variant: whose model is needed; None for the manifest alone.

        Raises:
            SignatureError: it is not signed by the trusted key.
            UserError: it has no such variant, or its model has hung on this machine repeatedly.
        """
        if self._hangs(variant).digests.count(ref.digest) > _MOST_HANGS:
            raise UserError("its model has hung on this machine repeatedly; push another bundle")
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

    def partial(self, ref: BundleRef) -> PartialFiles:
        """Return where the chunks of a bundle's model are kept while it is being fetched; those of others go."""
        delete_partial_files(self._folder / _PARTIAL, {ref.digest})
        return PartialFiles(self._folder / _PARTIAL / ref.digest)

    def remember(self, pointer: BundlePointer, variant: int | None) -> None:
        """Write down what has run on this machine, for a start without the broker, and delete what is not needed.

        Args:
            pointer: its current bundle is the one that has run.
            variant: of the node that it has run on; None for a fusion node.

        Raises:
            UserError: it cannot be written, not even to a temporary folder.
        """
        ran = self._ran(variant)
        if pointer.current is not None:
            ran = ran.with_newest(pointer.current)
        # First, since a full disk takes nothing before.
        used = {ref.digest for ref in ran.refs} | self._used(besides=self._ran_file(variant))
        self._delete_others(pointer.digests() | used)
        delete_partial_files(self._folder / _PARTIAL, pointer.digests())
        if write_to_cache(self._folder / _POINTER, pointer.encode(), mode=_PRIVATE).parent != self._folder:
            return
        write_to_cache(self._ran_file(variant), ran.encode(), mode=_PRIVATE)
        hangs = self._hangs(variant)
        if hangs.digests:
            write_to_cache(self._hangs_file(variant), hangs.only(pointer.digests()).encode(), mode=_PRIVATE)

    def make_room(self, pointer: BundlePointer) -> None:
        """Delete what is not needed of earlier bundles; nothing fails if that is not possible.

        Args:
            pointer: names bundles that are needed; so are those that have run here.
        """
        current = self._remembered_current()
        self._delete_others(pointer.digests() | self._used() | ({current.digest} if current is not None else set()))
        delete_partial_files(self._folder / _PARTIAL, pointer.digests())

    def _delete_others(self, needed: set[str]) -> None:
        """Delete all bundles but those with certain digests, and what a crash has left."""
        with contextlib.suppress(OSError):
            for file in self._folder.rglob(PARTIAL_FILES):
                # Old ones are left from a power cut; a younger one may be another node's work in progress.
                with contextlib.suppress(OSError):
                    if time.time() - file.stat().st_mtime > _ABANDONED_S:
                        file.unlink()
            for folder in self._folder.iterdir():
                if _DIGEST.fullmatch(folder.name) and folder.name not in needed:
                    shutil.rmtree(folder, ignore_errors=True)

    def note_hang(self, digest: str, variant: int | None) -> None:
        """Write down that the model of a bundle has hung: the next start tries it again, or refuses it in the end.

        Args:
            digest: the bundle's, in hexadecimal.
            variant: of the node that it has hung on.

        Raises:
            UserError: it cannot be written, not even to a temporary folder.
        """
        ran = self._ran(variant).without(digest)
        file = self._ran_file(variant)
        if write_to_cache(file, ran.encode(), mode=_PRIVATE) != file:
            # Which works on a full disk, too.
            file.unlink(missing_ok=True)
        write_to_cache(self._hangs_file(variant), self._hangs(variant).with_newest(digest).encode(), mode=_PRIVATE)

    def _used(self, besides: Path | None = None) -> set[str]:
        """Return the digests of the bundles that have run here, without those in one of the records."""
        files = [file for file in self._folder.glob(_RAN.format("*")) if file != besides]
        return {ref.digest for file in files for ref in read_record(file, RanBundles).refs}

    def _remembered_current(self) -> BundleRef | None:
        try:
            return BundlePointer.decode((self._folder / _POINTER).read_bytes()).current
        except (OSError, MessageError):
            return None

    def recall(self, variant: int | None) -> list[Bundle]:
        """Return the bundles that have run here, the newest first, of those that are here whole and valid."""
        refs = list(self._ran(variant).refs)
        # Earlier versions wrote down the pointer alone.
        current = self._remembered_current()
        refs += [current] if current is not None else []
        found: dict[str, Bundle] = {}
        for ref in refs:
            with contextlib.suppress(SignatureError, UserError):
                bundle = self.find(ref, variant)
                if bundle is not None:
                    found.setdefault(ref.digest, bundle)
        return list(found.values())

    def has_run(self, digest: str, variant: int | None) -> bool:
        """Return whether a bundle has run here, with this variant."""
        return any(ref.digest == digest for ref in self._ran(variant).refs)

    def _ran(self, variant: int | None) -> RanBundles:
        return read_record(self._ran_file(variant), RanBundles)

    def _ran_file(self, variant: int | None) -> Path:
        return self._folder / _RAN.format("fusion" if variant is None else variant)

    def _hangs(self, variant: int | None) -> Hangs:
        return read_record(self._hangs_file(variant), Hangs)

    def _hangs_file(self, variant: int | None) -> Path:
        return self._folder / _HUNG.format("fusion" if variant is None else variant)

    @property
    def newest_switch(self) -> int:
        """The number of the newest signed switch that was accepted on this machine; 0 if none was."""
        return max(self._newest_switch, read_record(self._folder / _SWITCH, NewestSwitch).number)

    def note_switch(self, number: int) -> None:
        """Write down the number of a signed switch; older ones are no longer accepted.

        Raises:
            UserError: it cannot be written, not even to a temporary folder.
        """
        if number > self.newest_switch:
            self._newest_switch = number
            write_to_cache(self._folder / _SWITCH, NewestSwitch(number=number).encode(), mode=_PRIVATE)

    @staticmethod
    def _complete(written: Path, folder: Path) -> None:
        """Copy what is already in the cache to the folder that takes the rest of the bundle."""
        with contextlib.suppress(OSError):
            for file in folder.iterdir():
                if not (written / file.name).exists():
                    shutil.copyfile(file, written / file.name)
