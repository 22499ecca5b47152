from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.mqtt.message import Outgoing

_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@given(
    topic=_TEXTS,
    payload=st.integers(0, 300),
    qos=st.sampled_from([0, 1]),
    correlation=st.none() | st.binary(max_size=20),
    content_type=st.none() | _TEXTS,
    expiry_s=st.none() | st.integers(1, 100),
    limit=st.integers(0, 1000),
)
def test_a_message_fits_if_its_whole_packet_does(
    *,
    topic: str,
    payload: int,
    qos: int,
    correlation: bytes | None,
    content_type: str | None,
    expiry_s: int | None,
    limit: int,
) -> None:
    message = Outgoing(
        topic, bytes(payload), qos=qos, correlation=correlation, content_type=content_type, expiry_s=expiry_s
    )
    size = message.packet_bytes()
    assert message.fits(limit) == (size <= limit)
    assert message.fits(size)
    assert not message.fits(size - 1)
