"""Numbers that a user writes in one flag, with commas between."""

from __future__ import annotations


def whole_numbers(text: str) -> list[int]:
    """Return the numbers of a list such as "0,3", from 0, in its order; none of them if a part is something else."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        return []
    return numbers if min(numbers) >= 0 else []
