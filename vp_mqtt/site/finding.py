"""What `vp site doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass

PATIENCE_S = 10.0
"""How long one check waits for an answer, in seconds."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        node: name of the node that was checked.
        what: subject of the check, in a word or two.
        is_well: whether it passed; None if that cannot be found out here.
        verdict: what was seen.
        remedy: what to do if it failed.
    """

    node: str
    what: str
    is_well: bool | None
    verdict: str
    remedy: str | None = None


class CheckError(Exception):
    """A check failed.

    Attributes:
        verdict: what is wrong.
        remedy: what to do about it.
    """

    def __init__(self, verdict: str, remedy: str) -> None:
        super().__init__(verdict)
        self.verdict = verdict
        self.remedy = remedy
