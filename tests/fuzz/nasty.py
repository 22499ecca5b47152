# ruff: noqa: E501, RUF005 (a table of bytes)
"""Inputs that broke decoders elsewhere, and good ones to begin from, by decoder."""

from __future__ import annotations

import json
import struct

import cv2
import numpy as np

from tests.support.jpegs import many_scans, with_secrets
from tests.support.tiny import model
from vp_mqtt.inference.pictures import encode_jpeg

_ANNOUNCE = {"frame": "1f8c02d4-17", "captured": 1.5, "truth": "Bag"}
_STATE = {
    "camera": "cam0", "label": "Bag", "since": 1e9, "previous": None, "confidence": 0.9, "agreeing": [1],
    "reason": "labels", "published": 1e9, "valid_for_s": 90.0, "bundle": "fashion-mnist",
}  # fmt: skip
_LABEL = {
    "camera": "cam0", "frame": "1f8c02d4-17", "label": "Bag", "class_index": 8, "confidence": 0.9, "score": 0.8,
    "top": [{"label": "Bag", "confidence": 0.9}], "voted": [1], "missing": [0], "alive": [1], "closed_by": "decided",
    "latency_ms": 2.5, "captured": 1.5, "valid_for_s": 5.0, "bundle": "fashion-mnist",
}  # fmt: skip
_STATUS = {
    "state": "online", "node": "v0", "role": "variant", "version": "0.1.0", "host": "pi4", "client_id": "vp-home-v0",
    "instance": "5be3c1aa", "started": 1.5, "variant": 2, "bundle": "fashion-mnist", "digest": "6549ea43",
}  # fmt: skip
_FUSION_SETTINGS = {
    "version": 7,
    "changed": 1.0,
    "unknown": 0.6,
    "state": {"labels": 3, "window": 5, "hysteresis": 2, "dwell": 2.0, "timeout": 30.0},
}
_CAMERA_SETTINGS = {
    "version": 7,
    "changed": 1.0,
    "regions": {"door": [0.1, 0.2, 0.4, 0.9]},
    "motion": {"gate": True, "threshold": 12.0, "area": 0.5, "hold": 2.0, "heartbeat": 4.0},
}
_STATS = {"node": "v0", "uptime_s": 1.5, "counts": {"frames": 8}, "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0}}
_REF = {"name": "tiny", "digest": "0" * 64}
_POINTER = {"format": 1, "current": _REF | {"signature": "a" * 128}, "previous": _REF, "next": None, "pushed": 1.5}
_VARIANT = {"index": 0, "resolution": 32, "head": 8, "weight": 1, "file": "v0.onnx", "sha256": "0" * 64, "params": 1}
_MANIFEST = {"format": 1, "name": "tiny", "classes": ["a", "b"], "variants": [_VARIANT], "k": 1}


def _jpeg() -> bytes:
    return encode_jpeg(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3), 80)


def _claims(width: int, height: int) -> bytes:
    """Return a JPEG whose header claims another size than it has."""
    data = bytearray(_jpeg())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def _json(good: dict[str, object]) -> list[bytes]:
    nasty: list[bytes] = [
        b"", b"null", b"[]", b"{}", b"NaN", b"\xff\xfe{}", b"\x00" * 64, b'{"a":' * 20_000, b"[" * 60_000, b"1" * 60_000,
        b'{"captured":1e999}', b'{"captured":NaN}', b'"\\ud800"', b"{" + b'"a":1,' * 5_000 + b'"a":1}', b" " * 70_000,
    ]  # fmt: skip
    wrong: list[object] = [None, -1, 2**64, 1e308, "", "x" * 10_000, [], {}, True, "\x00", "../..", "a" * 65]
    nasty += [json.dumps(good | {key: value}).encode() for key in good for value in wrong]
    return [json.dumps(good).encode(), *nasty]


