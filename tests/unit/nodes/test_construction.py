"""Nodes are built without I/O: what is missing or wrong is noticed when they start."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.settings import FusionSettings, VariantSettings
from vp_mqtt.errors import UserError
from vp_mqtt.nodes.camera import CameraNode
from vp_mqtt.nodes.fusion import FusionNode
from vp_mqtt.nodes.variant import VariantNode


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    return str(tmp_path / "nowhere")


def test_a_camera_opens_its_source_when_it_starts(nowhere: str) -> None:
    threads = threading.active_count()
    node = CameraNode(CameraSettings(source=nowhere))
    assert threading.active_count() == threads
    with pytest.raises(UserError, match="no such file or folder"):
        node.start()
    node.stop()


def test_a_variant_node_loads_its_model_when_it_starts(nowhere: str) -> None:
    threads = threading.active_count()
    node = VariantNode(VariantSettings(variant=0, bundle=nowhere))
    assert threading.active_count() == threads
    with pytest.raises(UserError, match="no bundle at"):
        node.start()
    node.stop()


def test_a_fusion_node_reads_its_bundle_when_it_starts(nowhere: str) -> None:
    threads = threading.active_count()
    node = FusionNode(FusionSettings(bundle=nowhere, home_assistant=True))
    assert threading.active_count() == threads
    with pytest.raises(UserError, match="no bundle at"):
        node.start()
    node.stop()


@pytest.mark.parametrize(("describes", "most"), [(True, 2_000_000), (False, 32_768)])
def test_a_fusion_node_reads_its_description_of_a_large_site_again(nowhere: str, *, describes: bool, most: int) -> None:
    node = FusionNode(FusionSettings(bundle=nowhere, home_assistant=describes))
    assert node._node._max_packet_bytes == most


def test_a_session_is_there_only_once_the_node_was_started(nowhere: str) -> None:
    node = CameraNode(CameraSettings(source=nowhere))
    assert not node._node.is_connected
    with pytest.raises(RuntimeError, match="not started"):
        _ = node._node.session
