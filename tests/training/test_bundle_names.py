from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny import CLASSES
from vp_mqtt.bundle.manifest import Manifest, VariantEntry
from vp_mqtt.errors import UserError
from vp_mqtt.training.bundle_names import choose_bundle_name


@given(st.text(max_size=30))
def test_every_folder_gives_a_bundle_s_name(folder: str) -> None:
    entry = VariantEntry(resolution=32, head=8, index=0, weight=1, file="a.onnx", sha256="0" * 64, params=1)
    assert Manifest(name=choose_bundle_name(None, folder), classes=CLASSES, variants=(entry,)).name


@pytest.mark.parametrize(
    ("folder", "name"),
    [("My Things_2", "my-things-2"), ("Früchte", "fruchte"), ("caltech101", "caltech101"), ("写真", "bundle")],
)
def test_a_name_stays_recognisable(folder: str, name: str) -> None:
    assert choose_bundle_name(None, folder) == name


@pytest.mark.parametrize("given_name", ["", "My Things", "-a", "a_b", "a\n"])
def test_a_given_name_is_not_changed_but_refused(given_name: str) -> None:
    assert choose_bundle_name("my-things", "x") == "my-things"
    with pytest.raises(UserError, match="--name"):
        choose_bundle_name(given_name, "x")
