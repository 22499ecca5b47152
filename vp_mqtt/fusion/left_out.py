"""Cameras that no fusion node labels: the one that would have them by the names does not know them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

_LASTS_S = 5.0
_NAMED = 3


class LeftOut:
    """Which cameras have been left out for longer than it takes them to move; the clock is passed in."""

    def __init__(self) -> None:
        """Start with none."""
        self._since: dict[tuple[str, str], float] = {}

    def note(self, heirs: Mapping[str, str], now: float) -> str | None:
        """Note which cameras are left out, see `Shards.heirs_without`.

        Args:
            heirs: by camera, the name of the member that would have it.
            now: on a monotonic clock, in s.

        Returns:
            What is wrong, for people; None if nothing has been for long enough.
        """
        self._since = {pair: self._since.get(pair, now) for pair in heirs.items()}
        lasting = sorted(pair for pair, since in self._since.items() if now - since >= _LASTS_S)
        if not lasting:
            return None
        cameras, members = [camera for camera, _ in lasting], sorted({heir for _, heir in lasting})
        have, fall, take = ("has", "it falls", "it") if len(cameras) == 1 else ("have", "they fall", "them")
        return (
            f"{'camera' if len(cameras) == 1 else 'cameras'} {_some(cameras)} {have} no labels: by the names {fall} to "
            f"{_some(members)}, which {'does' if len(members) == 1 else 'do'} not take {take}; give all fusion nodes "
            "the same --cameras, or none"
        )


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
