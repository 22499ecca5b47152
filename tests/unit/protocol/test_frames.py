from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vp_mqtt.protocol.frames import FRAME_ID_BYTES, FrameId

thorough = settings(max_examples=200, deadline=None)
frame_ids = st.builds(FrameId, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))


def test_a_frame_id_travels_as_run_then_sequence_big_endian() -> None:
    data = b"\x12\x34\xab\xcd\x00\x00\x01\x02"
    assert FrameId(0x1234ABCD, 258).encode() == data
    assert FrameId.decode(data) == FrameId(0x1234ABCD, 258)
    assert FRAME_ID_BYTES == 8


def test_a_frame_id_reads_as_run_in_hexadecimal_and_sequence() -> None:
    assert str(FrameId(0xABCD, 258)) == "0000abcd-258"
    assert FrameId.parse("0000abcd-258") == FrameId(0xABCD, 258)


@thorough
@given(frame_ids)
@example(FrameId(0, 0))
@example(FrameId(2**32 - 1, 2**32 - 1))
def test_frame_ids_survive_bytes_and_text(frame: FrameId) -> None:
    assert FrameId.decode(frame.encode()) == frame
    assert FrameId.parse(str(frame)) == frame


@thorough
@given(st.binary(max_size=20) | st.none())
@example(None)
@example(b"1234567")
@example(b"123456789")
def test_other_correlation_data_than_8_bytes_is_a_value_error(data: bytes | None) -> None:
    if data is not None and len(data) == 8:
        assert FrameId.decode(data).encode() == data
    else:
        with pytest.raises(ValueError, match=r"^no frame id$"):
            FrameId.decode(data)


@thorough
@given(st.text(max_size=30) | st.from_regex(r"[0-9a-fA-F]{8}-[0-9]{1,11}\n?", fullmatch=True))
@example("0000abcd-4294967295")
@example("0000abcd-4294967296")
@example("0000abcd-007")
@example("0000ABCD-7")
@example("0000abcd-7\n")
@example("0000abcd-\u0667")  # a seven, but not in ASCII
@example("0000abcd--7")
def test_text_that_str_did_not_write_is_a_value_error(text: str) -> None:
    try:
        frame = FrameId.parse(text)
    except ValueError as error:
        assert str(error) == "not a frame id"  # noqa: PT017 (it may or may not be raised)
    else:
        assert str(frame) == text
        assert FrameId.decode(frame.encode()) == frame


def test_later_frames_of_a_run_compare_greater() -> None:
    assert FrameId(7, 9) < FrameId(7, 10) < FrameId(7, 2**32 - 1)
