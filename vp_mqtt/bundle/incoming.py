"""The files of a bundle as they come in, chunk by chunk: which chunks to ask for next, and what is there already."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from vp_mqtt.mqtt.message import Received
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.bundle_pointer import MAX_MANIFEST_BYTES, MAX_MODEL_BYTES
from vp_mqtt.protocol.chunks import Assembly, ChunkError
from vp_mqtt.protocol.topics import Topics

_WINDOW_BYTES = 262_144
_WINDOW = (2, 32)
"""Chunks that are asked for at a time. More would not be faster, and a slow link's pings would wait behind them."""
LEFT_FREE_BYTES = 2 * MAX_MODEL_BYTES
"""Chunks are not kept on a disk with less room than this."""


class PartialFiles:
    """The chunks of a model that is being fetched, on disk: after a restart, what is there is not fetched again.

    They are not flushed, and are checked like those that arrive. Nothing fails if they cannot be kept.
    """

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made when a chunk is kept.

        Args:
            folder: of one bundle.
        """
        self._folder = folder

    def keep(self, variant: int, index: int, chunk: bytes) -> None:
        """Keep a chunk of a variant's model, unless the disk would be left with too little for a bundle."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if shutil.disk_usage(self._folder).free < LEFT_FREE_BYTES:
                return
            partial = self._folder / f".{_name(variant)}-{index}.new"
            partial.write_bytes(chunk)
            partial.replace(self._folder / f"{_name(variant)}-{index}")

    def read(self, variant: int) -> Iterator[tuple[int, bytes]]:
        """Yield the chunks of a model that were kept, with their indices."""
        with contextlib.suppress(OSError):
            for path in self._folder.glob(f"{_name(variant)}-*"):
                index = path.name.rpartition("-")[2]
                if index.isascii() and index.isdecimal():
                    yield int(index), path.read_bytes()

    def forget(self, variant: int) -> None:
        """Delete the chunks of a model."""
        with contextlib.suppress(OSError):
            for path in self._folder.glob(f"{_name(variant)}-*"):
                path.unlink(missing_ok=True)
            self._folder.rmdir()
            self._folder.parent.rmdir()


def _name(variant: int) -> str:
    return f"model-{variant}"


class IncomingFiles:
    """The manifest and at most one model of a bundle, put together from their chunks: the manifest first.

    Nothing of the model is asked for, taken or kept before the manifest has been accepted, and nothing of a manifest
    is kept at all.

    Attributes:
        manifest: the manifest's chunks.
        model: the model's chunks; None where no model is wanted.
        complete: set once the manifest is accepted and all chunks are there.
        refusal: why the last invalid chunk was refused; None if none was.
        progress_at: when there were last more bytes than ever before, on the monotonic clock, in seconds.
    """

    def __init__(self, digest: str, variant: int | None, kept: PartialFiles, now: float) -> None:
        """Prepare for the chunks of a bundle.

        Args:
            digest: the bundle's, in hexadecimal.
            variant: whose model is wanted; None for the manifest alone.
            kept: where chunks are kept.
            now: the monotonic clock, in seconds.
        """
        self._digest = digest
        self._variant = variant
        self._kept = kept
        self._most = 0
        self._is_accepted = False
        self._lock = threading.Lock()
        self.manifest = Assembly(max_bytes=MAX_MANIFEST_BYTES)
        self.model = Assembly(max_bytes=MAX_MODEL_BYTES) if variant is not None else None
        self.complete = threading.Event()
        self.refusal: str | None = None
        self.progress_at = now

    def accept_manifest(self) -> None:
        """Continue with the model, beginning with the chunks that were kept by an earlier attempt."""
        with self._lock:
            self._is_accepted = True
            if self._variant is not None and self.model is not None:
                for index, chunk in self._kept.read(self._variant):
                    with contextlib.suppress(ChunkError):
                        self.model.add(index, chunk)
        self._note_progress(self.progress_at)

    def add(self, message: Received) -> None:
        """Add a chunk (in the network's thread); messages that are not chunks of these files are ignored."""
        try:
            topic = topics.parse(message.topic)
            if topic.source != self._digest or topic.chunk is None or not message.payload:
                return
            with self._lock:
                if topic.variant is None and not self._is_accepted:
                    self.manifest.add(topic.chunk, message.payload)
                elif topic.variant is not None and topic.variant == self._variant and self._is_accepted:
                    self._add_to_model(topic.variant, topic.chunk, message.payload)
                else:
                    return
        except (topics.TopicError, ChunkError) as error:
            self.refusal = str(error)
            return
        self._note_progress(message.at)

    def _add_to_model(self, variant: int, index: int, chunk: bytes) -> None:
        if self.model is None:
            return
        before = self.model.received_bytes
        self.model.add(index, chunk)
        if self.model.received_bytes < before:  # it was published again in chunks of another size
            self._kept.forget(variant)
        self._kept.keep(variant, index, chunk)

    def wanted(self, names: Topics) -> set[str]:
        """Return the topics of the chunks to ask for now: the first ones that are missing.

        Args:
            names: of the site.
        """
        with self._lock:
            if not self._is_accepted:
                return {names.manifest(self._digest, index) for index in _first_missing(self.manifest)}
            if self.model is None or self._variant is None:
                return set()
            return {names.model(self._digest, self._variant, index) for index in _first_missing(self.model)}

    def forget(self) -> None:
        """Delete the chunks that were kept."""
        if self._variant is not None:
            self._kept.forget(self._variant)

    @property
    def received_bytes(self) -> int:
        """What is there of all files."""
        return sum(file.received_bytes for file in self._files())

    @property
    def total_bytes(self) -> int:
        """The size of those files of which a chunk is there."""
        return sum(file.total_bytes for file in self._files())

    def _files(self) -> list[Assembly]:
        return [self.manifest, *([self.model] if self.model is not None else [])]

    def _note_progress(self, now: float) -> None:
        # A chunk twice, or files that begin anew again and again, are no progress.
        if self.received_bytes > self._most:
            self._most = self.received_bytes
            self.progress_at = now
        if self._is_accepted and all(file.is_complete for file in self._files()):
            self.complete.set()


def _first_missing(file: Assembly) -> list[int]:
    count = min(max(_WINDOW_BYTES // file.chunk_bytes, _WINDOW[0]), _WINDOW[1]) if file.chunk_bytes else 1
    return file.missing(count)


def delete_partial_files(folder: Path, needed: set[str]) -> None:
    """Delete what was kept of bundles that are no longer needed.

    Args:
        folder: with a folder for each bundle, named by its digest.
        needed: digests of the others.
    """
    with contextlib.suppress(OSError):
        for one in folder.iterdir():
            if one.name not in needed:
                shutil.rmtree(one, ignore_errors=True)
