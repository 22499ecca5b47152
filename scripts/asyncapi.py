"""Describes topics and payloads as an AsyncAPI 3.0 document: docs/asyncapi.yaml, which a test keeps up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vp_mqtt.protocol.bundle_pointer import BundlePointer
from vp_mqtt.protocol.messages import (
    AnnounceMessage,
    LabelMessage,
    Message,
    State,
    StateMessage,
    StatsMessage,
    StatusMessage,
)
from vp_mqtt.protocol.presence import Presence, PresenceMessage
from vp_mqtt.protocol.site_settings import CameraSettingsMessage, FusionSettingsMessage
from vp_mqtt.protocol.topics import Topics

_BINDING = "0.2.0"
"""Version of AsyncAPI's MQTT bindings."""

WIRE_VERSION = "1.7.0"
"""Of topics and payloads: the middle number grows with changes that old nodes can ignore, the first with all others."""

_FRAME = "1f8c02d4-17"
_DIGEST = "6549ea43" * 8

EXAMPLES: dict[str, Message] = {
    "announce": AnnounceMessage(frame=_FRAME, captured=1795440153.234216, truth="Bag"),
    "label": LabelMessage.model_validate_json(
        b'{"camera": "cam0", "frame": "1f8c02d4-17", "label": "Bag", "class_index": 8, "confidence": 0.98,'
        b' "score": 0.8,'
        b' "top": [{"label": "Bag", "confidence": 0.98}, {"label": "Shirt", "confidence": 0.01}], "voted": [3, 4, 5],'
        b' "missing": [0, 1, 2], "alive": [1, 2, 3, 4, 5], "closed_by": "decided", "latency_ms": 2.453,'
        b' "captured": 1795440153.234216, "valid_for_s": 5.0, "bundle": "fashion-mnist", "digest": "6549ea43",'
        b' "truth": "Bag"}'
    ),
    "state": StateMessage.model_validate_json(
        b'{"camera": "cam0", "label": "Bag", "since": 1795440151.934, "previous": "Shirt", "confidence": 0.9412,'
        b' "agreeing": [1, 2, 3, 4, 5], "reason": "labels", "published": 1795440181.934, "valid_for_s": 90.0,'
        b' "bundle": "fashion-mnist"}'
    ),
    "status": StatusMessage.model_validate_json(
        b'{"state": "online", "node": "variant-2-pi4", "role": "variant", "version": "0.1.0", "host": "pi4",'
        b' "client_id": "vp-home-variant-2-pi4", "instance": "5be3c1aa", "started": 1795440143.614, "variant": 2,'
        b' "bundle": "fashion-mnist", "digest": "6549ea43"}'
    ),
    "stats": StatsMessage.model_validate_json(
        b'{"node": "variant-2-pi4", "uptime_s": 10.0, "counts": {"connections": 1, "frames": 82, "votes": 82},'
        b' "latency_ms": {"p50": 1.522, "p95": 2.443, "p99": 3.357}, "rss_mb": 109.2, "temperature_c": 48.3}'
    ),
    "presence": PresenceMessage(node="variant-2-pi4", presence=Presence.SILENT),
    "bundle": BundlePointer.model_validate_json(
        b'{"format": 1, "current": {"name": "fashion-mnist", "digest": "%s"}, "pushed": 1795440143.614}'
        % _DIGEST.encode()
    ),
    "fusion-settings": FusionSettingsMessage.model_validate_json(
        b'{"format": 1, "version": 7, "changed": 1795440143.614, "unknown": 0.6,'
        b' "state": {"labels": 3, "window": 5, "hysteresis": 2, "dwell": 2.0, "timeout": 30.0}}'
    ),
    "camera-settings": CameraSettingsMessage.model_validate_json(
        b'{"format": 1, "version": 3, "changed": 1795440143.614, "regions": {"door": [0.1, 0.2, 0.4, 0.9]},'
        b' "motion": {"gate": true, "threshold": 12.0, "area": 0.5, "hold": 2.0, "heartbeat": 4.0}}'
    ),
}
"""A message of each kind that travels as JSON."""

_FILE = Path("docs/asyncapi.yaml")

_BINARY = {
    "frame": "A plain JPEG.",
    "capture": "A request for a frame now, or, if the payload is `snapshot`, for a snapshot; no other payload matters.",
    "snapshot": "A camera node's whole picture, as a JPEG, for people: nobody votes on it.",
    "link": "1: the site's broker is connected to that of its head office; 0: it is not. From the broker's bridge.",
    "vote": "The k most probable classes, 8 + 4 k bytes: see wire.md.",
    "manifest": "A chunk of the bundle's canonical manifest: see wire.md.",
    "model": "A chunk of the model of one variant: see wire.md.",
}

_RETAINED = {"state", "status", "presence", "link", "bundle", "manifest", "model", "fusion-settings", "camera-settings"}
_ACKNOWLEDGED = _RETAINED | {"announce", "capture"}

