from __future__ import annotations

from tests.support.statuses import status_of
from vp_mqtt.bundle.adoption import Adoption
from vp_mqtt.bundle.refusal import refusal
from vp_mqtt.protocol.bundle_pointer import BundleRef
from vp_mqtt.protocol.messages import State
from vp_mqtt.protocol.presence import NodePresence

NEW, OLD = "ab" * 32, "cd" * 32


def node(
    name: str,
    *,
    role: str = "variant",
    digest: str = OLD,
    follows: bool | None = True,
    state: State = State.ONLINE,
    retained: bool = False,
    problem: str | None = None,
) -> NodePresence:
    bundle = "new" if digest == NEW else "old"
    status = status_of(name, role, state=state, bundle=bundle, digest=digest[:8], follows=follows, problem=problem)
    return NodePresence(status, retained=retained, now=0.0)


def adoption(*nodes: NodePresence, now: float = 1.0) -> Adoption:
    return Adoption.of(nodes, NEW, now)


def test_boards_are_told_apart() -> None:
    found = adoption(
        node("b", digest=NEW),
        node("a", digest=NEW, follows=None),
        node("c"),
        node("d", follows=None),
        node("e", follows=False),
        node("f", state=State.OFFLINE),
        node("fusion", role="fusion", follows=False),
        node("good", role="fusion", digest=NEW),
        node("camera", role="camera"),
    )
    assert found == Adoption(
        taken=("a", "b"),
        waiting=("c", "d"),
        silent=(),
        pinned={"e": "old"},
        fusion_pinned={"fusion": "old"},
        fusion=("good",),
    )
    assert not found.is_refused
    assert found.lines("new") == [
        "2 of 4 boards that follow the site run it now",
        "not running it yet: c, d; see their logs",
        "pinned to 'old' with --bundle: e; start without --bundle to follow",
        "the fusion node fusion is pinned to 'old' with --bundle: it ignores votes of 'new'",
    ]
    assert found.as_dict()["taken"] == ["a", "b"]


def test_a_spare_is_not_waited_for() -> None:
    spare = NodePresence(status_of("s", "variant", is_spare=True), retained=False, now=0.0)
    found = adoption(node("a", digest=NEW), spare)
    assert found.is_settled(0.1)
    assert found.lines("new") == ["1 of 1 boards that follow the site run it now"]


def test_a_board_that_is_not_heard_took_nothing_whatever_the_broker_has_kept() -> None:
    kept = node("a", digest=NEW, retained=True)
    assert adoption(kept).waiting == ("a",)
    assert adoption(kept, now=15.1).silent == ("a",)
    assert adoption(kept, now=15.1).is_refused
    assert adoption(kept, now=15.1).lines("new")[1] == "silent: a; are they on?"
    kept.note_heard(15.0)
    assert adoption(kept, now=15.1).taken == ("a",)


def test_boards_that_say_why_they_do_not_run_it_are_quoted() -> None:
    lacks = "bundle 'new': it has no such variant"
    found = adoption(
        node("a", problem=lacks), node("b", problem=lacks), node("c"), node("d", digest=NEW, problem="dark")
    )
    assert found.lines("new") == [
        "1 of 4 boards that follow the site run it now",
        "not running it yet: c; see their logs",
        f"not running it yet: a, b: {lacks}",
    ]
    assert found.as_dict()["reasons"] == {"a": lacks, "b": lacks}


def test_boards_that_refuse_it_are_not_waited_for_unless_they_said_so_before_the_switch() -> None:
    unsigned = f"the site's bundle {refusal(BundleRef(name='new', digest=NEW), 'it is not signed')}"
    said = adoption(node("a", digest=NEW), node("b", problem=f"dark; {unsigned}"))
    assert said.is_settled(0.0)
    assert said.is_settled(0.0, adoption(node("b")))
    assert not said.is_settled(9.0, said)
    assert adoption(node("b", problem=unsigned)).is_settled(0.0, said)
    assert adoption(node("b", problem=unsigned)).is_refused
    for other in (node("c"), node("c", problem="the site's bundle 'new' (abababab) is not accepted; see the log")):
        assert not adoption(node("b", problem=unsigned), other).is_settled(9.0)
    assert not adoption(node("b", problem=unsigned.replace("abababab", "cdcdcdcd"))).is_settled(9.0)
    # What a board said that was silent at the switch is no news, either, once it is heard again.
    kept = node("a", problem=unsigned, retained=True)
    before = adoption(kept, now=15.1)
    assert before.silent == ("a",)
    kept.note_heard(16.0)
    assert not adoption(kept, now=16.0).is_settled(1.0, before)


def test_a_site_without_boards_refuses_nothing() -> None:
    found = adoption(node("fusion", role="fusion", digest=NEW))
    assert not found.is_refused
    assert found.lines("new") == ["no board is online: boards fetch it when they start"]


def test_that_there_is_no_board_is_known_after_a_while_only() -> None:
    fusion = node("fusion", role="fusion", digest=NEW)
    assert [adoption(fusion).is_settled(waited) for waited in (0.0, 1.9, 2.1)] == [False, False, True]
    assert adoption(fusion, node("a", digest=NEW)).is_settled(0.0)
    assert adoption(fusion, node("a", follows=False)).is_settled(0.0)
    assert not adoption(fusion, node("a", digest=NEW), node("b")).is_settled(9.0)


def test_a_push_that_no_board_takes_is_refused() -> None:
    assert adoption(node("a")).is_refused
    assert adoption(node("a", follows=False)).is_refused
    assert not adoption(node("a"), node("b", digest=NEW)).is_refused


def test_a_push_whose_votes_no_fusion_node_counts_is_refused() -> None:
    pinned = node("f", role="fusion", follows=False)
    assert adoption(node("a", digest=NEW), pinned).is_refused
    assert not adoption(node("a", digest=NEW), pinned, node("g", role="fusion")).is_refused
