"""The checks that `compare.py` runs: each gets a fresh broker and returns whether it passed, and what was seen."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from vp_mqtt.local.ports import HOST, connect_code

WAIT_S = 5.0
CHECK_S = 60.0
QUIET_S = 0.7
ACCEPTED, TAKEN_OVER = 0, 0x8E
SLOW_COUNT = 2000
FRAME, VOTE = b"f" * 20_000, b"v" * 40

Finding = tuple[bool | None, str]


def set_nodelay(link: Any) -> None:  # noqa: ANN401 (a socket, which paho types as less)
    """Send small packets at once."""
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Peer:
    """A paho client that keeps what it hears in queues."""

    def __init__(self, port: int, *, v5: bool, tcp: str = "nodelay", ws: bool = False, **options: Any) -> None:  # noqa: ANN401
        self.inbox: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self.gone: queue.Queue[str] = queue.Queue()
        self._codes: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self._subscribed: queue.Queue[Any] = queue.Queue()
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.get("name", ""),
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
            transport="websockets" if ws else "tcp",
            reconnect_on_failure=False,
        )
        self.client.connect_timeout = WAIT_S
        self._quick = tcp == "nodelay, quickack"
        if tcp != "plain" and not ws:
            self.client.on_socket_open = lambda _c, _d, link: set_nodelay(link)
        self.client.on_connect = lambda _c, _d, _f, code, properties: self._codes.put((code, properties))
        self.client.on_disconnect = lambda _c, _d, flags, code, _p: self.gone.put(
            f"DISCONNECT 0x{code.value:02X}"
            if flags.is_disconnect_packet_from_server
            else "closed without a DISCONNECT"
        )
        self.client.on_subscribe = lambda _c, _d, _m, codes, _p: self._subscribed.put(codes)
        self.client.on_message = lambda _c, _d, message: self.inbox.put(message)
        self.client.on_publish = lambda *_: self.quicken()
        if "will" in options:
            self.client.will_set(*options["will"])
        self.client.connect(HOST, port, options.get("keepalive", 60), properties=options.get("properties"))
        self.client.loop_start()
        code, self.properties = self._codes.get(timeout=WAIT_S)
        if code.value != ACCEPTED:
            raise ConnectionError(f"refused: {code}")

    def listen(self, topic: str, qos: int = 0) -> None:
        """Subscribe and wait for the broker to grant it."""
        self.client.subscribe(topic, qos)
        if any(code.is_failure for code in self._subscribed.get(timeout=WAIT_S)):
            raise ConnectionError(f"subscription to {topic} refused")

    def send(self, topic: str, payload: bytes, qos: int = 0, *, retain: bool = False, **properties: Any) -> None:  # noqa: ANN401
        """Publish and wait until that has left, or been acknowledged at QoS 1; `properties` by their MQTT 5 names."""
        extra = Properties(PacketTypes.PUBLISH) if properties else None  # type: ignore[no-untyped-call]
        for name, value in properties.items():
            setattr(extra, name, value)
        self.client.publish(topic, payload, qos, retain, extra).wait_for_publish(WAIT_S)

    def quicken(self, work: Callable[[], object] | None = None) -> None:
        """Have the kernel acknowledge at once, if so configured (it forgets that soon), and then do `work`."""
        link = self.client.socket()
        if self._quick and isinstance(link, socket.socket):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if work is not None:
            work()

    def next(self, timeout: float = WAIT_S) -> mqtt.MQTTMessage:
        """Return the next message; queue.Empty after `timeout` seconds."""
        return self.inbox.get(timeout=timeout)

    def drain(self, quiet_s: float = QUIET_S) -> list[mqtt.MQTTMessage]:
        """Return what arrives until nothing does for `quiet_s` seconds."""
        messages = []
        with contextlib.suppress(queue.Empty):
            while True:
                messages.append(self.inbox.get(timeout=quiet_s))
        return messages

    def vanish(self) -> None:
        """Close the connection without a DISCONNECT."""
        self.client.loop_stop()
        link = self.client.socket()
        if link is not None:
            link.close()

    def close(self) -> None:
        """Disconnect, if still connected, and end the thread."""
        with contextlib.suppress(Exception):
            self.client.disconnect()
        self.client.loop_stop()


@dataclass
class Candidate:
    """A broker under test; `write` gets a folder, the port, and a port for WebSockets."""

    name: str
    version: str
    write: Callable[[Path, int, int], list[str]]
    v5: bool = True


@dataclass
class Bench:
    """One running broker and the clients of one check."""

    candidate: Candidate
    port: int = 0
    ws_port: int = 0
    pid: int = 0
    started_ms: float = 0
    peers: list[Peer] = field(default_factory=list)

    @property
    def v5(self) -> bool:
        """Whether the broker speaks MQTT 5."""
        return self.candidate.v5

    def peer(self, **options: Any) -> Peer:  # noqa: ANN401
        """Connect a client, which is closed with the broker."""
        self.peers.append(Peer(self.ws_port if options.get("ws") else self.port, **{"v5": self.v5, **options}))
        return self.peers[-1]


def _passed(**checks: bool) -> Finding:
    failed = [name for name, ok in checks.items() if not ok]
    return not failed, "failed: " + ", ".join(failed) if failed else ", ".join(checks)


def mqtt5(bench: Bench) -> Finding:
    """MQTT 5 at all."""
    code = connect_code(bench.port)
    if code != ACCEPTED:
        return False, f"CONNECT refused with code {code}"
    return True, str(bench.peer(v5=True).properties.json())


def properties(bench: Bench) -> Finding:
    """The properties of a message reach its receiver."""
    peer = bench.peer()
    peer.listen("t")
    sent: dict[str, Any] = {
        "CorrelationData": b"\x00\xff1",
        "ContentType": "image/jpeg",
        "MessageExpiryInterval": 60,
        "UserProperty": [("a", "1"), ("a", "2")],
        "ResponseTopic": "r",
        "PayloadFormatIndicator": 1,
    }
    peer.send("t", b"x", **sent)
    got = peer.next().properties
    return _passed(**{name: getattr(got, name, None) in (value, 59) for name, value in sent.items()})


def expiry(bench: Bench) -> Finding:
    """A retained message disappears when its time is over."""
    peer = bench.peer()
    peer.send("t", b"old", 1, retain=True, MessageExpiryInterval=1)
    time.sleep(2.5)
    peer.listen("t")
    return not peer.drain(), "a retained message of 1 s, asked for after 2.5 s, is not delivered"


def will(bench: Bench) -> Finding:
    """The will is published when a client dies, and only then."""
    watcher = bench.peer()
    watcher.listen("w/#")
    bench.peer(will=("w/closed", b"dead", 1, True)).vanish()
    closed = watcher.next()
    bench.peer(will=("w/clean", b"dead", 1)).close()
    quiet = not watcher.drain()
    silent = bench.peer(will=("w/silent", b"dead", 1), keepalive=2)
    silent.client.loop_stop()
    began = time.monotonic()
    with contextlib.suppress(queue.Empty):
        watcher.next(10)
    waited = time.monotonic() - began
    late = bench.peer()
    late.listen("w/closed")
    ok = _passed(on_close=closed.payload == b"dead", not_on_disconnect=quiet, on_silence=waited < WAIT_S)
    return ok[0], f"{ok[1]}; keep-alive 2 s noticed after {waited:.1f} s; retained will kept: {bool(late.drain())}"


def retained(bench: Bench) -> Finding:
    """Retained messages reach later subscribers until an empty payload clears them."""
    first, later, last = bench.peer(), bench.peer(), bench.peer()
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


def big(bench: Bench) -> Finding:
    """Payloads of 100 KB arrive whole; how much larger may they be?"""
    peer = bench.peer()
    peer.listen("t", 1)
    arrived = []
    for kilobytes in (100, 1000, 10_000):
        payload = os.urandom(kilobytes * 1000)
        try:
            peer.send("t", payload, 1)
            if peer.next().payload == payload:
                arrived.append(kilobytes)
        except (queue.Empty, RuntimeError, ValueError):
            break
    return 100 in arrived, f"arrived whole, KB: {arrived}"  # noqa: PLR2004


def qos1(bench: Bench) -> Finding:
    """A burst at QoS 1 arrives whole and in order."""
    peer, other = bench.peer(), bench.peer()
    other.listen("t", 1)
    numbers = [str(i).encode() for i in range(1000)]
    for number in numbers:
        peer.client.publish("t", number, 1)
    got = [message.payload for message in other.drain()]
    return got == numbers, f"{len(got)} of {len(numbers)}, in order: {got == sorted(got, key=int)}"


def takeover(bench: Bench) -> Finding:
    """The first of two clients with one client id is told why it is disconnected."""
    first = bench.peer(name="same")
    second = bench.peer(name="same")
    try:
        reason = first.gone.get(timeout=WAIT_S)
    except queue.Empty:
        return False, "the first client hears nothing and stays connected"
    second.listen("t")
    second.send("t", b"x")
    second.next()
    return reason == f"DISCONNECT 0x{TAKEN_OVER:02X}", f"the first client: {reason}"


def aliases(bench: Bench) -> Finding:
    """Topic aliases are offered, and work."""
    peer = bench.peer()
    offered = getattr(peer.properties, "TopicAliasMaximum", 0)
    if not offered:
        return False, "none offered"
    peer.listen("long/topic")
    peer.send("long/topic", b"1", TopicAlias=1)
    # paho refuses an empty topic without an alias only, so this is one that the broker has to look up.
    peer.send("", b"2", TopicAlias=1)
    got = [(message.topic, message.payload) for message in peer.drain()]
    return got == [("long/topic", b"1"), ("long/topic", b"2")], f"{offered} offered, used: {len(got)} of 2 arrived"


def broker_limit(bench: Bench) -> Finding:
    """The broker's maximum packet size is advertised; what becomes of a larger packet?"""
    peer = bench.peer()
    limit = getattr(peer.properties, "MaximumPacketSize", None)
    peer.client.publish("t", b"x" * (17 << 20))
    try:
        reason = peer.gone.get(timeout=WAIT_S)
    except queue.Empty:
        reason = "nothing"
    return limit is not None, f"advertised: {limit}; one of 17 MiB: {reason}"