# MQTT 5 properties, by kind of message; all others have none.
_CONTENT_TYPES = {
    "frame": "image/jpeg",
    "announce": "application/json",
    "label": "application/json",
    "state": "application/json",
    "presence": "application/json",
    "bundle": "application/json",
    "snapshot": "image/jpeg",
    "fusion-settings": "application/json",
    "camera-settings": "application/json",
}
_FRAME_ID = {
    "type": "string",
    "format": "binary",
    "minLength": 8,
    "maxLength": 8,
    "description": "Required: the frame's id, 8 bytes, see wire.md. Without it, the message is refused.",
}
_WITH_FRAME_ID = {"frame", "announce", "vote", "label"}
_EXPIRY: dict[str, Any] = {
    "frame": 2,
    "announce": 2,
    "snapshot": 10,
    "label": {"type": "integer", "minimum": 1, "description": "In seconds: the label's `valid_for_s`, rounded up."},
    "state": {"type": "integer", "minimum": 1, "description": "In seconds: the state's `valid_for_s`, rounded up."},
}


def addresses() -> dict[str, str]:
    """Return the topic of every kind of message, with its parameters in braces."""
    topics = Topics("{site}")
    return {
        "frame": topics.frame("{camera}"),
        "announce": topics.announce("{camera}"),
        "vote": topics.vote("{camera}", "{variant}"),
        "label": topics.label("{camera}"),
        "state": topics.state("{camera}"),
        "capture": topics.capture("{camera}"),
        "snapshot": topics.snapshot("{camera}"),
        "status": topics.status("{node}"),
        "stats": topics.stats("{node}"),
        "presence": topics.presence("{node}"),
        "fusion-settings": topics.fusion_settings(),
        "camera-settings": topics.camera_settings("{camera}"),
        "link": topics.link(),
        "bundle": topics.bundle(),
        "manifest": topics.manifest("{digest}", "{chunk}"),
        "model": topics.model("{digest}", "{variant}", "{chunk}"),
    }


def _properties(name: str) -> dict[str, Any]:
    """Return what an MQTT client has to set on a message, and nothing that is not on the wire."""
    bound: dict[str, Any] = {"correlationData": _FRAME_ID} if name in _WITH_FRAME_ID else {}
    content_type = {"contentType": _CONTENT_TYPES[name]} if name in _CONTENT_TYPES else {}
    bound |= content_type
    return content_type | ({"bindings": {"mqtt": {**bound, "bindingVersion": _BINDING}}} if bound else {})


def _last_will() -> dict[str, Any]:
    """Return a node's will, which the broker publishes when its connection breaks: its status, but offline."""
    status = EXAMPLES["status"].model_copy(update={"state": State.OFFLINE})
    return {"topic": addresses()["status"], "qos": 1, "retain": True, "message": status.encode().decode()}


def _message(name: str) -> dict[str, Any]:
    if name in _BINARY:
        return {**_properties(name), "summary": _BINARY[name], "payload": {"type": "string", "format": "binary"}}
    example = EXAMPLES[name]
    schema = type(example).model_json_schema(ref_template=f"#/components/messages/{name}/payload/$defs/{{model}}")
    return {
        **_properties(name),
        "summary": (type(example).__doc__ or "").strip(),
        "payload": {**schema, "contentMediaType": "application/json"},
        "examples": [{"payload": example.model_dump(mode="json", exclude_none=True)}],
    }


def document() -> dict[str, Any]:
    """Return the AsyncAPI document."""
    channels = {
        name: {
            "address": address,
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
            "parameters": {part[1:-1]: {} for part in address.split("/") if part.startswith("{")},
        }
        for name, address in addresses().items()
    }
    operations = {
        f"send-{name}": {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "bindings": {
                "mqtt": {
                    "qos": int(name in _ACKNOWLEDGED),
                    "retain": name in _RETAINED,
                    **({"messageExpiryInterval": _EXPIRY[name]} if name in _EXPIRY else {}),
                    "bindingVersion": _BINDING,
                }
            },
        }
        for name in channels
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "vp-mqtt",
            "version": WIRE_VERSION,
            "description": "Messages between cameras, variants and the fusion node; wire.md has every byte.",
            "license": {"name": "Apache-2.0"},
        },
        "servers": {
            "site": {
                "host": "localhost:1883",
                "protocol": "mqtt",
                "protocolVersion": "5.0",
                "bindings": {
                    "mqtt": {
                        "clientId": "vp-{site}-{node}",
                        "cleanSession": True,
                        "lastWill": _last_will(),
                        "bindingVersion": _BINDING,
                    }
                },
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": {name: _message(name) for name in channels}},
    }


def write(path: Path = _FILE) -> None:
    """Write the document as YAML."""
    text = yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)
    path.write_text("# Written by scripts/write-asyncapi; do not edit.\n" + text, encoding="utf-8")


if __name__ == "__main__":
    write()
