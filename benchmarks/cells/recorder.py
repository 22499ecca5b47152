"""Writes what a client hears at a broker to standard output, as JSON lines: run as a module in a namespace."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path

from vp_mqtt.config.loading import load
from vp_mqtt.config.settings import WatchSettings
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import connected

_KINDS = ("announce", "label", "state")


def run(config: Path, site: str) -> None:
    """Record announces, labels and states until standard input ends."""

    def note(message: Received) -> None:
        if not message.retained:
            line = {"at": time.time(), "topic": message.topic, "payload": base64.b64encode(message.payload).decode()}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()

    settings = load(WatchSettings, {}, config)
    topics = [(f"vp/{site}/camera/+/{kind}", 0) for kind in _KINDS]
    with connected(
        settings.broker_options(), client_id="recorder", subscriptions=topics, on_message=note, timeout_s=30
    ):
        sys.stdin.read()


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
