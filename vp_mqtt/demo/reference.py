"""What the demo's family does on all test pictures, of which the samples are some."""

from __future__ import annotations

import json
from typing import Any

from vp_mqtt.nodes.sources import DEFAULT_SAMPLES, SAMPLES

REFERENCE = SAMPLES / f"{DEFAULT_SAMPLES}.json"
"""The bundle's digest, the number of pictures, and the accuracy of the fused label by the variants alive."""


def read_reference(digest: str, variants: int, killed: tuple[int, ...]) -> dict[str, Any] | None:
    """Return the shares of right answers on all test pictures; None for another bundle than the samples'.

    Args:
        digest: of the bundle, in hexadecimal.
        variants: how many variants it has.
        killed: those that the demo kills half-way.
    """
    measured = json.loads(REFERENCE.read_text(encoding="utf-8"))
    if measured["digest"] != digest:
        return None

    def fused(alive: list[int]) -> float | None:
        found: float | None = measured["by_subset"].get(",".join(map(str, alive)))
        return found

    everyone = range(variants)
    return {
        "pictures": measured["images"],
        "fused": fused(list(everyone)),
        "variants": [fused([variant]) for variant in everyone],
        "after": fused([variant for variant in everyone if variant not in killed]),
    }
