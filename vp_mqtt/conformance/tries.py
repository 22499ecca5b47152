"""The trials: each uses one feature of the broker, and tells what happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from vp_mqtt.conformance.features import Outcome, Verdict
from vp_mqtt.conformance.ground import Ground
from vp_mqtt.mqtt.trial_client import Seen, TrialClient, TrialError, TrialWill

_MARK = b"mark"
_SHORT_S = 0.4
_BURST = 50
_FRAMES = (8_000_000, 1_000_000, 250_000)
_FRAME_WITHIN_S = 15.0
_OVERHEAD_BYTES = 512
_KEEPALIVE_S = 2
_SILENCE_WITHIN_S = 10.0
_SMALL, _LARGE = 2_000, 5_000
_SHARED = 20
_WILL_DELAY_S = 1


def _passed(is_passed: bool, detail: str = "") -> Verdict:  # noqa: FBT001 (what it is about)
    return Verdict(Outcome.YES if is_passed else Outcome.NO, detail)


def _marked(ground: Ground, listener: TrialClient, topic: str) -> list[Seen]:
    """Publish a mark, and return what the listener receives before it and shortly after."""
    ground.client().publish(topic, _MARK)
    seen = listener.until(_MARK)
    if not seen or seen[-1].payload != _MARK:
        raise TrialError("a message to a subscriber did not arrive")
    late = listener.next(_SHORT_S)
    return seen[:-1] + ([late] if late is not None else [])


def qos_1(ground: Ground) -> Verdict:
    """Send a burst with QoS 1: everything arrives, in order."""
    topic = ground.topic("qos")
    listener, sender = ground.listener(topic), ground.client()
    sent = [b"%d" % number for number in range(_BURST)]
    for payload in sent:
        sender.publish(topic, payload, wait_s=0)
    got = [one.payload for one in listener.until(sent[-1])]
    stated = sender.stated.get("ReceiveMaximum")
    return _passed(
        got == sent and sender.stated.get("MaximumQoS", 2) >= 1,
        f"{len(set(got))} of {_BURST}" + ("" if got == sent else ", not once each in order")
        + (f"; it takes {stated} at a time" if stated else ""),
    )  # fmt: skip


def wildcards(ground: Ground) -> Verdict:
    """Subscribe with a wildcard."""
    listener = ground.listener(ground.topic("wild/+"))
    ground.client().publish(ground.topic("wild/one"), _MARK)
    return _passed(bool(listener.until(_MARK)))


def properties(ground: Ground) -> Verdict:
    """Send a message with the properties of a frame."""
    topic = ground.topic("properties")
    sent: dict[str, Any] = {"CorrelationData": b"\0\xff1", "ContentType": "image/jpeg"}
    listener = ground.listener(topic)
    ground.client().publish(topic, _MARK, **sent)
    seen = listener.until(_MARK)
    lost = [name for name, value in sent.items() if not seen or seen[-1].properties.get(name) != value]
    return _passed(not lost, f"lost: {', '.join(lost)}" if lost else "")


def retained(ground: Ground) -> Verdict:
    """Have a message kept, replace it, and clear it, each seen by a new subscriber to its exact topic."""
    topic, sender = ground.topic("retained"), ground.client()
    for payload in (b"one", b"two"):
        ground.retain(sender, topic, payload)
        seen = ground.listener(topic).next()
        if seen is None or seen.payload != payload or not seen.retain:
            return _passed(False, "not kept" if payload == b"one" else "not replaced")
    sender.publish(topic, b"", retain=True)
    left = _marked(ground, ground.listener(topic), topic)
    return _passed(not left, "not cleared by an empty message" if left else "")


def retained_wildcard(ground: Ground) -> Verdict:
    """Have a message kept, and subscribe to it with a wildcard."""
    ground.retain(ground.client(), ground.topic("kept/one"), b"kept")
    listener = ground.listener(ground.topic("kept/+"))
    return _passed(listener.next(2.0) is not None)


def retain_handling(ground: Ground) -> Verdict:
    """Subscribe so that no retained message is sent."""
    topic = ground.topic("handling")
    ground.retain(ground.client(), topic, b"kept")
    return _passed(not _marked(ground, ground.listener(topic, retainHandling=2), topic))


def expiry(ground: Ground) -> Verdict:
    """Have a message kept for one second, and ask for it later."""
    topic = ground.topic("expiry")
    ground.retain(ground.client(), topic, b"old", expiry_s=1)
    ground.pause(2.5)
    return _passed(not _marked(ground, ground.listener(topic), topic))


def aliases(ground: Ground) -> Verdict:
    """Send a message with an alias in place of its topic."""
    topic, sender = ground.topic("alias"), ground.client()
    maximum = sender.stated.get("TopicAliasMaximum", 0)
    if not maximum:
        return _passed(False, "it offers none")
    listener = ground.listener(topic)
    sender.publish(topic, b"first", TopicAlias=1)
    sender.publish("", _MARK, TopicAlias=1)
    return _passed([one.topic for one in listener.until(_MARK)] == [topic, topic], f"{maximum} for each client")


def frame(ground: Ground) -> Verdict:
    """Send a large frame, of the size that the broker states if that is less."""
    stated = ground.client().stated.get("MaximumPacketSize")
    says = "it states no limit" if stated is None else f"it states a limit of {stated:,} bytes"
    most = _FRAMES[0] if stated is None else min(_FRAMES[0], stated - _OVERHEAD_BYTES)
    for size in [most, *(size for size in _FRAMES if size < most)]:
        if _passes(ground, size):
            return _passed(size == _FRAMES[0], f"{size:,} bytes pass; {says}")
    return _passed(False, f"not even {_FRAMES[-1]:,} bytes pass; {says}")


def _passes(ground: Ground, size: int) -> bool:
    topic = ground.topic(f"frame-{size}")
    listener, sender = ground.listener(topic, qos=0), ground.client()
    sender.publish(topic, bytes(size), qos=0)
    seen = listener.next(_FRAME_WITHIN_S) if sender.wait_for_end(_SHORT_S) is None else listener.next(_SHORT_S)
    return seen is not None and len(seen.payload) == size


def client_limit(ground: Ground) -> Verdict:
    """Ask for small packets only."""
    topic = ground.topic("limit")
    listener = ground.client(connect={"MaximumPacketSize": _SMALL})
    listener.subscribe(topic)
    ground.client().publish(topic, bytes(_LARGE))
    return _passed(not _marked(ground, listener, topic))


def will(ground: Ground) -> Verdict:
    """Break a connection that has a will which is to be kept, as a node's status is."""
    topic = ground.topic("will")
    ground.note_retained(topic)
    listener = ground.listener(topic)
    ground.client(will=TrialWill(topic, b"dead", retain=True)).vanish()
    if not listener.until(b"dead"):
        return _passed(False)
    kept = ground.listener(topic).next(2.0)
    return _passed(kept is not None, "" if kept is not None else "published, but not kept")


