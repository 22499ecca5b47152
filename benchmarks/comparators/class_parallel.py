"""Class parallelism: every board covers a share of the classes, and "none of mine".

After Wang et al., "SensAI: ConvNets Decomposition via Class Parallelism for Fast Inference on Live Data", MLSys 2021:
one network is decomposed into disjoint ones, each pruned to its share of the classes. Here each is MobileNetV2 at the
width of a variant, so that the cost of a board is comparable. It is trained, exported and run like any family, whose
variants cover only some of the classes (`knows` in the manifest).
"""

from __future__ import annotations

from vp_mqtt.bundle.manifest import MAX_VARIANTS, FamilySpec, VariantSpec
from vp_mqtt.errors import UserError


def shares(classes: int, boards: int) -> list[tuple[int, ...]]:
    """Return the class indices of every board: a partition of all classes into shares of nearly equal size.

    Raises:
        UserError: there are more boards than classes.
    """
    if not 1 <= boards <= min(classes, MAX_VARIANTS):
        most = min(classes, MAX_VARIANTS)
        raise UserError(f"--boards {boards}: class parallelism takes 1 to {most} boards for {classes} classes")
    return [tuple(range(board, classes, boards)) for board in range(boards)]


def class_parallel_family(classes: int, boards: int, *, resolution: int, alpha: float, head: int) -> FamilySpec:
    """Return a family whose variants share the classes.

    Args:
        classes: number of classes.
        boards: number of boards.
        resolution: resolution of every board's network, in pixels.
        alpha: width multiplier.
        head: filters before the classifier.

    Raises:
        UserError: there are more boards than classes.
    """
    variants = tuple(
        VariantSpec(resolution=resolution, alpha=alpha, head=head, knows=knows) for knows in shares(classes, boards)
    )
    return FamilySpec(name=f"class-parallel-{boards}", variants=variants)