NASTY: dict[str, list[bytes]] = {
    "vote": [
        b"\x01\x03abcd\x00\x10" + struct.pack(">6H", 0, 40_000, 1, 20_000, 2, 100),
        b"", b"\x01", b"\x01\x00abcd\x00\x00", b"\x01\xffabcd\x00\x00\x00\x00\x00\x00", b"\x02\x01abcd\x00\x00" + b"\x00" * 4,
        b"\x01\x01abcd\xff\xff" + struct.pack(">HH", 9999, 1), b"\x01\x01abcd\x00\x00" + b"\xff" * 4,
        b"\x01\x02abcd\x00\x00" + struct.pack(">4H", 1, 30_000, 1, 20_000),
        b"\x01\x02abcd\x00\x00" + struct.pack(">4H", 1, 1, 2, 65_535),
        b"\x01\x02abcd\x00\x00" + struct.pack(">4H", 1, 65_535, 2, 65_535), b"\x01" * 1_000_000,
    ],
    "frame-id": [b"\x00" * 8, b"", b"1f8c02d4-17", b"1f8c02d4-4294967296", b"1f8c02d4-" + b"9" * 5000, "1f8c02d4-٣".encode()],
    "topic": [
        b"vp/home/camera/cam0/vote/2", b"vp/home/node/v0/status", b"", b"/" * 65_000, b"vp/home/camera/cam0/vote/-1",
        b"vp/home/camera/cam0/vote/99999999999999999999", b"vp/../camera/cam0/frame", b"vp/a\x00/camera/c/frame",
        b"vp/home/camera/cam0\n/frame", "vp/home/camera/cam0/vote/²".encode(), b"\xff\xfe",
    ],
    "announce": _json(_ANNOUNCE),
    "label": _json(_LABEL),
    "status": _json(_STATUS),
    "statuses": [
        bytes(range(256)), b"", b"\x00" * 160, b"\x01" + json.dumps(_STATUS).encode(), b"\xff" * 1_000, bytes(range(0, 256, 2)) * 4,
        b"\x02" * 15 + b"\x01" + b"\x02" * 15 + b"\x00",
    ],
    "sequences": [
        b"\x01\x00\x00\x00\x00\x01\x00\x00\x00\x01\x01\xff\xff\xff\xff\x01\x00\x00\x00\x02", b"", b"\x01", b"\xff" * 100, b"\x00" * 100,
        b"\x01\xff\xff\xff\xff" * 9, b"".join(b"\x01" + struct.pack(">I", n * n * 997 % 2**32) for n in range(100)),
        b"".join(b"\x05" + struct.pack(">I", 2**32 - 1 - n) for n in range(100)),
    ],
    "pointer": _json(_POINTER),
    "chunk": [
        b"\x00\x00" + struct.pack(">BBHII", 1, 0, 1, 4, 4) + b"abcd", b"", b"\x00\x00", b"\xff" * 40,
        b"\x00\x01" + struct.pack(">BBHII", 1, 0, 2, 4, 2) + b"cd", b"\x00\x02" + struct.pack(">BBHII", 1, 0, 2, 4, 2) + b"cd",
        b"\x00\x00" + struct.pack(">BBHII", 1, 0, 0, 0, 0), b"\x00\x00" + struct.pack(">BBHII", 1, 0, 1, 2**32 - 1, 2**32 - 1),
        b"\x00\x00" + struct.pack(">BBHII", 1, 0, 65_535, 4096, 1) + b"a", b"\x00\x00" + struct.pack(">BBHII", 1, 0, 1, 4, 4),
        b"\x00\x00" + struct.pack(">BBHII", 2, 0, 1, 4, 4) + b"abcd", b"\x00\x00" + struct.pack(">BBHII", 1, 0, 1, 4, 0) + b"abcd",
    ],
    "state": _json(_STATE) + [json.dumps(_STATE | {"agreeing": [1] * 10_000}).encode()],
    "fusion-settings": _json(_FUSION_SETTINGS) + [json.dumps(_FUSION_SETTINGS | {"version": 2**63}).encode()],
    "camera-settings": _json(_CAMERA_SETTINGS)
    + [json.dumps(_CAMERA_SETTINGS | {"regions": {f"r{n}": [0, 0, 1, 1] for n in range(2000)}}).encode()],
    "stats": _json(_STATS) + [json.dumps(_STATS | {"counts": {"x": 2**63}}).encode()],
    "frame": [
        _jpeg(), _jpeg()[:100], _jpeg()[:-2], b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", _claims(60_000, 60_000), _claims(0, 0),
        _claims(65_535, 1), b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, b"GIF89a" + b"\xff" * 50, b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        b"P6 99999 99999 255\n", b"BM" + b"\xff" * 60, b"II*\x00" + b"\xff" * 60, b"\x00" * 1_000_000,
    ],
    "file": [
        *(cv2.imencode(suffix, np.arange(192, dtype=np.uint8).reshape(8, 8, 3))[1].tobytes() for suffix in (".png", ".bmp", ".webp", ".tiff", ".ppm")),
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, b"GIF89a" + b"\xff" * 50, b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"P6 99999 99999 255\n", b"BM" + b"\xff" * 60,
        b"II*\x00" + b"\xff" * 60, b"\x00" * 1_000_000,
    ],
    "scans": [
        b"\xff\xda" + many_scans(64, 48, scans, fill).partition(b"\xff\xda")[2] for scans in (0, 3, 70, 3_000) for fill in (b"", b"\xff\xff", b"\x00")
    ],
    "jpeg": [
        _jpeg(), with_secrets(_jpeg(), b"secret"), _jpeg()[:100], _jpeg()[:-1], _jpeg() + b"\x00", b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", _claims(0, 0),
        b"\xff\xd8\xff\xe1\x00\x00" * 1_000, b"\xff\xd8" + b"\xff\xe0\xff\xff" * 1_000, b"\xff\xd8\xff\xc0\x00\x11\x08\xff",
        b"\xff\xd8" + b"\xff" * 100_000,
    ],
    "stream": [
        b"--frame\r\n\r\n" + _jpeg(), _jpeg()[:100] + _jpeg(), b"", b"\xff\xd8\xff" * 1_000, b"\xff\xd8\xff\xe1\x00\x02" * 1_000,
        b"\x89PNG\r\n\x1a\n" * 500, b"\x89PNG\r\n\x1a\n\x7f\xff\xff\xffIDAT", b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\0\0\0\0" * 5,
        b"\xff\xd8\xff\xda\0\2" + b"\1" * 10_000,
    ],
    "manifest": _json(_MANIFEST),
    "model": [
        model(16), model(16)[:-1], model(16)[:100], b"", b"\x08\x0a", b"\xff" * 100, b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x00\x3a\x00",
        b"\x3a\x00" * 60_000, b"\x08" + b"\x80" * 20 + b"\x01", b"\x3b\x3c", b"\xba\x3e\x00", b"\x3a\x08\x0a\x06\x22\x04Loop",
        b"\x3a\x06\x2a\x04\x6a\x02\x0a\x00", b"\x3a\x04\x2a\x02\x70\x01", b"\x42\x06\x0a\x04evil",
    ],
    "properties": [
        b"\x30\0\x01t\x0b\x09\0\x08\0\0\0\x01\0\0\0\x02x", b"\x32\0\x01t\0\x07\x0a\x26\0\0\0\0\x26\0\0\0\0x", b"", b"\x30", b"\x30\0\x01t",
        b"\x30\0\x01t\xe0\xdc\x2a" + b"\x26\0\0\0\0" * 140_000, b"\x20\0\0\xe0\xdc\x2a" + b"\x26\0\0\0\0" * 140_000,
        b"\x30\0\x01t\x08\x03\0\x05\xef\xbb\xbfab", b"\x30\0\x01t\xff\xff\xff\xff\xff", b"\x30\xff\xfft\0", b"\x30\0\x01t\x05\x0b\xff\xff\xff\xff",
        b"\x30\0\x01t\x80\0x", b"\x30\0\x01t\x80\x80\x80\0x", b"\xe0\x8e\x80\0", b"\x90\0\x01\x80\x80\0\x87",
    ],
    "settings": [
        b'broker = "mqtt://127.0.0.1"\n[variant]\nvariant = 1\n', b"", b"\xff", b"a = " + b"[" * 5_000, b"variant = 1",
        b'[variant]\nvariant = "x"\n', b"[variant]\nvariant = 99999999999999999999\n", b"[variant]\nvariant = nan\n",
        b'broker = "mqtt://[::"\n', b'broker = "mqtt://u:p@h"\n', b'password = "x"\n', b"[[variant]]\n", b"variant = []\n",
        b'ca_file = "\\u0000"\n', b"keepalive = 1e999\n", b"name = 1979-05-27\n",
    ],
}  # fmt: skip
