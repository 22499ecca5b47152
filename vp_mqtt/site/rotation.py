"""What `vp site provision --rotate` names: a board and a person may have one name, and `KIND:NAME` says which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vp_mqtt.errors import UserError

BOARD, PERSON, CELL = "board", "person", "cell"
_SEPARATOR = ":"


def rotated_as(kind: str, name: str) -> str:
    """Return what stands, without doubt, for a board, person or cell, or for the broker or bridge (of that kind)."""
    return f"{kind}{_SEPARATOR}{name}"


def resolve(rotate: Iterable[str], known: Mapping[str, Iterable[str]], there_is_no: str) -> frozenset[str]:
    """Return what is to get new keys and passwords, each as `rotated_as` has it.

    Args:
        rotate: names, or `KIND:NAME`.
        known: the names of each kind.
        there_is_no: what to say of a name that is not known.

    Raises:
        UserError: one is not known, or stands for two.
    """
    found = set()
    for one in sorted(rotate):
        matches = [
            rotated_as(kind, name)
            for kind, names in known.items()
            for name in sorted({*names})
            if one in {name, rotated_as(kind, name)}
        ]
        if not matches:
            raise UserError(f"--rotate {one}: {there_is_no}")
        if len(matches) > 1:
            raise UserError(f"--rotate {one}: which one? write {' or '.join(f'--rotate {match}' for match in matches)}")
        found.update(matches)
    return frozenset(found)
