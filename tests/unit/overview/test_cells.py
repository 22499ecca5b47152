from __future__ import annotations

import pytest

from tests.support.labels import state_message
from tests.unit.overview.test_site_overview import status
from vp_mqtt.overview.cells import CellReport, Cells, CellState
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.messages import MessageError, State, StatsMessage

STATS_EVERY_S = 5.0


class Office:
    """What a head office hears of its cells."""

    def __init__(self, *planned: str) -> None:
        self.now = 100.0
        self.cells = Cells(planned, now=self.now)

    def note(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        self.cells.note(topics.parse(topic), payload, retained=retained, now=self.now, wall_time=1000.0)

    def status(self, cell: str, role: str, *, retained: bool = False, **more: object) -> None:
        message = status(role, stats_every_s=STATS_EVERY_S, **more)  # type: ignore[arg-type]
        self.note(f"vp/{cell}/node/{role}/status", message.encode(), retained=retained)

    def stats(self, cell: str, role: str, uptime: float = 1.0, **counts: int) -> None:
        message = StatsMessage(node=role, uptime_s=uptime, counts=counts)
        self.note(f"vp/{cell}/node/{role}/stats", message.encode())

    def cell(self, name: str = "north") -> CellReport:
        return next(report for report in self.cells.reports(self.now) if report.cell == name)


@pytest.fixture
def office() -> Office:
    return Office("north")


def test_a_cell_of_which_nothing_is_known_was_never_seen(office: Office) -> None:
    assert office.cell().state is CellState.UNSEEN
    assert "does its broker run" in office.cell().problems[0]
    office.note("vp/north/link", b"1", retained=True)
    assert office.cell().state is CellState.UNSEEN
    assert "its broker is connected" in office.cell().problems[0]


def test_what_the_broker_has_kept_does_not_make_a_cell_online(office: Office) -> None:
    office.status("north", "fusion", retained=True)
    office.note("vp/north/link", b"1", retained=True)
    assert office.cell().state is CellState.UNHEARD
    assert not office.cells.is_complete(office.now)
    office.now += 3 * STATS_EVERY_S + 0.1
    assert office.cell().state is CellState.SILENT
    assert office.cells.is_complete(office.now)


def test_a_cell_that_is_heard_is_online_with_its_rate_and_the_problems_of_its_nodes(office: Office) -> None:
    for role in ("fusion", "camera", "variant"):
        office.status("north", role, retained=True, variant=2 if role == "variant" else None)
        office.stats("north", role, labels=10)
    assert not office.cells.is_complete(office.now)
    office.now += 5
    office.stats("north", "fusion", 6.0, labels=35)
    office.note("vp/north/camera/cam0/state", state_message().encode(), retained=True)
    found = office.cell()
    assert (found.state, found.problems) == (CellState.ONLINE, ())
    assert (found.cameras, found.variants, found.fusion, found.states) == ((1, 1), (1, 1), (1, 1), 1)
    assert found.labels_per_s == 5.0
    assert office.cells.is_complete(office.now)
    office.status("north", "camera", state=State.OFFLINE)
    assert office.cell().problems == ("north: no camera node is online: 'camera' is offline",)


def test_a_cell_that_loses_its_link_is_cut_off_at_once_and_back_when_it_is_heard(office: Office) -> None:
    office.status("north", "fusion")
    office.now += 1
    office.note("vp/north/link", b"0")
    assert office.cell().state is CellState.CUT_OFF
    assert office.cell().fusion == (1, 1)
    assert office.cells.is_complete(office.now)
    office.now += 1
    office.stats("north", "fusion")
    assert office.cell().state is CellState.ONLINE


def test_a_cell_whose_nodes_have_all_ended_is_offline(office: Office) -> None:
    office.status("north", "fusion", state=State.STOPPED, retained=True)
    assert office.cell().state is CellState.OFFLINE


def test_a_cell_without_a_plan_is_shown_and_said(office: Office) -> None:
    office.status("east", "fusion")
    assert "east: not in the plan" in office.cell("east").problems
    unplanned = Office()
    unplanned.status("east", "fusion")
    assert not any("plan" in problem for problem in unplanned.cell("east").problems)


def test_a_message_under_another_nodes_topic_is_refused(office: Office) -> None:
    with pytest.raises(MessageError):
        office.note("vp/north/node/camera/status", status("fusion").encode())
