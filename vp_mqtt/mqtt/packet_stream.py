"""What arrives on a connection, split into MQTT packets (MQTT 5.0, section 2.1)."""

from __future__ import annotations

from collections.abc import Iterator

from vp_mqtt.mqtt.properties import variable_integer

_MORE = 0x80
_LONGEST_LENGTH = 4


class PacketStream:
    """Puts packets together again, however they were cut up on the way."""

    def __init__(self) -> None:
        """Start at the beginning of a connection."""
        self._held = bytearray()

    def add(self, data: bytes) -> Iterator[tuple[int, bytearray]]:
        """Add what has arrived; yield the first byte of every packet that is complete, and what follows its length.

        Raises:
            MalformedError: the length of a packet is longer than four bytes.
        """
        held = self._held
        held += data
        at, end = 0, len(held)
        try:
            while end - at > 1:
                length, start = held[at + 1], at + 2
                if length & _MORE:
                    if end - at <= _LONGEST_LENGTH and all(byte & _MORE for byte in held[at + 1 :]):
                        break
                    length, start = variable_integer(held, at + 1)
                if end - start < length:
                    break
                at, command = start + length, held[at]
                yield command, held[start:at]
        finally:
            del held[:at]