def client_limit(bench: Bench) -> Finding:
    """The client's own maximum packet size is honoured."""
    mine = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    mine.MaximumPacketSize = 1000
    small, sender = bench.peer(properties=mine), bench.peer()
    small.listen("t")
    sender.send("t", b"x" * 5000)
    sender.send("t", b"small")
    sizes = [len(message.payload) for message in small.drain()]
    return sizes == [5], f"the client that takes 1000 B got {sizes} of [5000, 5]"


def no_local(bench: Bench) -> Finding:
    """The subscription option `no local` is honoured."""
    peer = bench.peer()
    peer.client.subscribe("t", options=SubscribeOptions(qos=0, noLocal=True))
    time.sleep(0.3)
    peer.send("t", b"x")
    return not peer.drain(), "its own message does not come back"


def websockets(bench: Bench) -> Finding:
    """MQTT over WebSockets."""
    answers = {}
    for v5 in (True, False):
        try:
            peer = bench.peer(ws=True, v5=v5)
            peer.listen("t")
            peer.send("t", FRAME)
            answers[v5] = "works" if peer.next().payload == FRAME else "garbled"
        except Exception as error:  # noqa: BLE001 - the finding is that it fails, and how
            answers[v5] = repr(error)
    return answers[True] == "works", f"MQTT 5: {answers[True]}; 3.1.1: {answers[False]}"


