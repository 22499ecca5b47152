"""User-correctable errors."""

from __future__ import annotations

from vp_mqtt.masking import hide_secrets


class UserError(Exception):
    """An error that the user can correct; the message says in one line what is wrong and what to do.

    Commands print the message and exit with code 2, without a traceback.

    Attributes:
        hint: what a command that ends with it says after the message.
    """

    hint = ""

    def __init__(self, message: str) -> None:
        # Input that is repeated in the message may contain line breaks, and addresses with passwords.
        super().__init__(hide_secrets(" ".join(message.splitlines())))
