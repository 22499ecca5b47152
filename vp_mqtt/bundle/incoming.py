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


class PartialFiles:
    """The chunks of a bundle that is being fetched, on disk: after a restart, what is there is not fetched again.

    They are not flushed, and are checked like those that arrive. Nothing fails if they cannot be kept.
    """

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made when a chunk is kept.

        Args:
            folder: of one bundle.
        """
        self._folder = folder

    def keep(self, variant: int | None, index: int, chunk: bytes) -> None:
        """Keep a chunk of a variant's model, or of the manifest."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = self._folder / f".{_name(variant)}-{index}.new"
            partial.write_bytes(chunk)
            partial.replace(self._folder / f"{_name(variant)}-{index}")

    def read(self, variant: int | None) -> Iterator[tuple[int, bytes]]:
        """Yield the chunks of a file that were kept, with their indices."""
        with contextlib.suppress(OSError):
            for path in self._folder.glob(f"{_name(variant)}-*"):
                index = path.name.rpartition("-")[2]
                if index.isascii() and index.isdecimal():
                    yield int(index), path.read_bytes()

    def forget(self, variant: int | None) -> None:
        """Delete the chunks of a file."""
        with contextlib.suppress(OSError):
            for path in self._folder.glob(f"{_name(variant)}-*"):
                path.unlink(missing_ok=True)
            self._folder.rmdir()
            self._folder.parent.rmdir()


def _name(variant: int | None) -> str:
    return "manifest" if variant is None else f"model-{variant}"


class IncomingFiles:
    """The manifest and at most one model of a bundle, put together from their chunks.

    Attributes:
        manifest: the manifest's chunks.
        model: the model's chunks; None where no model is wanted.
        complete: set once all chunks are there.
        refusal: why the last invalid chunk was refused; None if none was.
        progress_at: when there were last more bytes than ever before, on the monotonic clock, in seconds.
    """

    def __init__(self, digest: str, variant: int | None, kept: PartialFiles, now: float) -> None:
        """Prepare for the chunks of a bundle, beginning with those that were kept.

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
        self._lock = threading.Lock()
        self.manifest = Assembly(max_bytes=MAX_MANIFEST_BYTES)
        self.model = Assembly(max_bytes=MAX_MODEL_BYTES) if variant is not None else None
        self.complete = threading.Event()
        self.refusal: str | None = None
        self.progress_at = now

    def resume(self) -> None:
        """Take the chunks that were kept by an earlier attempt."""
        for variant, file in self._files():
            for index, chunk in self._kept.read(variant):
                with contextlib.suppress(ChunkError):
                    file.add(index, chunk)
        self._note_progress(self.progress_at)

    def add(self, message: Received) -> None:
        """Add a chunk (in the network's thread); messages that are not chunks of these files are ignored."""
        try:
            topic = topics.parse(message.topic)
            if topic.source != self._digest or topic.chunk is None or not message.payload:
                return
            file = self.manifest if topic.variant is None else self.model
            if file is None or topic.variant not in {None, self._variant}:
                return
            with self._lock:
                before = file.received_bytes
                file.add(topic.chunk, message.payload)
                if file.received_bytes < before:  # it was published again in chunks of another size
                    self._kept.forget(topic.variant)
                self._kept.keep(topic.variant, topic.chunk, message.payload)
        except (topics.TopicError, ChunkError) as error:
            self.refusal = str(error)
            return
        self._note_progress(message.at)

    def wanted(self, names: Topics) -> set[str]:
        """Return the topics of the chunks to ask for now: the first ones that are missing.

        Args:
            names: of the site.
        """
        wanted: set[str] = set()
        with self._lock:
            for variant, file in self._files():
                count = min(max(_WINDOW_BYTES // file.chunk_bytes, _WINDOW[0]), _WINDOW[1]) if file.chunk_bytes else 1
                for index in file.missing(count):
                    is_manifest = variant is None
                    wanted.add(
                        names.manifest(self._digest, index)
                        if is_manifest
                        else names.model(self._digest, variant or 0, index)
                    )
        return wanted

    def forget(self) -> None:
        """Delete the chunks that were kept."""
        for variant, _ in self._files():
            self._kept.forget(variant)

    @property
    def received_bytes(self) -> int:
        """What is there of all files."""
        return sum(file.received_bytes for _, file in self._files())

    @property
    def total_bytes(self) -> int:
        """The size of those files of which a chunk is there."""
        return sum(file.total_bytes for _, file in self._files())

    def _files(self) -> list[tuple[int | None, Assembly]]:
        model = [(self._variant, self.model)] if self.model is not None else []
        return [(None, self.manifest), *model]

    def _note_progress(self, now: float) -> None:
        # A chunk twice, or files that begin anew again and again, are no progress.
        if self.received_bytes > self._most:
            self._most = self.received_bytes
            self.progress_at = now
        if all(file.is_complete for _, file in self._files()):
            self.complete.set()


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