def will_silence(ground: Ground) -> Verdict:
    """Let a client that has a will fall silent."""
    topic = ground.topic("silence")
    listener = ground.listener(topic)
    client = ground.client(will=TrialWill(topic, b"dead"), keepalive_s=_KEEPALIVE_S)
    client.hush()
    began = time.monotonic()
    told = client.stated.get("ServerKeepAlive")
    within = f"keepalive {_KEEPALIVE_S} s" + (f", which the broker changes to {told} s" if told else "")
    if not listener.until(b"dead", _SILENCE_WITHIN_S):
        return _passed(False, f"not within {_SILENCE_WITHIN_S:g} s ({within})")
    return _passed(True, f"after {time.monotonic() - began:.0f} s ({within})")


def will_delay(ground: Ground) -> Verdict:
    """Break a connection whose will is to wait."""
    topic = ground.topic("delay")
    listener = ground.listener(topic)
    ground.client(will=TrialWill(topic, b"dead", delay_s=_WILL_DELAY_S)).vanish()
    began = time.monotonic()
    if not listener.until(b"dead"):
        return _passed(False, "never published")
    return _passed(time.monotonic() - began > _WILL_DELAY_S / 2)


def takeover(ground: Ground) -> Verdict:
    """Connect two clients with one id."""
    first = ground.client("twice")
    ground.client("twice")
    end = first.wait_for_end(3.0)
    if end is None:
        return _passed(False, "the first client stays connected")
    return _passed(end.endswith("0x8E"), "" if end.endswith("0x8E") else f"{end}, without the reason")


def receive_maximum(ground: Ground) -> Verdict:
    """Acknowledge nothing, and see how many messages come."""
    topic = ground.topic("receive-maximum")
    listener = ground.client(connect={"ReceiveMaximum": 2}, acknowledges=False)
    listener.subscribe(topic)
    sender = ground.client()
    for payload in (b"1", b"2", b"3", b"4"):
        sender.publish(topic, payload)
    got = len(listener.until(b"4", 1.5))
    return _passed(got == 2, "" if got == 2 else f"{got} messages came, 2 were asked for")  # noqa: PLR2004


def shared(ground: Ground) -> Verdict:
    """Share messages among two subscribers."""
    topic = ground.topic("shared")
    members = [ground.client(), ground.client()]
    if not members[0].stated.get("SharedSubscriptionAvailable", 1):
        return _passed(False, "it says that it has none")
    for member in members:
        member.subscribe(f"$share/vp-check/{topic}")
    sender = ground.client()
    for number in range(_SHARED):
        sender.publish(topic, b"%d" % number)
    got = [[one.payload for one in member.until(b"", 1.0)] for member in members]
    counts = " and ".join(str(len(one)) for one in got)
    whole = sorted(got[0] + got[1]) == sorted(b"%d" % number for number in range(_SHARED))
    return _passed(whole, f"{counts} of {_SHARED}")


def retain_as_published(ground: Ground) -> Verdict:
    """Ask for the retain flag as it was sent."""
    topic = ground.topic("as-published")
    listener = ground.listener(topic, retainAsPublished=True)
    ground.retain(ground.client(), topic, _MARK)
    return _passed(any(one.retain for one in listener.until(_MARK)))


def no_local(ground: Ground) -> Verdict:
    """Ask for the messages of others only."""
    topic = ground.topic("no-local")
    listener = ground.listener(topic, noLocal=True)
    listener.publish(topic, b"own")
    return _passed(not _marked(ground, listener, topic))


def user_properties(ground: Ground) -> Verdict:
    """Send a message with user properties."""
    topic, sent = ground.topic("user"), [("a", "1"), ("a", "2")]
    listener = ground.listener(topic)
    ground.client().publish(topic, _MARK, UserProperty=sent)
    seen = listener.until(_MARK)
    return _passed(bool(seen) and list(seen[-1].properties.get("UserProperty", [])) == sent)


TRIES: Mapping[str, Callable[[Ground], Verdict]] = {
    # What takes longest comes first: they run side by side.
    one.__name__: one
    for one in (
        will_silence,
        expiry,
        frame,
        will_delay,
        shared,
        qos_1,
        receive_maximum,
        retained,
        takeover,
        wildcards,
        properties,
        retained_wildcard,
        retain_handling,
        aliases,
        client_limit,
        will,
        retain_as_published,
        no_local,
        user_properties,
    )
}
"""By the key of the feature that they try."""
