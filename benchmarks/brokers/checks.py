"""The checks of `vp bench brokers`: each gets a fresh broker, and returns whether it passed and what was observed."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import psutil
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from benchmarks.brokers.client import ACCEPTED, QUIET_S, WAIT_S, RunningBroker
from vp_mqtt.local.ports import HOST, connect_code

SESSION_TAKEN_OVER = 0x8E
SLOW_COUNT = 2000
FRAME, VOTE = b"f" * 20_000, b"v" * 40

Finding = tuple[bool | None, str]


def _passed(**checks: bool) -> Finding:
    failed = [name for name, ok in checks.items() if not ok]
    return not failed, "failed: " + ", ".join(failed) if failed else ", ".join(checks)


def mqtt5(running: RunningBroker) -> Finding:
    """MQTT 5 at all."""
    code = connect_code(running.port)
    if code != ACCEPTED:
        return False, f"CONNECT refused with code {code}"
    return True, str(running.connect(v5=True).properties.json())


def properties(running: RunningBroker) -> Finding:
    """The properties of a message reach its receiver."""
    client = running.connect()
    client.listen("t")
    sent: dict[str, Any] = {
        "CorrelationData": b"\x00\xff1",
        "ContentType": "image/jpeg",
        "MessageExpiryInterval": 60,
        "UserProperty": [("a", "1"), ("a", "2")],
        "ResponseTopic": "r",
        "PayloadFormatIndicator": 1,
    }
    client.send("t", b"x", **sent)
    got = client.next().properties
    return _passed(**{name: getattr(got, name, None) in (value, 59) for name, value in sent.items()})


def expiry(running: RunningBroker) -> Finding:
    """A retained message disappears when its time is over."""
    client = running.connect()
    client.send("t", b"old", 1, retain=True, MessageExpiryInterval=1)
    time.sleep(2.5)
    client.listen("t")
    return not client.drain(), "a retained message of 1 s, asked for after 2.5 s, is not delivered"


def will(running: RunningBroker) -> Finding:
    """The will is published when a client dies, and only then."""
    watcher = running.connect()
    watcher.listen("w/#")
    running.connect(will=("w/closed", b"dead", 1, True)).vanish()
    closed = watcher.next()
    running.connect(will=("w/clean", b"dead", 1)).close()
    quiet = not watcher.drain()
    silent = running.connect(will=("w/silent", b"dead", 1), keepalive=2)
    silent.client.loop_stop()
    began = time.monotonic()
    with contextlib.suppress(queue.Empty):
        watcher.next(10)
    waited = time.monotonic() - began
    late = running.connect()
    late.listen("w/closed")
    ok = _passed(on_close=closed.payload == b"dead", not_on_disconnect=quiet, on_silence=waited < WAIT_S)
    return ok[0], f"{ok[1]}; keep-alive 2 s noticed after {waited:.1f} s; retained will kept: {bool(late.drain())}"


def retained(running: RunningBroker) -> Finding:
    """Retained messages reach later subscribers until an empty payload clears them."""
    first, later, last = running.connect(), running.connect(), running.connect()
    first.listen("t")
    first.send("t", b"one", 1, retain=True)
    live = first.next()
    first.send("t", b"two", 1, retain=True)
    later.listen("t")
    kept = later.drain()
    first.send("t", b"", 1, retain=True)
    last.listen("t")
    return _passed(
        live_without_flag=not live.retain,
        newest_to_later_subscriber=[(m.payload, m.retain) for m in kept] == [(b"two", True)],
        cleared_by_empty_payload=not last.drain(),
    )


def big(running: RunningBroker) -> Finding:
    """Payloads of 100 KB arrive complete; how large may they be?"""
    client = running.connect()
    client.listen("t", 1)
    arrived = []
    for kilobytes in (100, 1000, 10_000):
        payload = os.urandom(kilobytes * 1000)
        try:
            client.send("t", payload, 1)
            if client.next().payload == payload:
                arrived.append(kilobytes)
        except (queue.Empty, RuntimeError, ValueError):
            break
    return 100 in arrived, f"arrived complete, KB: {arrived}"  # noqa: PLR2004


def qos1(running: RunningBroker) -> Finding:
    """A burst at QoS 1 arrives completely and in order."""
    client, other = running.connect(), running.connect()
    other.listen("t", 1)
    numbers = [str(i).encode() for i in range(1000)]
    for number in numbers:
        client.client.publish("t", number, 1)
    got = [message.payload for message in other.drain()]
    return got == numbers, f"{len(got)} of {len(numbers)}, in order: {got == sorted(got, key=int)}"


def takeover(running: RunningBroker) -> Finding:
    """The first of two clients with one client id is informed why it is disconnected."""
    first = running.connect(name="same")
    second = running.connect(name="same")
    try:
        reason = first.gone.get(timeout=WAIT_S)
    except queue.Empty:
        return False, "the first client hears nothing and stays connected"
    second.listen("t")
    second.send("t", b"x")
    second.next()
    return reason == f"DISCONNECT 0x{SESSION_TAKEN_OVER:02X}", f"the first client: {reason}"


def aliases(running: RunningBroker) -> Finding:
    """Topic aliases are offered, and work."""
    client = running.connect()
    offered = getattr(client.properties, "TopicAliasMaximum", 0)
    if not offered:
        return False, "none offered"
    client.listen("long/topic")
    client.send("long/topic", b"1", TopicAlias=1)
    # An empty topic, which paho accepts with an alias: the broker has to look it up.
    client.send("", b"2", TopicAlias=1)
    got = [(message.topic, message.payload) for message in client.drain()]
    return got == [("long/topic", b"1"), ("long/topic", b"2")], f"{offered} offered, used: {len(got)} of 2 arrived"


def broker_limit(running: RunningBroker) -> Finding:
    """The broker's maximum packet size is advertised; what becomes of a larger packet?"""
    client = running.connect()
    limit = getattr(client.properties, "MaximumPacketSize", None)
    client.client.publish("t", b"x" * (17 << 20))
    try:
        reason = client.gone.get(timeout=WAIT_S)
    except queue.Empty:
        reason = "nothing"
    return limit is not None, f"advertised: {limit}; one of 17 MiB: {reason}"


