"""Rates of nodes, and what became of votes."""

from __future__ import annotations

import pytest

from tests.support.labels import label
from vp_mqtt.overview.activity import NodeActivity, Outcome, Recently, outcome
from vp_mqtt.protocol.frames import ClosedBy
from vp_mqtt.protocol.messages import StatsMessage


def stats(uptime: float, votes: int) -> StatsMessage:
    return StatsMessage(node="v0", uptime_s=uptime, counts={"votes": votes})


def test_rates_are_those_between_the_last_two_stats() -> None:
    activity = NodeActivity(stats(5, 50))
    assert activity.per_s is None
    activity.note(stats(10, 100), "variant")
    assert activity.per_s == pytest.approx(10)
    activity.note(stats(15, 110), "variant")
    assert activity.per_s == pytest.approx(2)


@pytest.mark.parametrize("later", [stats(2, 10), stats(10, 100), stats(20, 10)])
def test_a_node_that_has_started_again_or_repeats_itself_has_no_rate_yet(later: StatsMessage) -> None:
    activity = NodeActivity(stats(10, 100))
    activity.note(later, "variant")
    assert activity.per_s in {None, 0}


def test_a_role_that_is_not_ours_has_a_rate_of_nothing() -> None:
    activity = NodeActivity(stats(5, 50))
    activity.note(stats(10, 100), "recorder")
    assert activity.per_s == 0


def test_each_vote_that_is_missing_has_a_reason() -> None:
    one = label("Coat").model_copy(update={"voted": (0,), "missing": (1, 2), "alive": (0, 1)})
    late = one.model_copy(update={"closed_by": ClosedBy.DEADLINE})
    assert [outcome(one, v) for v in range(3)] == [Outcome.VOTED, Outcome.NOT_NEEDED, Outcome.AWAY]
    assert outcome(late, 1) is Outcome.LATE
    recently = Recently.of([(one, 10.0), (late, None), (late, 30.0), (late, 50.0)])
    assert recently.votes(0) == "voted 100%"
    assert recently.votes(1) == "late 75%, not needed 25%"
    assert recently.votes(2) == "not waited for 100%"
    assert recently.votes(9) == ""
    assert recently.response_ms("cam0") == pytest.approx(30)
    assert recently.response_ms("other") is None
