"""When to connect again, and what to say of it."""

from __future__ import annotations

import random
from collections.abc import Callable

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.failure import Failure

BACKOFF_BASE_S = 0.25
BACKOFF_CAP_S = 3.0
LASTING_S = 5.0
"""A connection counts as good only after so long: some brokers accept any client, and then drop it."""


def backoff(attempt: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Return how long to wait before the next attempt to connect, in seconds: exponential, capped, with full jitter.

    Args:
        attempt: failed attempts in a row, from 0.
        uniform: draws a float between two.
    """
    return uniform(0.0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(attempt, 16)))


class Retries:
    """What a session has tried to be connected, what is logged of it, and when it is to end.

    Attributes:
        attempt: attempts in a row, from 0, that did not lead to a connection that lasted.
    """

    def __init__(self, options: BrokerOptions) -> None:
        """Start with no attempt.

        Args:
            options: how the broker is reached.
        """
        self._options = options
        self._brokers = options.each()
        self._turn = 0
        self._was_connected = False
        self._is_open = False
        self._diagnosed: set[str] = set()
        self._refusing: set[str] = set()
        self._drops = 0
        self.attempt = 0

    @property
    def broker(self) -> BrokerOptions:
        """How the broker is reached whose turn it is: of several, the next one after each connection."""
        return self._brokers[self._turn % len(self._brokers)]

    @property
    def round(self) -> int:
        """How often all brokers have had their turn."""
        return self._turn // len(self._brokers)

    def note_open(self) -> None:
        """Note that the broker has accepted a connection."""
        self._was_connected = self._is_open = True
        if self._drops <= 1:
            LOGGER.info("connected to the broker %s", self.broker.address)

    def note_lasting(self) -> None:
        """Note that the connection has lasted: from now on, the broker counts as good."""
        if self._drops > 1:
            LOGGER.info("the connection to the broker %s lasts now", self.broker.address)
        self._drops = self.attempt = 0

    def is_puzzled(self, failure: Failure) -> bool:
        """Return whether it is to be found out what speaks at the broker's address; once at most for each."""
        if self.broker.url in self._diagnosed or self._was_connected or not failure.is_unexplained:
            return False
        self._diagnosed.add(self.broker.url)
        return True

    def note_end(self, failure: Failure, *, elapsed_s: float) -> UserError | None:
        """Note that a connection has ended, or was not made.

        Args:
            failure: why.
            elapsed_s: since the session began, in seconds.

        Returns:
            The error to end the session with; None if it is to try again.
        """
        error = self._permanent(failure, elapsed_s)
        if error is None:
            self._log(failure)
            self.attempt += 1
        self._is_open = False
        self._turn += 1
        return error

    def _permanent(self, failure: Failure, elapsed_s: float) -> UserError | None:
        patience = self._options.give_up_after_s
        if failure.is_permanent(was_connected=self._was_connected):
            self._refusing.add(self.broker.url)
            # Of a cluster, another broker may be set up better than this one.
            if len(self._refusing) == len(self._brokers) or not failure.is_config_error:
                return failure.error
        if self._was_connected or not patience or elapsed_s < patience:
            return None
        address = self._options.address
        return UserError(f"broker {address}: {failure.problem}; is the address right, and is it running?")

    def _log(self, failure: Failure) -> None:
        address, problem = self.broker.address, failure.problem
        if self._is_open:
            self._drops += 1
            if self._drops == 1:
                LOGGER.warning("lost the broker %s (%s); reconnecting", address, problem)
            elif self._drops == 2:  # noqa: PLR2004 (once is no pattern)
                LOGGER.warning(
                    "the broker %s accepts the connection and then drops it (%s); trying less often", address, problem
                )
        elif not self._was_connected and self.attempt == 0:
            others = "; trying the others, too," if len(self._brokers) > 1 else "; trying"
            LOGGER.warning("broker %s: %s%s until it is there", address, problem, others)