def client_limit(running: RunningBroker) -> Finding:
    """The client's own maximum packet size is honoured."""
    mine = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    mine.MaximumPacketSize = 1000
    small, sender = running.connect(properties=mine), running.connect()
    small.listen("t")
    sender.send("t", b"x" * 5000)
    sender.send("t", b"small")
    sizes = [len(message.payload) for message in small.drain()]
    return sizes == [5], f"the client that takes 1000 B got {sizes} of [5000, 5]"


def no_local(running: RunningBroker) -> Finding:
    """The subscription option `no local` is honoured."""
    client = running.connect()
    client.client.subscribe("t", options=SubscribeOptions(qos=0, noLocal=True))
    time.sleep(0.3)
    client.send("t", b"x")
    return not client.drain(), "its own message does not come back"


def websockets(running: RunningBroker) -> Finding:
    """MQTT over WebSockets."""
    answers = {}
    for v5 in (True, False):
        try:
            client = running.connect(ws=True, v5=v5)
            client.listen("t")
            client.send("t", FRAME)
            answers[v5] = "works" if client.next().payload == FRAME else "garbled"
        except Exception as error:  # noqa: BLE001 - the finding is that it fails, and how
            answers[v5] = repr(error)
    return answers[True] == "works", f"MQTT 5: {answers[True]}; 3.1.1: {answers[False]}"


def slow_reader(running: RunningBroker) -> Finding:
    """40 MB of frames at 500 a second, to a healthy client and to one that does not read at first."""
    slow, healthy, sender = running.connect(), running.connect(), running.connect()
    slow.listen("t")
    healthy.listen("t")
    slow.client.loop_stop()
    before = psutil.Process(running.pid).memory_info().rss
    delays = []
    healthy.client.on_message = lambda _c, _d, message: delays.append(
        time.monotonic() - struct.unpack_from("d", message.payload)[0]
    )
    for _ in range(SLOW_COUNT):
        sender.client.publish("t", struct.pack("d", time.monotonic()) + FRAME)
        time.sleep(0.002)
    time.sleep(QUIET_S)
    grown = (psutil.Process(running.pid).memory_info().rss - before) / 1e6
    slow.client.loop_start()
    backlog = len(slow.drain())
    worst = sorted(delays)[int(len(delays) * 0.99)] * 1000 if delays else float("nan")
    detail = (
        f"the healthy client got {len(delays)} of {SLOW_COUNT}, p99 {worst:.1f} ms; broker grew {grown:.0f} MB; "
        f"the slow one then got {backlog} old frames, disconnected: {not slow.gone.empty()}"
    )
    return len(delays) == SLOW_COUNT, detail


def mqtt311(running: RunningBroker) -> Finding:
    """A client of MQTT 3.1.1, the default of `mosquitto_sub`, is served on the same port."""
    client = running.connect(v5=False)
    client.listen("t")
    client.send("t", b"x")
    return client.next().payload == b"x", "a message to itself"


def garbage(running: RunningBroker) -> Finding:
    """Malformed connections do no harm."""
    for junk in (os.urandom(2000), b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\xff\xff", b"\x30\x00", b""):
        with contextlib.suppress(OSError), socket.create_connection((HOST, running.port), timeout=1) as link:
            link.sendall(junk)
            link.recv(10)
    client = running.connect()
    client.listen("t")
    client.send("t", b"x")
    return client.next().payload == b"x", "still serves after malformed connections"


def footprint(running: RunningBroker) -> Finding:
    """Time to start, and memory."""
    rss = psutil.Process(running.pid).memory_info().rss / 1e6
    return None, f"answers {running.started_ms:.0f} ms after its start was asked for, RSS {rss:.0f} MB"


BOTH: list[Callable[[RunningBroker], Finding]] = [will, retained, big, mqtt311, qos1, takeover, websockets]
BOTH += [slow_reader, garbage, footprint]
ONLY_5: list[Callable[[RunningBroker], Finding]] = [properties, expiry, aliases, broker_limit, client_limit, no_local]
