"""What the export writes is what boards accept, and no more than that."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from tests.support import tiny
from vp_mqtt.bundle.folder import builtin_bundles, open_bundle
from vp_mqtt.bundle.manifest import VariantSpec
from vp_mqtt.bundle.model_file import OPERATORS, check_model
from vp_mqtt.training.familiarity import Familiarity, with_familiarity
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.onnx_export import to_onnx
from vp_mqtt.training.quantize import quantize


def exported() -> Iterator[bytes]:
    inputs = [np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)]
    for changes in ({"pooling": "max"}, {"pooling": "average"}, {"knows": (1, 2)}):
        spec = VariantSpec.model_validate({"resolution": 32, "head": 16, **changes})
        network = VariantNetwork(spec, 4).eval()
        exact = to_onnx(network, 32, "float32")
        familiarity = Familiarity(np.eye(4, 16, dtype=np.float32), slope=1.0, offset=0.0)
        yield from (
            exact,
            to_onnx(network, 32, "float16"),
            to_onnx(network, 32, "int8-stored"),
            quantize(exact, inputs),
            with_familiarity(exact, familiarity),
        )


def test_exported_models_are_accepted_and_every_accepted_operator_is_in_one() -> None:
    written = set()
    for model in exported():
        check_model(model)
        written |= {node.op_type for node in onnx.load_model_from_string(model).graph.node}
    assert written == OPERATORS


def test_many_classes_need_no_other_operators() -> None:
    spec = VariantSpec(resolution=32, head=16, knows=tuple(range(0, 101, 2)))
    check_model(to_onnx(VariantNetwork(spec, 101).eval(), 32, "float32"))


def test_bundles_that_ship_and_those_of_the_tests_need_no_other_operators() -> None:
    for name in builtin_bundles():
        bundle = open_bundle(name)
        assert all(bundle.model_bytes(entry.index) for entry in bundle.manifest.variants)
    check_model(tiny.model(16))
