"""How often passwords may be tried. Pure: the clock is passed in."""

from __future__ import annotations

from collections import OrderedDict, deque

_WINDOW_S = 60.0
_PER_ADDRESS = 5
_ALTOGETHER = 60
_MAX_ADDRESSES = 1024


class Attempts:
    """Counts failed attempts: 5 a minute from one address, 60 from all."""

    def __init__(self) -> None:
        """Start without any."""
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=_ALTOGETHER)

    def may_try(self, address: str, now: float) -> bool:
        """Return whether a password may be tried from an address now, on the monotonic clock in seconds."""
        failed = self._by_address.get(address, ())
        return _recent(failed, now) < _PER_ADDRESS and _recent(self._all, now) < _ALTOGETHER

    def note_failure(self, address: str, now: float) -> None:
        """Note a wrong password."""
        self._all.append(now)
        self._by_address.setdefault(address, deque(maxlen=_PER_ADDRESS)).append(now)
        self._by_address.move_to_end(address)
        if len(self._by_address) > _MAX_ADDRESSES:
            self._by_address.popitem(last=False)


def _recent(times: deque[float] | tuple[()], now: float) -> int:
    return sum(now - at < _WINDOW_S for at in times)
