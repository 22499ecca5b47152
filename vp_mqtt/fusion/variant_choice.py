"""Whether a site with fewer boards than variants runs those that are worth most. Pure: the clock is passed in."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from vp_mqtt.bundle.manifest import Manifest

SETTLED_AFTER_S = 60.0
"""Boards come and go while a site starts, and after a power cut: so long nothing is said of them."""


class VariantChoice:
    """Says once of each choice of variants that another one of as many would be better."""

    def __init__(self) -> None:
        """Start with no boards."""
        self._running: tuple[bytes, frozenset[int]] = b"", frozenset()
        self._since = float("-inf")
        self._said: tuple[bytes, frozenset[int]] | None = None

    def note(
        self, manifest: Manifest, running: AbstractSet[int], now: float, chosen: AbstractSet[int] = frozenset()
    ) -> str | None:
        """Note which variants run, and return what to say about it; None for nothing.

        Args:
            manifest: of the family.
            running: the variants whose boards are online.
            now: on a monotonic clock, in seconds.
            chosen: those of them whose boards have chosen them (`--variant auto`).
        """
        if (now_running := (manifest.digest, frozenset(running))) != self._running:
            self._running, self._since = now_running, now
        best = frozenset(manifest.strongest(len(running)))
        if not running or running == best or self._running == self._said or now - self._since < SETTLED_AFTER_S:
            return None
        self._said = self._running
        missing, others = sorted(best - running), sorted(running - best)
        # Boards keep what they have chosen while others go: they move for another family only.
        more = " in place of --variant auto" if chosen >= set(others) else ", or leave the choice to --variant auto"
        return (
            f"{len(running)} of the {len(manifest.variants)} variants of '{manifest.name}' run; with as many boards, "
            f"{_listed(missing)} in place of {_listed(others)} would usually be right more often: set "
            f"--variant{more}"
        )


def _listed(variants: list[int]) -> str:
    return ", ".join(map(str, variants))
