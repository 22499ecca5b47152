"""What a family of frozen backbones starts from: the variants of a bundle, whose classifiers are exchanged."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx

from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.manifest import Preprocessing, VariantSpec
from vp_mqtt.errors import UserError
from vp_mqtt.training.familiarity import has_familiarity, without_familiarity


@dataclass(frozen=True, eq=False)
class Backbone:
    """A variant to take the backbone and the head of.

    Attributes:
        spec: resolution, width, head and pooling.
        model: ONNX, without familiarity.
        outputs: its number of classes.
        params: number of its parameters, without batch norm statistics.
    """

    spec: VariantSpec
    model: bytes
    outputs: int
    params: int

    def params_with(self, classes: int) -> int:
        """Return the number of parameters with a classifier for so many classes."""
        return self.params + (classes - self.outputs) * (self.spec.head + 1)


@dataclass(frozen=True, eq=False)
class Start:
    """Backbones to take.

    Attributes:
        name: in messages and in the manifest.
        backbones: by variant.
        preprocessing: that they were trained with.
    """

    name: str
    backbones: tuple[Backbone, ...]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


def start_from_bundle(bundle: Bundle, name: str) -> Start:
    """Return the backbones of a bundle, for whole pictures.

    Args:
        bundle: exported with float weights, whose variants know all classes.
        name: of the start.

    Raises:
        UserError: a model is missing or damaged, or of another kind.
    """
    manifest = bundle.manifest
    backbones = []
    for entry in manifest.variants:
        model = bundle.model_bytes(entry.index)
        if entry.knows is not None:
            raise UserError(f"--pretrained {name}: its variants know some of the classes each; start from another")
        if any(node.op_type == "DequantizeLinear" for node in onnx.load_model_from_string(model).graph.node):
            raise UserError(f"--pretrained {name}: an int8 model; start from a float16 or float32 bundle")
        plain = without_familiarity(model) if has_familiarity(model) else model
        backbones.append(Backbone(entry.spec, plain, len(manifest.classes), entry.params))
    # The zoom was chosen for other pictures: one's own may show things at the edge.
    return Start(name, tuple(backbones), manifest.preprocessing.model_copy(update={"zoom": 1.0}))
