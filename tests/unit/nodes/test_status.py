"""A node's status, and whether another process has taken its name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fusing import manifest
from vp_mqtt.errors import UserError
from vp_mqtt.nodes.status import NodeStatus
from vp_mqtt.protocol.messages import State, StatusMessage


def status(**options: Any) -> NodeStatus:
    return NodeStatus(site="home", name="v2", role="variant", variant=2, stats_every_s=5.0, **options)


def payload(of: NodeStatus, **changes: object) -> bytes:
    return StatusMessage.decode(of.message(State.ONLINE).payload).model_copy(update=changes).encode()


def test_birth_goodbye_and_will_differ_in_their_state_only() -> None:
    own = status()
    messages = [own.message(state) for state in State]
    assert {message.topic for message in messages} == {"vp/home/node/v2/status"}
    assert all(message.retain and message.qos == 1 for message in messages)
    decoded = [StatusMessage.decode(message.payload) for message in messages]
    assert [one.state for one in decoded] == list(State)
    assert len({one.model_copy(update={"state": State.ONLINE}) for one in decoded}) == 1
    assert (decoded[0].variant, decoded[0].client_id, decoded[0].bundle) == (2, "vp-home-v2", None)
    assert own.client_id == "vp-home-v2"


def test_the_bundle_is_named_with_its_digest_and_with_those_that_are_ready() -> None:
    old, new = manifest((1.0,), 2, name="old"), manifest((1.0,), 2, name="new")
    own = status()
    own.set_bundle(new, follows=False)
    said = StatusMessage.decode(payload(own))
    assert (said.ready, said.follows) == (None, False)
    own.set_bundle(new, [old, new], follows=True)
    said = StatusMessage.decode(payload(own))
    assert said.follows
    assert (said.bundle, said.digest) == ("new", new.short_digest.hex())
    assert said.ready == (old.short_digest.hex(), new.short_digest.hex())


def evict(own: NodeStatus, twin: bytes) -> None:
    """Let another process take our place twice in a row."""
    own.check(payload(own), 1, 0.0)
    own.check(twin, 2, 1.0)
    own.check(twin, 3, 2.0)


def later(own: NodeStatus, **changes: object) -> bytes:
    """Return the status of a process that was started after ours."""
    started = StatusMessage.decode(payload(own)).started + 1
    return payload(own, **({"instance": "00000000", "started": started} | changes))


def test_a_process_that_was_started_later_under_our_name_replaces_us() -> None:
    with pytest.raises(
        UserError, match="'v2' was started a second time, here, and took our place; give each node its own --variant"
    ):
        evict(own := status(), later(own))
    with pytest.raises(UserError, match="a second time, on elsewhere,"):
        evict(own := status(), later(own, host="elsewhere"))


def test_a_status_alone_ends_no_node_whoever_wrote_it() -> None:
    own = status()
    assert own.check(payload(own), 1, 0.0)
    for now in range(100):
        # Our connection stands: nobody has taken our place.
        assert not own.check(later(own, started=1e11), 1, float(now))
    # One loss of the connection may be chance, and so may two that lie far apart.
    assert not own.check(later(own), 2, 100.0)
    assert not own.check(later(own), 2, 101.0)
    assert not own.check(later(own), 3, 131.0)
    with pytest.raises(UserError):
        own.check(later(own), 4, 132.0)


def test_what_others_write_under_our_name_is_wrong_once_we_are_online() -> None:
    own = status()
    assert own.check(payload(own, instance="00000000"), 1, 0.0)
    assert own.check(b"", 1, 0.0)
    assert own.check(payload(own), 1, 0.0)
    for wrong in (payload(own, instance="00000000"), b"", b"{}", b"\xff"):
        assert not own.check(wrong, 1, 1.0)


@pytest.mark.parametrize(
    ("role", "advice"),
    [
        ("camera", "give each camera its own --camera"),
        ("fusion", "a site needs one fusion node only"),
        ("own-kind", "give one another --name"),
    ],
)
def test_the_advice_fits_the_role(role: str, advice: str) -> None:
    own = NodeStatus(site="home", name="one", role=role, stats_every_s=5)
    with pytest.raises(UserError, match=advice):
        evict(own, later(own))


def test_problems_are_in_the_status_while_they_last_and_only_while_online() -> None:
    own = NodeStatus(site="home", name="one", role="camera", stats_every_s=5, camera="door")
    assert StatusMessage.decode(payload(own)).camera == "door"
    own.set_problem("source", "no pictures: Connection refused")
    own.set_problem("name", "another camera publishes as 'door'")
    assert StatusMessage.decode(payload(own)).problem == (
        "no pictures: Connection refused; another camera publishes as 'door'"
    )
    assert StatusMessage.decode(own.message(State.STOPPED).payload).problem is None
    own.set_problem("source", "x" * 1000)
    assert len(StatusMessage.decode(payload(own)).problem or "") == 500
    for kind in ("source", "name", "name"):
        own.set_problem(kind, None)
    assert StatusMessage.decode(payload(own)).problem is None


def test_of_two_that_were_started_at_once_one_stays() -> None:
    own = status()
    evict(own, payload(own, instance="00000000"))
    with pytest.raises(UserError):
        evict(own, payload(own, instance="ffffffff"))


def test_an_earlier_process_and_what_the_status_was_before_our_birth_mean_nothing() -> None:
    own = status()
    for connections in (1, 2, 3):
        own.check(later(own), connections, 0.0)
    evict(own, payload(own, instance="00000000", started=0.0))


def test_a_camera_says_where_nothing_moves_while_it_is_online() -> None:
    own = NodeStatus(site="home", name="c", role="camera", camera="cam0", stats_every_s=5.0)
    own.set_regions(["cam0.door"])
    assert StatusMessage.decode(own.message(State.ONLINE).payload).still is None
    own.set_still(["cam0.door"])
    online, stopped = (StatusMessage.decode(own.message(state).payload) for state in (State.ONLINE, State.STOPPED))
    assert (online.regions, online.still) == (("cam0.door",), ("cam0.door",))
    assert (stopped.regions, stopped.still) == (("cam0.door",), None)
    own.set_still([])
    assert StatusMessage.decode(own.message(State.ONLINE).payload).still == ()


def test_a_fusion_node_says_how_long_it_waits() -> None:
    own = status()
    own.set_deadline(120.0)
    assert StatusMessage.decode(payload(own)).deadline_ms == 120.0
