from __future__ import annotations

import pytest

from tests.support.labels import label
from tests.unit.overview.test_site_overview import status
from vp_mqtt.overview.reading import read_into
from vp_mqtt.overview.site_overview import Overview, SeenLabel
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.messages import MessageError


def read(overview: Overview, topic: str, payload: bytes) -> object:
    return read_into(overview, topics.parse(topic), payload, retained=False, now=1.0, wall_time=1000.0)


def test_a_label_is_noted_and_returned() -> None:
    overview = Overview("home", now=0.0)
    found = read(overview, "vp/home/camera/cam0/label", label("Coat").encode())
    assert isinstance(found, SeenLabel)
    assert list(overview.labels) == [found]


def test_a_label_counts_only_under_its_cameras_own_topic() -> None:
    overview = Overview("home", now=0.0)
    with pytest.raises(MessageError, match="of another camera"):
        read(overview, "vp/home/camera/cam1/label", label("Coat", camera="cam0").encode())
    assert not overview.labels


@pytest.mark.parametrize(("payload", "is_up"), [(b"1", True), (b"0", False), (b"", False)])
def test_the_link_to_the_head_office_is_noted(payload: bytes, is_up: bool) -> None:  # noqa: FBT001 (a parameter)
    overview = Overview("home", now=0.0)
    read(overview, "vp/home/link", payload)
    assert overview.is_linked is is_up
    assert overview.is_cut_off(1.0) is not is_up


def test_a_node_whose_status_is_cleared_is_forgotten() -> None:
    overview = Overview("home", now=0.0)
    read(overview, "vp/home/node/fusion/status", status("fusion").encode())
    assert overview.nodes("fusion", 1.0)
    read(overview, "vp/home/node/fusion/status", b"")
    assert not overview.nodes("fusion", 1.0)
