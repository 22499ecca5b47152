"""What the fusion node makes of messages that are valid each by itself, in any order."""

from __future__ import annotations

import json
from collections import Counter

from tests.support.fusing import manifest
from vp_mqtt.fusion.handover import Handover
from vp_mqtt.fusion.windows import Windows
from vp_mqtt.logs import Refusals
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.fusion_inbox import MessageArrived
from vp_mqtt.nodes.fusion_messages import FusionMessages
from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.topics import Kind, Topic
from vp_mqtt.protocol.votes import Vote

_FAMILY = manifest((1.0, 1.0, 1.0), 3)


def statuses(data: bytes) -> None:
    """Statuses of nodes, true or not, one after the other: the fusion node takes them, and knows a bounded number."""
    handover = Handover(suspect_after=2)
    windows = Windows(handover, deadline=0.25)
    windows.add_family(_FAMILY, 0.0)
    messages = FusionMessages(windows, handover, Refusals(), None)
    for place, start in enumerate(range(0, len(data), 16)):
        name = f"v{data[start] % 4}"
        payload = data[start:] if data[start] % 2 else _status(name, data[start : start + 16])
        topic = Topic("home", Kind.STATS if data[start] % 5 == 0 else Kind.STATUS, name)
        message = Received(f"vp/home/node/{name}/status", payload, None, float(place), retained=data[start] % 3 == 0)
        assert messages.handle(MessageArrived(topic, message), float(place)) == []
        messages.tick(float(place))
    assert len(messages.nodes.names()) <= 4
    family = handover.leader
    assert family.liveness.alive() <= family.liveness.expected() <= set(range(len(family.weights)))


def _status(name: str, data: bytes) -> bytes:
    state = ("online", "offline", "stopped", "?")[data[-1] % 4]
    digest = _FAMILY.short_digest.hex() if data[-1] % 8 else "00000000"
    fields = {"state": state, "node": name, "role": "variant", "version": "0", "host": "h", "client_id": "c"}
    numbers = {"instance": f"{data[0]:08x}", "started": float(data[-1]), "variant": data[0] % 6, "digest": digest}
    return json.dumps(fields | numbers).encode()


def sequences(data: bytes) -> None:
    """Frames of one camera in any order, with jumps and repetitions: each gets one label, whatever came before."""
    windows, variants = Windows(handover := Handover(suspect_after=2), deadline=1.0), range(2)
    windows.add_family(_FAMILY, 0.0)
    for variant in variants:
        windows.set_node(f"v{variant}", (_FAMILY.short_digest, variant), 0.0)
    vote = Vote((0,), (0.1,), _FAMILY.short_digest)
    labels, announced = Counter[FrameId](), set()
    for place, start in enumerate(range(0, len(data), 5)):
        run, *rest = data[start : start + 5]
        frame, now = FrameId(run % 3, int.from_bytes(bytes(rest), "big")), place / 8
        results = windows.expire(now)
        if run % 4:
            results += windows.announce("cam", Announce(frame, 0.0), now)
            announced.add(frame)
        if run % 8 < 6:
            results += windows.vote("cam", frame, run % 2, vote, now)
        labels.update(result.announce.frame for result in results)
    labels.update(result.announce.frame for result in windows.expire(1e9))
    assert set(labels) <= announced
    assert max(labels.values(), default=1) == 1
    assert windows.next_deadline() is None
    assert handover.leader.liveness.alive() == set(variants)
    # Whatever came before, a new run is labelled like any other.
    last = FrameId(9, 0)
    assert windows.announce("cam", Announce(last, 0.0), 1e9) == []
    due = [result for variant in variants for result in windows.vote("cam", last, variant, vote, 1e9)]
    assert [result.announce.frame for result in due] == [last]
