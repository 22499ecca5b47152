"""The decoders that meet the network, each as a function that raises only if the decoder is at fault."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from tests.fuzz import fusion_targets
from tests.support.jpegs import many_scans
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME
from vp_mqtt.bundle.model_file import MAX_FIELDS, OPERATORS, check_model
from vp_mqtt.bundle.model_shapes import check_shapes
from vp_mqtt.bundle.protobuf import Reader
from vp_mqtt.config.loading import load
from vp_mqtt.config.settings import FusionSettings, VariantSettings
from vp_mqtt.errors import UserError
from vp_mqtt.inference import pictures
from vp_mqtt.inference.jpeg import Jpeg, read_head
from vp_mqtt.inference.picture_formats import FILES
from vp_mqtt.mqtt import properties, publish_packet
from vp_mqtt.nodes.sources.picture_scanner import PictureScanner
from vp_mqtt.protocol import topics, votes
from vp_mqtt.protocol.bundle_pointer import BundlePointer
from vp_mqtt.protocol.chunks import Assembly, ChunkError, split
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import (
    AnnounceMessage,
    LabelMessage,
    Message,
    MessageError,
    StateMessage,
    StatsMessage,
    StatusMessage,
)
from vp_mqtt.protocol.site_settings import CameraSettingsMessage, FusionSettingsMessage

CLASSES = 10
_DECODE_S = 5.0  # hundreds of times what it takes, since instrumented code on a busy machine is slow
PROGRESSIVE_HEAD = many_scans(1600, 1600, 0).partition(b"\xff\xda")[0]
_FOLDER = tempfile.TemporaryDirectory(prefix="vp-fuzz-")


def _vote(data: bytes) -> None:
    with contextlib.suppress(votes.VoteError):
        vote = votes.decode(data, CLASSES)
        assert max(vote.classes) < CLASSES
        assert all(map(math.isfinite, vote.probabilities))
        assert votes.encode(vote) == data


def _frame_id(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        frame = FrameId.decode(data)
        assert FrameId.parse(str(frame)) == frame
    with contextlib.suppress(ValueError):
        FrameId.parse(data.decode("utf-8", "replace"))


def _topic(data: bytes) -> None:
    with contextlib.suppress(topics.TopicError):
        parsed = topics.parse(data.decode("utf-8", "replace"))
        assert topics.is_name(parsed.source)


def _message(model: type[Message]) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        with contextlib.suppress(MessageError):
            message = model.decode(data)
            assert model.decode(message.encode()) == message

    return target


def _picture(data: bytes) -> None:
    with contextlib.suppress(pictures.PictureError):
        picture = pictures.decode(data)
        assert picture.ndim == 3
        assert picture.dtype == np.uint8


def _file(data: bytes) -> None:
    with contextlib.suppress(pictures.PictureError):
        assert pictures.decode(data, formats=FILES).ndim == 3


def _jpeg(data: bytes) -> None:
    for candidate in (data, b"\xff\xd8" + data + b"\xff\xd9"):
        head = read_head(candidate)
        jpeg = Jpeg.parse(candidate)
        assert jpeg is None or jpeg.head == head
        assert head is None or all(0 <= side < 2**16 for side in head.size)
        if jpeg is not None:
            assert len(jpeg.bare) <= len(candidate)
            again = Jpeg.parse(jpeg.bare)
            assert again is not None
            assert (again.bare, again.scans) == (jpeg.bare, jpeg.scans)


def _scans(data: bytes) -> None:
    """Decode a progressive JPEG whose scans the input makes up: in bounded time, and equally without its metadata."""
    whole = PROGRESSIVE_HEAD + data + b"\xff\xd9"
    started = time.process_time()
    try:
        picture = pictures.decode(whole, 96)
    except pictures.PictureError:
        return
    finally:
        assert time.process_time() - started < _DECODE_S
    jpeg = Jpeg.parse(whole)
    if jpeg is not None and not jpeg.head.is_turned:
        assert (pictures.decode(jpeg.bare, 96) == picture).all()


def _stream(data: bytes) -> None:
    whole, cut = PictureScanner(max_bytes=4096), PictureScanner(max_bytes=4096)
    found = whole.feed(data)
    assert [one for at in range(0, len(data), 7) for one in cut.feed(data[at : at + 7])] == found
    assert all(len(one) <= 4096 and one in data for one in found)
    assert len(cut._data) <= 4096 + 7


def _manifest(data: bytes) -> None:
    (Path(_FOLDER.name) / MANIFEST_NAME).write_bytes(data)
    with contextlib.suppress(UserError):
        manifest = open_bundle(_FOLDER.name).manifest
        assert len(manifest.digest) == 32


def _settings(data: bytes) -> None:
    path = Path(_FOLDER.name) / "vp.toml"
    path.write_bytes(data)
    for model in (VariantSettings, FusionSettings):
        with contextlib.suppress(UserError):
            load(model, {}, path)


def _chunk(data: bytes) -> None:
    assembly = Assembly(max_bytes=4096)
    good = next(split(b"x" * 8, 8))
    with contextlib.suppress(ChunkError):
        if assembly.add(int.from_bytes(data[:2], "big"), data[2:]):
            assert 1 <= len(assembly.data) <= 4096
    # Whatever came before, a good file is put together.
    assert assembly.add(0, good)
    assert assembly.data == b"x" * 8


def _properties(data: bytes) -> None:
    """Reduce a packet's properties: the first byte says which packet, the rest follows its length."""
    packet = bytearray(data[1:])
    with contextlib.suppress(properties.MalformedError):
        properties.reduce(data[0] if data else properties.CONNACK, packet)
        assert len(packet) <= max(len(data) - 1, 0)
        # What is left is well-formed, and nothing more is cut out of it.
        before = bytes(packet)
        properties.reduce(data[0] if data else properties.CONNACK, packet)
        assert packet == before
    with contextlib.suppress(properties.MalformedError):
        publish_packet.parse(properties.PUBLISH | (data[0] & 0x0F if data else 0), bytearray(data[1:]))


