"""Times, shares and reasons in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vp_mqtt.overview.activity import Outcome
from vp_mqtt.overview.site_view import BoardVote
from vp_mqtt.protocol.frames import ClosedBy

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_FINE = 10.0


def ago(seconds: float) -> str:
    """Return a time span in words, in its largest unit: "12 s", "3 min", "5 h", "2 days"."""
    for limit, unit, name in ((_MINUTE, 1.0, "s"), (_HOUR, _MINUTE, "min"), (_DAY, _HOUR, "h")):
        if seconds < limit:
            return f"{max(0, int(seconds // unit))} {name}"
    days = int(seconds // _DAY)
    return "1 day" if days == 1 else f"{days} days"


def milliseconds(value: float | None) -> str:
    """Return a time in ms, with a decimal where it is short; a dash without one."""
    if value is None:
        return "-"
    return f"{value:.1f} ms" if value < _FINE else f"{value:.0f} ms"


def percent(share: float | None) -> str:
    """Return a share in percent; a dash without one."""
    return "-" if share is None else f"{share:.0%}"


def _boards(number: int) -> str:
    return "1 board" if number == 1 else f"{number} boards"


def why_closed(closed_by: ClosedBy, votes: Sequence[BoardVote]) -> str:
    """Return in a sentence why a window closed when it did."""
    voted = sum(vote.outcome is Outcome.VOTED for vote in votes)
    late = sum(vote.outcome is Outcome.LATE for vote in votes)
    away = sum(vote.outcome is Outcome.AWAY and vote.node is not None for vote in votes)
    # A variant that no board runs could not have changed anything.
    possible = sum(vote.outcome is not Outcome.AWAY for vote in votes)
    match closed_by:
        case ClosedBy.COMPLETE:
            without = f"; {_boards(away)} not waited for" if away else ""
            return f"{'The only board' if voted == 1 else f'All {_boards(voted)}'} voted{without}"
        case ClosedBy.DECIDED:
            return f"Certain after {voted} of {possible} votes: no other could change it"
        case ClosedBy.DEADLINE:
            return f"The deadline passed with {_boards(late)} outstanding" if late else "The deadline passed"
        case ClosedBy.SKIPPED:
            return "No vote: every board had moved on to a newer frame"


def outcome_words(vote: BoardVote) -> str:
    """Return in a word or two what became of a board's vote; empty if it counted."""
    if vote.outcome is Outcome.VOTED:
        return ""
    if vote.node is not None and not vote.node.is_online:
        return str(vote.node.presence)
    match vote.outcome:
        case Outcome.LATE:
            return "late" if vote.late_ms is None else f"{milliseconds(vote.late_ms)} late"
        case Outcome.NOT_NEEDED:
            return "not needed"
        case Outcome.AWAY:
            return "no board" if vote.node is None else "not waited for"
        case _:
            return ""
