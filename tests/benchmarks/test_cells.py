"""`vp bench cells`: what it makes of what was heard, and its table. It runs itself where `ip` and root are."""

from __future__ import annotations

import base64
import json

import pytest

from benchmarks.cells import measure, report
from tests.support.labels import label, state_message
from vp_mqtt.overview.cells import Cells
from vp_mqtt.protocol.messages import AnnounceMessage


def line(at: float, kind: str, payload: bytes) -> str:
    topic = f"vp/north/camera/door/{kind}"
    return json.dumps({"at": at, "topic": topic, "payload": base64.b64encode(payload).decode()})


def announce(at: float, frame: str) -> str:
    return line(at, "announce", AnnounceMessage(frame=frame, captured=1.0).encode())


@pytest.fixture
def lines() -> list[str]:
    return [
        announce(10.0, "0000002a-123456"),
        line(10.1, "label", label("Coat", camera="door").encode()),
        line(10.2, "state", state_message("Coat").encode()),
        announce(11.0, "0000002a-123457"),
        announce(20.0, "0000002a-123458"),
    ]


def test_frames_without_a_label_are_counted_within_the_run(lines: list[str]) -> None:
    site = measure._site(lines)
    assert measure._counts(site, 9.0, 12.0) == {"announced": 2, "without_label": 1, "labels_without_votes": 0}


@pytest.mark.parametrize(("arrived", "seen", "lag"), [(10.7, 1, 500), (30.0, 0, None)])
def test_a_state_counts_for_the_phase_in_which_it_arrived(
    lines: list[str], arrived: float, seen: int, lag: int | None
) -> None:
    head = measure._Head(Cells(("north",), now=0.0))
    head.states.append((arrived, "north", state_message("Coat")))
    head.labels += [(10.5, "north"), (10.5, "south")]
    phase = {"from": 9.0, "to": 12.0, "states_of_cells": {"north": [["online", 0.0]]}}
    found = measure._seen(phase, head, measure._site(lines))
    assert (found["state_changes_at_site"], found["state_changes_at_head"]) == (1, seen)
    assert found["state_lag_ms_max"] == lag
    assert (found["labels_at_site"], found["labels_at_head"], found["online_at_end"]) == (1, 1, True)


def test_the_table_has_a_row_for_each_phase() -> None:
    phase = {
        "phase": "cut",
        "labels_at_site": 75,
        "labels_at_head": 0,
        "state_changes_at_site": 3,
        "state_changes_at_head": 0,
        "state_lag_ms_p50": None,
        "state_lag_ms_max": None,
        "states_of_cells": {"north": [["online", 0.0], ["cut off", 22.5]]},
        "kbit_per_s_up": 0.1,
        "bridge_rss_mb": 11.1,
    }
    assert report.rows({"phases": [phase]})[1] == [
        *("cut", "75", "0", "0 of 3", "-", "online, cut off after 22.5 s", "0.1", "11.1")
    ]
