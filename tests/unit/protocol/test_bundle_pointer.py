from __future__ import annotations

import pytest

from vp_mqtt.protocol.bundle_pointer import BundlePointer, BundleRef
from vp_mqtt.protocol.messages import MessageError

ONE, TWO, THREE = (
    BundleRef(name=name, digest=digit * 64) for name, digit in (("one", "1"), ("two", "2"), ("three", "3"))
)
RUNNING = BundlePointer(current=TWO, previous=ONE, next=None, pushed=1.0)


def test_a_prepared_pointer_changes_only_the_next_bundle() -> None:
    prepared = RUNNING.prepared(THREE, 5.0)
    assert prepared == BundlePointer(current=TWO, previous=ONE, next=THREE, pushed=5.0)
    assert BundlePointer(pushed=0).prepared(ONE, 5.0) == BundlePointer(next=ONE, pushed=5.0)


def test_a_switch_makes_the_current_bundle_the_previous_one() -> None:
    assert RUNNING.switched(THREE, 5.0) == BundlePointer(current=THREE, previous=TWO, pushed=5.0)
    assert RUNNING.prepared(THREE, 4.0).switched(THREE, 5.0) == BundlePointer(current=THREE, previous=TWO, pushed=5.0)
    assert BundlePointer(pushed=0).switched(ONE, 5.0) == BundlePointer(current=ONE, previous=None, pushed=5.0)


def test_a_switch_to_the_current_bundle_keeps_the_previous_one() -> None:
    assert RUNNING.switched(TWO, 5.0) == BundlePointer(current=TWO, previous=ONE, pushed=5.0)
    signed = TWO.model_copy(update={"signature": "ab" * 64})
    assert RUNNING.switched(signed, 5.0) == BundlePointer(current=signed, previous=ONE, pushed=5.0), "now signed"


def test_the_bundles_of_a_pointer_are_listed_with_the_current_one_last() -> None:
    pointer = BundlePointer(current=ONE, previous=TWO, next=THREE, pushed=0)
    assert pointer.refs() == [THREE, TWO, ONE]
    assert pointer.digests() == {"1" * 64, "2" * 64, "3" * 64}
    assert RUNNING.refs() == [ONE, TWO]
    assert BundlePointer(pushed=0).refs() == []
    assert BundlePointer(pushed=0).digests() == set()


def test_a_pointer_travels_as_json() -> None:
    assert RUNNING.encode() == (
        b'{"format":1,"current":{"name":"two","digest":"%s"},"previous":{"name":"one","digest":"%s"},"pushed":1.0}'
        % (b"2" * 64, b"1" * 64)
    )
    assert BundlePointer.decode(RUNNING.encode()) == RUNNING
    assert BundlePointer.decode(b'{"current": null, "pushed": 0, "new": 1}') == BundlePointer(pushed=0)


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"pushed": -1}',
        b'{"pushed": 1e12}',
        b'{"pushed": 0, "format": 2}',
        b'{"pushed": 0, "current": {"name": "one"}}',
        *(
            b'{"pushed": 0, "current": {"name": "%s", "digest": "%s"}}' % (name, digest)
            for name, digest in (
                (b"One", b"1" * 64),
                (b"-one", b"1" * 64),
                (b"../one", b"1" * 64),
                (b"", b"1" * 64),
                (b"x" * 65, b"1" * 64),
                (b"one", b"1" * 63),
                (b"one", b"1" * 65),
                (b"one", b"A" * 64),
                (b"one", b"1" * 63 + b"g"),
            )
        ),
        b'{"pushed": 0, "current": {"name": "one", "digest": "%s", "signature": "%s"}}' % (b"1" * 64, b"1" * 127),
        b'{"pushed": 0, "current": {"name": "one", "digest": "%s", "signature": "%s"}}' % (b"1" * 64, b"A" * 128),
    ],
)
def test_an_invalid_pointer_is_a_message_error(payload: bytes) -> None:
    with pytest.raises(MessageError):
        BundlePointer.decode(payload)
