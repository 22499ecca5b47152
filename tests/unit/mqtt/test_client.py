"""Ending the network's thread of a client at an awkward moment."""

from __future__ import annotations

import threading

import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from vp_mqtt.mqtt.client import ThreadedClient


class _EndsMeanwhile(ThreadedClient):
    """Its thread is there at the first look, and gone at the second."""

    rest: threading.Thread | None

    @property
    def _thread(self) -> threading.Thread | None:
        found, self.rest = self.rest, None
        return found

    @_thread.setter
    def _thread(self, thread: threading.Thread | None) -> None:
        self.rest = thread


def ended() -> threading.Thread:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    return thread


@pytest.mark.parametrize("thread", [ended(), threading.Thread()], ids=["has just ended", "is just being started"])
def test_a_thread_that_ends_or_starts_meanwhile(thread: threading.Thread) -> None:
    client = _EndsMeanwhile(CallbackAPIVersion.VERSION2)
    client.rest = thread
    assert client.loop_stop() == MQTTErrorCode.MQTT_ERR_SUCCESS
    # One that is just being started sees that it is to end.
    assert client._thread_terminate


def test_without_a_thread_there_is_nothing_to_end() -> None:
    assert ThreadedClient(CallbackAPIVersion.VERSION2).loop_stop() == MQTTErrorCode.MQTT_ERR_INVAL
