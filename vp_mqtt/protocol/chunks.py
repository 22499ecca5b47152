"""Files in chunks, as they travel in retained messages. Pure.

Layout of a chunk, big-endian (docs/wire.md):

| bytes | what                                                        |
|-------|-------------------------------------------------------------|
| 0     | format, 1                                                   |
| 1     | 0                                                           |
| 2..3  | how many chunks the file has                                |
| 4..7  | size of the whole file, in bytes                            |
| 8..11 | bytes of the file in each chunk but the last                |
| 12..  | the bytes from index * that size on, of the topic's index   |
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

FORMAT = 1
MAX_CHUNKS = 10_000
"""As many as a topic's last level can number."""
_HEADER = struct.Struct(">BBHII")
HEADER_BYTES = _HEADER.size


class ChunkError(ValueError):
    """A chunk that is not valid; the text is a short reason, the same for all chunks wrong in one way."""


def count_of(total: int, size: int) -> int:
    """Return how many chunks of `size` bytes a file of `total` bytes needs, both at least 1."""
    return -(-total // size)


def split(data: bytes, size: int) -> Iterator[bytes]:
    """Yield a file's chunks, by index, each with its header.

    Args:
        data: the file, 1 byte at least and less than 4 GiB.
        size: bytes of the file in a chunk, at least 1.

    Raises:
        ChunkError: the file is empty, or needs more than 10,000 chunks.
    """
    if not data:
        raise ChunkError("an empty file")
    count = count_of(len(data), size)
    if count > MAX_CHUNKS:
        raise ChunkError(f"more than {MAX_CHUNKS} chunks")
    header = _HEADER.pack(FORMAT, 0, count, len(data), size)
    for start in range(0, len(data), size):
        yield header + data[start : start + size]


class Assembly:
    """A file that is being put together from its chunks, which come in any order, and some twice.

    Chunks of one file agree in their header. Should the file have been published again with another chunk size, the
    newer header wins and the pieces of the older one are forgotten. Nothing is allocated before the size is checked.
    """

    def __init__(self, *, max_bytes: int) -> None:
        """Start empty.

        Args:
            max_bytes: larger files are refused.
        """
        self._max_bytes = max_bytes
        self._header: tuple[int, int, int] | None = None
        self._data = bytearray()
        self._missing: set[int] = set()

    def add(self, index: int, chunk: bytes) -> bool:
        """Take a chunk, and return whether the file is complete.

        Args:
            index: of the chunk, as its topic says.
            chunk: the payload, header and all.

        Raises:
            ChunkError: the chunk is not valid; what is there already stays.
        """
        if len(chunk) < HEADER_BYTES:
            raise ChunkError("chunk too short")
        version, zero, count, total, size = _HEADER.unpack_from(chunk)
        if version != FORMAT or zero:
            raise ChunkError("chunk of an unknown format")
        if not 1 <= total <= self._max_bytes:
            raise ChunkError("file too large or empty")
        if not size >= 1 or not count == count_of(total, size) <= MAX_CHUNKS:
            raise ChunkError("chunk's counts do not agree")
        if not 0 <= index < count:
            raise ChunkError("chunk's index out of range")
        start = index * size
        piece = chunk[HEADER_BYTES:]
        if len(piece) != min(size, total - start):
            raise ChunkError("chunk of the wrong length")
        if self._header != (count, total, size):
            self._header = (count, total, size)
            self._data = bytearray(total)
            self._missing = set(range(count))
        self._data[start : start + len(piece)] = piece
        self._missing.discard(index)
        return not self._missing

    @property
    def is_complete(self) -> bool:
        """Whether every chunk is there."""
        return self._header is not None and not self._missing

    @property
    def data(self) -> bytes:
        """The file, once it is complete."""
        return bytes(self._data)
