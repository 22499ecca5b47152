"""Files in chunks, as they travel in retained messages.

Layout of a chunk, big-endian (docs/wire.md):

| bytes | what                                                        |
|-------|-------------------------------------------------------------|
| 0     | format, 1                                                   |
| 1     | 0                                                           |
| 2..3  | number of chunks of the file                                |
| 4..7  | size of the whole file, in bytes                            |
| 8..11 | bytes of the file in every chunk but the last               |
| 12..  | bytes of the file, from (the topic's index * that size) on  |
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

FORMAT = 1
MAX_CHUNKS = 10_000
"""Of a file: the last level of a topic has at most four digits."""
_HEADER = struct.Struct(">BBHII")
HEADER_BYTES = _HEADER.size


class ChunkError(ValueError):
    """An invalid chunk; the message is a short reason, the same for all chunks with the same error."""


def count_of(total: int, size: int) -> int:
    """Return the number of chunks of `size` bytes that a file of `total` bytes needs, both at least 1."""
    return -(-total // size)


def split(data: bytes, size: int) -> Iterator[bytes]:
    """Yield a file's chunks, with their headers, in the order of their indices.

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
    """A file that is put together from its chunks, which arrive in any order, and some more than once.

    All chunks of a file have the same header. If the file is published again with another chunk size, the newer header
    wins and the data of the older chunks is dropped. Nothing is allocated before the size is checked.
    """

    def __init__(self, *, max_bytes: int) -> None:
        """Begin without chunks.

        Args:
            max_bytes: larger files are refused.
        """
        self._max_bytes = max_bytes
        self._header: tuple[int, int, int] | None = None
        self._data = bytearray()
        self._missing: set[int] = set()
        self._first_missing = 0

    def add(self, index: int, chunk: bytes) -> bool:
        """Add a chunk, and return whether the file is complete.

        Args:
            index: of the chunk, from its topic.
            chunk: the payload, with the header.

        Raises:
            ChunkError: the chunk is invalid; the chunks before it are kept.
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
            self._first_missing = 0
        self._data[start : start + len(piece)] = piece
        self._missing.discard(index)
        return not self._missing

    def missing(self, count: int) -> list[int]:
        """Return the indices of the first chunks that are missing, at most so many; [0] before the first chunk."""
        if self._header is None:
            return [0]
        chunks = self._header[0]
        while self._first_missing < chunks and self._first_missing not in self._missing:
            self._first_missing += 1
        found: list[int] = []
        for index in range(self._first_missing, chunks):
            if len(found) == count:
                break
            if index in self._missing:
                found.append(index)
        return found

    @property
    def chunk_bytes(self) -> int:
        """Bytes of the file in every chunk but the last; 0 before the first chunk."""
        return self._header[2] if self._header is not None else 0

    @property
    def total_bytes(self) -> int:
        """The size of the whole file; 0 before the first chunk."""
        return self._header[1] if self._header is not None else 0

    @property
    def received_bytes(self) -> int:
        """How much of the file is there, rounded up to whole chunks."""
        if self._header is None:
            return 0
        count, total, size = self._header
        return min(total, (count - len(self._missing)) * size)

    @property
    def is_complete(self) -> bool:
        """Whether all chunks have arrived."""
        return self._header is not None and not self._missing

    @property
    def data(self) -> bytes:
        """The file, once it is complete."""
        return bytes(self._data)
