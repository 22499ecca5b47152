"""What the broker retains of a site, as `vp push` learns it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.bundle.helpers import NAMES, SITE, pointer, received, ref_of, status
from vp_mqtt.bundle.retained import RetainedState
from vp_mqtt.protocol.messages import State


def test_the_state_follows_the_messages(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = RetainedState(SITE, 0.0)
    assert (state.pointer, state.newest_at) == (None, 0.0)
    state.accept(received(NAMES.bundle(), pointer(ref_of(bundle)).encode(), 3.0))
    assert (state.pointer, state.newest_at) == (pointer(ref_of(bundle)), 3.0)
    chunks = [NAMES.manifest("a", 0), NAMES.manifest("a", 1), NAMES.model("b", 0, 0), NAMES.model("c", 1, 0)]
    for topic in chunks:
        state.accept(received(topic, b"chunk")._replace(retained=True))
    state.accept(received(chunks[1], b""))
    state.accept(received(NAMES.manifest("d", 0), b""))
    assert state.chunks_of("a") == {chunks[0]}
    assert state.chunks_of("x") == set()
    assert state.chunks_of_others({"a", "x"}) == set(chunks[2:])
    assert state.chunks_of_others({"a", "b", "c"}) == set()
    state.accept(received(NAMES.model("c", 1, 1), b"chunk"))
    assert state.chunks_of_others({"a"}) == {chunks[2]}, "someone pushes c right now"
    assert caplog.messages == []
    for topic, payload in (("vp/home/other", b"x"), (NAMES.bundle(), b"{}"), (NAMES.status("n"), b"x")):
        state.accept(received(topic, payload, 9.0))
    assert caplog.messages == [
        "vp/home/other: unknown topic; left as it is",
        f"{NAMES.bundle()}: pushed: is missing; left as it is",
        f"{NAMES.status('n')}: message: not valid JSON; left as it is",
    ]
    caplog.clear()
    state.accept(received(NAMES.status("n"), b"", 9.0))
    state.accept(received(NAMES.stats("n"), b"{}", 9.0))
    assert caplog.messages == [], "a node that was removed, and messages of other kinds"
    assert (state.pointer, state.newest_at) == (pointer(ref_of(bundle)), 9.0)
    state.accept(received(NAMES.bundle(), b""))
    assert state.pointer is None


def test_the_state_subscribes_to_everything_that_it_needs() -> None:
    assert RetainedState(SITE, 0.0).filters() == [
        f"vp/{SITE}/bundle/current",
        f"vp/{SITE}/bundle/+/manifest/+",
        f"vp/{SITE}/bundle/+/model/+/+",
        f"vp/{SITE}/node/+/status",
        f"vp/{SITE}/node/+/stats",
    ]


@pytest.mark.parametrize(
    ("payload", "is_waited_for"),
    [
        (status(ready=("ab" * 4,)), True),
        (status(ready=("ab" * 4, "cd" * 4)), False),
        (status(ready=()), False),
        (status(ready=None), False),
        (status(ready=("ab" * 4,), state=State.OFFLINE), False),
        (status(ready=("ab" * 4,), state=State.STOPPED), False),
        (status(ready=("ab" * 4,), role="variant"), False),
    ],
)
def test_only_fusion_nodes_that_follow_the_site_are_waited_for(payload: bytes, *, is_waited_for: bool) -> None:
    state = RetainedState(SITE, 0.0)
    state.accept(received(NAMES.status("fusion"), payload))
    assert state.not_ready("cd" * 32) == (["fusion"] if is_waited_for else [])


@pytest.mark.parametrize("topic", [NAMES.status("n"), NAMES.stats("n")])
def test_what_nodes_send_says_nothing_about_what_the_broker_retains(topic: str) -> None:
    state = RetainedState(SITE, 0.0)
    state.accept(received(NAMES.status("n"), status("n"), 2.0)._replace(retained=True))
    state.accept(received(topic, status("n"), 3.0))
    assert state.newest_at == 2.0
