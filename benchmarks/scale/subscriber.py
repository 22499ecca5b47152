"""A bare paho client that counts messages and does nothing else (`python -m benchmarks.scale.subscriber PORT FILTER`).

Whenever a line arrives on its standard input, it prints its count.
"""

from __future__ import annotations

import sys

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from vp_mqtt.local.ports import HOST


def main() -> None:
    """Count until the standard input ends."""
    port, topic_filter = int(sys.argv[1]), sys.argv[2]
    count = 0

    def receive(_client: mqtt.Client, _data: object, _message: mqtt.MQTTMessage) -> None:
        nonlocal count
        count += 1

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="scale-counter", protocol=mqtt.MQTTv5)
    client.on_message = receive
    client.on_connect = lambda client, *_: client.subscribe(topic_filter)
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.connect(HOST, port)
    client.loop_start()
    for _ in sys.stdin:
        print(count, flush=True)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
