"""What `vp site doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass

PATIENCE_S = 10.0
"""How long any one thing is waited for, in s."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        node: whose settings it is about.
        what: the thing, in a word or two.
        is_well: whether it is as it should be; None if that cannot be told here.
        verdict: what was seen.
        remedy: what helps, where something is wrong.
    """

    node: str
    what: str
    is_well: bool | None
    verdict: str
    remedy: str | None = None


class WrongError(Exception):
    """Something that is not as it should be: verdict and remedy."""

    def __init__(self, verdict: str, remedy: str) -> None:
        super().__init__(verdict)
        self.verdict = verdict
        self.remedy = remedy
