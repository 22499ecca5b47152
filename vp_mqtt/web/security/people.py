"""Who uses the page."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PageRole(StrEnum):
    """What a person may do."""

    VIEWER = "viewer"
    """Look at everything."""
    OPERATOR = "operator"
    """Change things, too."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who a request comes from.

    Attributes:
        name: as a proxy gives it, else the role.
        role: what they may do.
        csrf: the token that their forms must carry.
        can_sign_out: whether they have signed in with a password.
    """

    name: str
    role: PageRole
    csrf: str
    can_sign_out: bool = False

    @property
    def is_operator(self) -> bool:
        """Whether they may change things."""
        return self.role is PageRole.OPERATOR
