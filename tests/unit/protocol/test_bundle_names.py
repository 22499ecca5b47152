"""One rule for the names of bundles, wherever one stands."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import FamilySpec, Manifest, VariantSpec
from vp_mqtt.protocol.bundle_pointer import BundleRef

PLACES: list[Callable[[str], object]] = [
    lambda name: FamilySpec(name=name, variants=(VariantSpec(resolution=32, head=8),)),
    lambda name: BundleRef(name=name, digest="0" * 64),
    lambda name: manifest(name=name),
]


def manifest(**changes: object) -> Manifest:
    fields = json.loads(open_bundle("cifar10").manifest.canonical())
    return Manifest.model_validate_json(json.dumps(fields | changes))


@pytest.mark.parametrize("place", PLACES)
def test_a_name_has_1_to_64_characters_of_a_topic_level(place: Callable[[str], object]) -> None:
    for name in ("a", "7-b", "x" * 64):
        assert place(name)
    for name in ("", "-a", "A", "a_b", "a\n", "x" * 65):
        with pytest.raises(ValidationError):
            place(name)


def test_a_vote_of_more_than_255_classes_is_no_ones_default() -> None:
    classes = [f"c{number}" for number in range(600)]
    assert manifest(classes=classes, k=255).k == 255
    with pytest.raises(ValidationError):
        manifest(classes=classes, k=256)
