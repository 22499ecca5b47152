"""The systems that `vp bench compare` compares: single network, model, class and variant parallelism."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from benchmarks.comparators.class_parallel import class_parallel_family
from benchmarks.comparators.partition import write_stages
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.bundle.manifest import FamilySpec
from vp_mqtt.errors import UserError
from vp_mqtt.training.checkpoint import Checkpoint, Origin
from vp_mqtt.training.export import export_bundle, load_data_of
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.presets import load_family
from vp_mqtt.training.recipe import Recipe
from vp_mqtt.training.zoom import choose_zoom

SystemKind = Literal["single", "mp", "cp", "vp"]

# A board of class parallelism has about the average cost of a board of the family `paper`.
_CP_RESOLUTION, _CP_ALPHA, _CP_HEAD = 192, 0.35, 448
_CLASSES = 101


@dataclass(frozen=True)
class System:
    """One way to share the work, on a given number of boards.

    Attributes:
        name: "single", "mp-float32", "mp-int8", "cp" or "vp".
        kind: "single", "mp", "cp" or "vp".
        bundle: the fusion node's bundle.
        commands: arguments of `vp` on each board.
        variants: the bundle's variants in use, by board; with "mp" only the last board votes.
        precision: precision of the feature maps of "mp"; None for the others.
        is_trained: whether its weights are trained.
    """

    name: str
    kind: SystemKind
    bundle: Bundle
    commands: tuple[tuple[str, ...], ...]
    variants: tuple[int, ...]
    precision: str | None = None
    is_trained: bool = False

    @property
    def boards(self) -> int:
        """Number of boards."""
        return len(self.commands)


@dataclass
class Models:
    """Source of the systems' weights; those that are not given are random, which is as fast.

    Attributes:
        folder: folder for exported and cut networks.
        single: folder of a training of the base model, which model parallelism cuts, too.
        class_parallel: folders of trainings of class-parallel families.
        family: name or folder of the bundle of variant parallelism.
    """

    folder: Path
    single: Path | None = None
    class_parallel: Sequence[Path] = ()
    family: str | None = None
    _base: Checkpoint | None = field(default=None, init=False)
    _family: Bundle | None = field(default=None, init=False)

    def systems(self, boards: int, precisions: Sequence[str]) -> list[System]:
        """Return the systems for a number of boards, and the single network on one board.

        Args:
            boards: at least 2.
            precisions: precisions of the feature maps of model parallelism.

        Raises:
            UserError: a training or bundle cannot be used, or does not suit so many boards.
        """
        return [
            self.single_network(),
            *self._model_parallel(boards, precisions),
            self._class_parallel(boards),
            self._variant_parallel(boards),
        ]

    def classes(self) -> tuple[str, ...]:
        """Return the class names of all systems.

        Raises:
            UserError: the bundle cannot be used.
        """
        if self.family is not None:
            return open_bundle(self.family).manifest.classes
        if self.single is not None:
            return Checkpoint.load(self.single).origin.classes
        return tuple(f"thing {index}" for index in range(_CLASSES))

    def seed(self) -> int:
        """Return the seed of the trainings, which tells which pictures of a folder were held out.

        Raises:
            UserError: the bundle or the training cannot be used.
        """
        if self.family is not None:
            return open_bundle(self.family).manifest.split_seed
        return Checkpoint.load(self.single).origin.seed_of_split if self.single is not None else 0

    def single_network(self) -> System:
        """Return MobileNetV2 1.0 at 224 on one board.

        Raises:
            UserError: the training cannot be used.
        """
        folder = self.folder / "single"
        if not folder.exists():
            _export(self._base_model(), folder)
        bundle = open_bundle(folder)
        return System("single", "single", bundle, (_node(bundle, 0),), (0,), is_trained=self.single is not None)

    def _base_model(self) -> Checkpoint:
        if self._base is None:
            self._base = self._loaded(self.single) if self.single else self._random(load_family("base"))
            if len(self._base.origin.family.variants) != 1:
                raise UserError(f"--single {self.single}: a training of several variants; give one of the base model")
        return self._base

    def _loaded(self, path: Path) -> Checkpoint:
        checkpoint = Checkpoint.load(path)
        if set(checkpoint.origin.classes) != set(self.classes()):
            raise UserError(f"{path}: it knows other classes than the rest; train all on the same data")
        return checkpoint

    def _random(self, family: FamilySpec) -> Checkpoint:
        torch.manual_seed(0)
        classes = self.classes()
        origin = Origin(family=family, classes=classes, dataset="random", recipe=Recipe())
        states = [VariantNetwork(spec, len(classes)).state_dict() for spec in family.variants]
        return Checkpoint(origin, 0, states, states, {}, {})

    def _model_parallel(self, boards: int, precisions: Sequence[str]) -> list[System]:
        folder = self.folder / f"mp-{boards}"
        if not folder.exists():
            checkpoint = self._base_model()
            export_bundle(checkpoint, folder, zoom=self.single_network().bundle.manifest.preprocessing.zoom)
            (network,) = checkpoint.trained_networks()
            write_stages(network, checkpoint.origin.family.variants[0].resolution, folder, boards, "bytes")
        bundle = open_bundle(folder)

        def stage(index: int, precision: str) -> tuple[str, ...]:
            flags = ("--stage", str(index), "--bundle", str(bundle.folder), "--precision", precision)
            return ("baseline", "stage", *flags)

        return [
            System(
                f"mp-{precision}",
                "mp",
                bundle,
                tuple(stage(index, precision) for index in range(boards)),
                (0,),
                precision=precision,
                is_trained=self.single is not None,
            )
            for precision in precisions
        ]

    def _class_parallel(self, boards: int) -> System:
        folder = self.folder / f"cp-{boards}"
        trained = [one for one in map(self._loaded, self.class_parallel) if len(one.origin.family.variants) == boards]
        if not folder.exists():
            family = class_parallel_family(
                len(self.classes()), boards, resolution=_CP_RESOLUTION, alpha=_CP_ALPHA, head=_CP_HEAD
            )
            _export(trained[0] if trained else self._random(family), folder)
        bundle = open_bundle(folder)
        commands = tuple(_node(bundle, index) for index in range(boards))
        return System("cp", "cp", bundle, commands, tuple(range(boards)), is_trained=bool(trained))

    def _variant_parallel(self, boards: int) -> System:
        if self._family is None:
            folder = self.folder / "vp"
            if self.family is None:
                export_bundle(self._random(load_family("paper")), folder)
            self._family = open_bundle(self.family or folder)
        bundle = self._family
        count = len(bundle.manifest.variants)
        if boards > count:
            raise UserError(f"--boards {boards}: the family '{bundle.manifest.name}' has {count} variants")
        # The variants with the heaviest votes: of few boards each one has to be good.
        variants = bundle.manifest.strongest(boards)
        commands = tuple(_node(bundle, index) for index in variants)
        return System("vp", "vp", bundle, commands, variants, is_trained=self.family is not None)


def _export(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a bundle, with the zoom that `vp export` chooses where it finds the training's pictures."""
    export_bundle(checkpoint, folder)
    if checkpoint.epoch and checkpoint.origin.data is not None:
        bundle, pictures = open_bundle(folder), load_data_of(checkpoint.origin).validation
        models = [bundle.model_bytes(entry.index) for entry in bundle.manifest.variants]
        export_bundle(checkpoint, folder, zoom=choose_zoom(bundle.manifest, models, pictures))


def _node(bundle: Bundle, variant: int) -> tuple[str, ...]:
    return ("node", "--variant", str(variant), "--bundle", str(bundle.folder))
