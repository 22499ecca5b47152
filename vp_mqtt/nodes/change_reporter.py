"""The log lines about variants that come, go and fall silent, and about the bundle that leads."""

from __future__ import annotations

from collections import Counter

from vp_mqtt.fusion.family import Family
from vp_mqtt.fusion.handover import Handover
from vp_mqtt.logs import LOGGER

_NAMED = 3
# A variant that comes and goes for ever does not fill the log.
_SILENCES_SAID = 10


class ChangeReporter:
    """Logs what has changed since the last report."""

    def __init__(self, handover: Handover) -> None:
        """Start with no variant alive.

        Args:
            handover: what it reports on.
        """
        self._handover = handover
        self._leader: Family | None = None
        self._alive: set[int] = set()
        self._suspected: dict[int, frozenset[str] | None] = {}
        self._silences: Counter[int] = Counter()

    def report(self) -> bool:
        """Log the changes; return whether another bundle leads now."""
        leader = self._handover.leader
        has_changed = self._leader is not None and leader is not self._leader
        self._leader = leader
        if has_changed:
            LOGGER.info("most of the boards run '%s' (%s) now", leader.manifest.name, leader.digest.hex())
        self._report_variants(leader)
        return has_changed

    def _report_variants(self, leader: Family) -> None:
        alive, suspected = leader.liveness.alive(), leader.liveness.suspected()
        was_alive, was_suspected = self._alive, self._suspected
        if (alive, suspected) == (was_alive, was_suspected):
            return
        self._alive, self._suspected = alive, suspected
        for variant in sorted(alive - was_alive):
            LOGGER.info("variant %d is online", variant)
        elsewhere = self._handover.elsewhere()
        for variant in sorted(was_alive - alive):
            if variant in elsewhere:
                LOGGER.info("variant %d runs '%s' now", variant, elsewhere[variant].name)
            else:
                LOGGER.warning("variant %d is gone", variant)
        for variant in sorted(suspected.keys() - was_suspected.keys()):
            self._report_silence(variant, _where(suspected[variant]))
        for variant in sorted((was_suspected.keys() - suspected.keys()) & alive & was_alive):
            if self._silences[variant] < _SILENCES_SAID:
                LOGGER.info("variant %d votes again", variant)

    def _report_silence(self, variant: int, where: str) -> None:
        self._silences[variant] += 1
        if self._silences[variant] < _SILENCES_SAID:
            LOGGER.warning("variant %d is silent%s: no longer waited for", variant, where)
        elif self._silences[variant] == _SILENCES_SAID:
            LOGGER.warning(
                "variant %d is silent%s again and again: too slow for --deadline-ms? That is no longer reported",
                *(variant, where),
            )


def _where(cameras: frozenset[str] | None) -> str:
    return "" if cameras is None else f" on frames of {', '.join(sorted(cameras)[:_NAMED])}"
