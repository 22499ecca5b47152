"""JPEGs as telephones and webcams make them."""

from __future__ import annotations

import numpy as np

from vp_mqtt.inference.pictures import Picture


def half_and_half(width: int = 64, height: int = 48) -> Picture:
    """Return a picture whose left half is blue and whose right half is red."""
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[:, : width // 2, 0] = 255
    picture[:, width // 2 :, 2] = 255
    return picture


def turned(jpeg: bytes) -> bytes:
    """Return a JPEG with the note that it is to be turned clockwise (EXIF orientation 6, CIPA DC-008)."""
    tiff = b"MM\x00*\x00\x00\x00\x08" + b"\x00\x01" + b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00" + bytes(4)
    exif = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


def without_tables(jpeg: bytes) -> bytes:
    """Return a JPEG without its Huffman tables, as many webcams send it."""
    out, at = bytearray(jpeg[:2]), 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] != 0xC4:
            out += jpeg[at:end]
        at = end
    return bytes(out + jpeg[at:])
