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


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def turned(jpeg: bytes, orientation: int = 6) -> bytes:
    """Return a JPEG with EXIF data that asks for this orientation; 6: turned clockwise (CIPA DC-008)."""
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + orientation.to_bytes(2, "big") + b"\x00\x00"
    tiff = b"MM\x00*\x00\x00\x00\x08" + b"\x00\x01" + entry + bytes(4)
    return jpeg[:2] + segment(0xE1, b"Exif\x00\x00" + tiff) + jpeg[2:]


def with_secrets(jpeg: bytes, secret: bytes) -> bytes:
    """Return a JPEG with a secret in each place where cameras and programs store metadata."""
    thumbnail = jpeg[:-2] + segment(0xFE, secret) + jpeg[-2:]
    metadata = [
        segment(0xE0, b"JFXX\x00\x10" + thumbnail),
        segment(0xE0, b"AVI1" + secret),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta>" + secret),
        segment(0xE1, b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00" + thumbnail),
        segment(0xE2, b"MPF\x00" + secret),
        segment(0xE2, b"ICC_PROFILE\x00\x01\x01" + secret),
        segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04" + secret),
        segment(0xEE, b"Ducky" + secret),
        segment(0xFE, secret),
        b"\xff\xff\xff",
    ]
    return jpeg[:2] + b"".join(metadata) + jpeg[2:] + turned(jpeg) + secret


def many_scans(width: int, height: int, scans: int, fill: bytes = b"") -> bytes:
    """Return a small grey progressive JPEG of many scans that change nothing, each over all of its blocks.

    Args:
        width: in pixels.
        height: in pixels.
        scans: that refine coefficients, after the first two.
        fill: bytes to insert before each scan's marker.
    """
    runs = -(-(-(-width // 8) * -(-height // 8)) // 0x7FFF)
    bits = ("0" + "1" * 14) * runs  # each: the code for a run of blocks without coefficients, and its length
    bits += "1" * (-len(bits) % 8)
    nothing = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    parts = [
        b"\xff\xd8" + segment(0xDB, b"\x00" + b"\x01" * 64) + segment(0xC2, b"\x08" + size + b"\x01\x01\x11\x00"),
        segment(0xC4, b"\x00\x01" + bytes(15) + b"\x00") + segment(0xC4, b"\x10\x01\x01" + bytes(14) + b"\xe0\x00"),
        segment(0xDA, b"\x01\x01\x00\x00\x00\x01") + b"\x00",
        segment(0xDA, b"\x01\x01\x00\x01\x3f\x01") + nothing,
        (fill + segment(0xDA, b"\x01\x01\x00\x01\x3f\x10") + nothing) * scans,
    ]
    return b"".join(parts) + b"\xff\xd9"


def with_components(jpeg: bytes, count: int) -> bytes:
    """Return a JPEG whose frame header says that it has so many components, such as four for printing."""
    at = jpeg.index(b"\xff\xc0")
    each = b"".join(bytes((ident, 0x11, 0)) for ident in range(1, count + 1))
    end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return jpeg[:at] + segment(0xC0, jpeg[at + 4 : at + 9] + bytes([count]) + each) + jpeg[end:]


def without_tables(jpeg: bytes) -> bytes:
    """Return a JPEG without its Huffman tables, as many webcams send it."""
    out, at = bytearray(jpeg[:2]), 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] != 0xC4:
            out += jpeg[at:end]
        at = end
    return bytes(out + jpeg[at:])
