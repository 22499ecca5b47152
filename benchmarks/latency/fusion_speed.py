"""How many votes per second of processor time the fusion node handles, without the network."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.scale import family
from vp_mqtt.fusion.handover import Handover
from vp_mqtt.fusion.label import make_label
from vp_mqtt.fusion.windows import Windows
from vp_mqtt.logs import Refusals
from vp_mqtt.mqtt.message import Received
from vp_mqtt.nodes.fusion_inbox import FusionInbox, MessageArrived
from vp_mqtt.nodes.fusion_messages import FusionMessages
from vp_mqtt.protocol.frames import Announce, FrameId
from vp_mqtt.protocol.messages import AnnounceMessage
from vp_mqtt.protocol.topics import Topics
from vp_mqtt.protocol.votes import encode, select

_DIFFERENT_VOTES = 200
# Slow enough for the gates.
_FRAMES_PER_SECOND_AND_CAMERA = 20.0


def _messages(frames: int, cameras: int, variants: int, digest: bytes) -> Iterator[Received]:
    """Yield the announce and the votes of each frame, as they would arrive."""
    rng = np.random.default_rng(1)
    votes = []
    for _ in range(_DIFFERENT_VOTES):
        probabilities = rng.random(family.CLASSES) ** 4
        votes.append(encode(select(probabilities / probabilities.sum(), family.K, digest)))
    topics = Topics("home")
    names = [(topics.announce(f"cam{c}"), [topics.vote(f"cam{c}", v) for v in range(variants)]) for c in range(cameras)]
    step = 1 / (_FRAMES_PER_SECOND_AND_CAMERA * cameras)
    for number in range(frames):
        frame, at = FrameId(number % cameras, number // cameras), number * step
        announce, vote_topics = names[number % cameras]
        yield Received(announce, AnnounceMessage.of(Announce(frame, 1.0)).encode(), frame.encode(), at)
        for variant, topic in enumerate(vote_topics):
            vote = votes[(number * variants + variant) % _DIFFERENT_VOTES]
            yield Received(topic, vote, frame.encode(), at + step * (variant + 1) / (variants + 2))


def votes_per_second(frames: int, *, cameras: int, variants: int) -> float:
    """Pass messages through the fusion node to encoded labels; return votes per second of processor time.

    Args:
        frames: of all cameras together.
        cameras: whose frames alternate.
        variants: that vote on every frame.

    Raises:
        RuntimeError: a frame got no label, or more than one: the measurement would mean nothing.
    """
    manifest = family.manifest(variants)
    handover = Handover(suspect_after=3)
    windows = Windows(handover, deadline=0.25)
    windows.add_family(manifest, 0.0)
    for variant in range(variants):
        windows.set_node(f"v{variant}", (manifest.short_digest, variant), 0.0)
    refusals = Refusals()
    messages = FusionMessages(windows, handover, refusals, None)
    inbox = FusionInbox(messages, on_refused=refusals.add, on_flooded=lambda: None, on_block=lambda _: None)
    arriving = list(_messages(frames, cameras, variants, manifest.short_digest))
    labels = 0
    began = time.process_time()
    for message in arriving:
        inbox.receive(message)
        inbox.hand_over()
        results = windows.expire(message.at)
        for event in inbox.get(0):
            if isinstance(event, MessageArrived):
                results += messages.handle(event, message.at)
        for result in results:
            make_label(result, valid_for_s=5.0).encode()
            labels += 1
    elapsed = time.process_time() - began
    if labels != frames or refusals.counts:
        raise RuntimeError(f"{labels} labels of {frames} frames; refused: {dict(refusals.counts)}")
    return frames * variants / elapsed
