"""A family without models, as a fusion node needs it, of any number of variants."""

from __future__ import annotations

from pathlib import Path

from vp_mqtt.bundle.manifest import MANIFEST_NAME, Calibration, Manifest, VariantEntry

CLASSES = 10
K = 3


def manifest(variants: int) -> Manifest:
    """Return the manifest of a family of so many variants."""
    entries = tuple(
        VariantEntry(
            resolution=32, head=8, index=v, weight=1 - v / (2 * variants), file="v.onnx", sha256="0" * 64, params=1
        )
        for v in range(variants)
    )
    return Manifest(
        name=f"scale-{variants}",
        classes=tuple(f"class {n}" for n in range(CLASSES)),
        variants=entries,
        k=K,
        calibration=Calibration(temperatures=(0.8,) * variants, thresholds=(0.3,) * variants, kept=0.95, pictures=100),
    )


def write_bundle(folder: Path, variants: int) -> Manifest:
    """Write the manifest into a new folder below `folder`, named like the family, and return it."""
    written = manifest(variants)
    bundle = folder / written.name
    bundle.mkdir()
    (bundle / MANIFEST_NAME).write_bytes(written.canonical())
    return written