def _model(data: bytes) -> None:
    """Check a model; what is accepted, the ONNX library reads as a model without anything foreign, or not at all."""
    try:
        check_model(data)
    except UserError:
        return
    try:
        model = onnx.load_model_from_string(data)
    except Exception:  # noqa: BLE001 (protobuf's errors)
        return
    assert {node.op_type for node in model.graph.node} <= {"", *OPERATORS}
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert not model.functions
    for tensor in model.graph.initializer:
        assert not tensor.external_data
        assert tensor.data_location == onnx.TensorProto.DEFAULT
    # What decides a size is in the file: no picture changes it.
    stored = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in {"Clip", "ReduceMax", "ReduceMean", "Reshape", "Slice"}:
            assert stored.issuperset(node.input[1:])
    del model.graph.value_info[:], model.graph.output[:]
    found = check_shapes(memoryview(data), Reader(MAX_FIELDS))
    for info in onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info:
        sides = info.type.tensor_type.shape.dim
        if info.type.tensor_type.HasField("shape") and all(side.HasField("dim_value") for side in sides):
            # Names that are not UTF-8 come as bytes.
            name = info.name if isinstance(info.name, bytes) else info.name.encode()
            assert found[name.decode("latin-1")] == tuple(side.dim_value for side in sides)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "vote": _vote,
    "frame-id": _frame_id,
    "topic": _topic,
    "announce": _message(AnnounceMessage),
    "label": _message(LabelMessage),
    "status": _message(StatusMessage),
    "statuses": fusion_targets.statuses,
    "sequences": fusion_targets.sequences,
    "state": _message(StateMessage),
    "stats": _message(StatsMessage),
    "fusion-settings": _message(FusionSettingsMessage),
    "camera-settings": _message(CameraSettingsMessage),
    "pointer": _message(BundlePointer),
    "chunk": _chunk,
    "frame": _picture,
    "file": _file,
    "jpeg": _jpeg,
    "scans": _scans,
    "stream": _stream,
    "manifest": _manifest,
    "settings": _settings,
    "properties": _properties,
    "model": _model,
}