def slow_reader(bench: Bench) -> Finding:
    """40 MB of frames at 500 a second to a healthy client and to one that does not read, which then wakes up."""
    slow, healthy, sender = bench.peer(), bench.peer(), bench.peer()
    slow.listen("t")
    healthy.listen("t")
    slow.client.loop_stop()
    before = psutil.Process(bench.pid).memory_info().rss
    delays = []
    healthy.client.on_message = lambda _c, _d, message: delays.append(
        time.monotonic() - struct.unpack_from("d", message.payload)[0]
    )
    for _ in range(SLOW_COUNT):
        sender.client.publish("t", struct.pack("d", time.monotonic()) + FRAME)
        time.sleep(0.002)
    time.sleep(QUIET_S)
    grown = (psutil.Process(bench.pid).memory_info().rss - before) / 1e6
    slow.client.loop_start()
    backlog = len(slow.drain())
    worst = sorted(delays)[int(len(delays) * 0.99)] * 1000 if delays else float("nan")
    detail = (
        f"the healthy client got {len(delays)} of {SLOW_COUNT}, p99 {worst:.1f} ms; broker grew {grown:.0f} MB; "
        f"the slow one then got {backlog} old frames, disconnected: {not slow.gone.empty()}"
    )
    return len(delays) == SLOW_COUNT, detail


def mqtt311(bench: Bench) -> Finding:
    """A client of MQTT 3.1.1, the default of `mosquitto_sub`, is served on the same port."""
    peer = bench.peer(v5=False)
    peer.listen("t")
    peer.send("t", b"x")
    return peer.next().payload == b"x", "a message to itself"


def garbage(bench: Bench) -> Finding:
    """Malformed connections do no harm."""
    for junk in (os.urandom(2000), b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\xff\xff", b"\x30\x00", b""):
        with contextlib.suppress(OSError), socket.create_connection((HOST, bench.port), timeout=1) as link:
            link.sendall(junk)
            link.recv(10)
    peer = bench.peer()
    peer.listen("t")
    peer.send("t", b"x")
    return peer.next().payload == b"x", "serves on after malformed connections"


def footprint(bench: Bench) -> Finding:
    """Time to start, and memory."""
    rss = psutil.Process(bench.pid).memory_info().rss / 1e6
    return None, f"answers {bench.started_ms:.0f} ms after its start was asked for, RSS {rss:.0f} MB"


BOTH: list[Callable[[Bench], Finding]] = [will, retained, big, mqtt311, qos1, takeover, websockets]
BOTH += [slow_reader, garbage, footprint]
ONLY_5: list[Callable[[Bench], Finding]] = [properties, expiry, aliases, broker_limit, client_limit, no_local]
