"""How far votes agree with labels, by camera."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.fusing import manifest, windows_of
from vp_mqtt.fusion.agreement import Agreement
from vp_mqtt.fusion.window import WindowResult
from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.messages import MAX_CAMERAS, MAX_MESSAGE_BYTES, StatsMessage
from vp_mqtt.protocol.votes import Vote

FAMILY = manifest((3.0, 1.0, 1.0, 1.0), 4)


def result(
    *classes: int, camera: str = "cam0", closed: float = 10.0, next_within_s: float | None = None
) -> WindowResult:
    """Return the result of a frame on which the variants in turn voted for these classes."""
    windows, _ = windows_of(FAMILY, deadline=0.25)
    for variant in range(len(FAMILY.variants)):
        windows.set_node(f"v{variant}", (FAMILY.short_digest, variant), 0.0)
    windows.announce(camera, Announce(FrameId(1, 7), captured=1.0, next_within_s=next_within_s), 0.0)
    closed_windows = []
    for variant, index in enumerate(classes):
        vote = Vote((index,), (1.0,), FAMILY.short_digest)
        closed_windows += windows.vote(camera, FrameId(1, 7), variant, vote, 0.1)
    (found,) = [*closed_windows, *windows.expire(0.3)]
    return replace(found, closed=closed)


def test_agreement_is_the_share_of_votes_for_the_label() -> None:
    agreement = Agreement()
    agreement.note(result(2, 1))
    assert agreement.shares(10.0) == {"cam0": 0.5}
    agreement.note(result(2, 1, 1))
    assert agreement.shares(10.0) == {"cam0": pytest.approx((1 / 2 + 1 / 3) / 2, abs=1e-4)}


def test_labels_with_fewer_than_two_votes_say_nothing_of_agreement() -> None:
    agreement = Agreement()
    agreement.note(result(2))
    agreement.note(result())
    assert agreement.shares(10.0) == {}


def test_agreement_is_that_of_the_last_labels() -> None:
    agreement = Agreement()
    for _ in range(1000):
        agreement.note(result(2, 2, 2))
    for _ in range(100):
        agreement.note(result(2, 1, 1))
    # Of the old labels a weight of (1 - 1/100) ** 100 is left.
    assert agreement.shares(10.0)["cam0"] == pytest.approx(1 / 3 + 2 / 3 * 0.99**100, abs=1e-3)


@pytest.mark.parametrize(("next_within_s", "lasts"), [(None, 60.0), (300.0, 750.0)])
def test_a_camera_without_labels_is_forgotten(next_within_s: float | None, lasts: float) -> None:
    agreement = Agreement()
    agreement.note(result(2, 2, closed=10.0, next_within_s=next_within_s))
    assert agreement.shares(9.9 + lasts) == {"cam0": 1.0}
    assert agreement.shares(10.1 + lasts) == {}


def test_any_number_of_cameras_fits_into_a_message() -> None:
    agreement = Agreement()
    seen = result(2, 1, 3)
    for number in range(MAX_CAMERAS + 10):
        agreement.note(replace(seen, camera=f"{number:064}", closed=float(number) / 100))
    shares = agreement.shares(10.0)
    assert len(shares) == MAX_CAMERAS
    assert f"{0:064}" not in shares
    message = StatsMessage(node="fusion", uptime_s=1.0, counts={}, agreement=shares).encode()
    assert len(message) < MAX_MESSAGE_BYTES / 2
    assert StatsMessage.decode(message).agreement == shares
