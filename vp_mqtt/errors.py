"""Errors that a person can mend."""

from __future__ import annotations


class UserError(Exception):
    """Something the user gave is wrong: the message says, in one line, what it is and what to do.

    Commands print the message and exit with code 2, without a traceback.
    """

    def __init__(self, message: str) -> None:
        # What the user gave, and is repeated in the message, may hold line breaks.
        super().__init__(" ".join(message.splitlines()))
