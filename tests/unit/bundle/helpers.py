"""References to bundles, their chunks at a broker, and manifests with changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.memory_broker import MemoryBroker
from tests.support.statuses import status_of
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME
from vp_mqtt.mqtt.message import Received
from vp_mqtt.protocol.bundle_pointer import BundlePointer, BundleRef
from vp_mqtt.protocol.chunks import split
from vp_mqtt.protocol.messages import State
from vp_mqtt.protocol.topics import Topics

SITE = "home"
NAMES = Topics(SITE)


def ref_of(bundle: Bundle | Path, signature: str | None = None) -> BundleRef:
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    return BundleRef(name=opened.manifest.name, digest=opened.manifest.digest.hex(), signature=signature)


def chunks_of(folder: Path, size: int = 300) -> dict[str, bytes]:
    bundle = open_bundle(folder)
    digest = bundle.manifest.digest.hex()
    chunks = {NAMES.manifest(digest, i): chunk for i, chunk in enumerate(split(bundle.manifest.canonical(), size))}
    for variant in range(len(bundle.manifest.variants)):
        model = bundle.model_bytes(variant)
        chunks |= {NAMES.model(digest, variant, i): chunk for i, chunk in enumerate(split(model, size))}
    return chunks


def publish_bundle(broker: MemoryBroker, folder: Path, size: int = 300) -> BundleRef:
    for topic, chunk in chunks_of(folder, size).items():
        broker.publish(topic, chunk)
    return ref_of(folder)


def pointer(
    current: BundleRef | None = None,
    previous: BundleRef | None = None,
    following: BundleRef | None = None,
    pushed: float = 1.0,
) -> BundlePointer:
    return BundlePointer(current=current, previous=previous, next=following, pushed=pushed)


def status(
    node: str = "fusion",
    *,
    role: str = "fusion",
    state: State = State.ONLINE,
    ready: tuple[str, ...] | None = None,
    digest: str | None = None,
) -> bytes:
    return status_of(node, role, state=state, ready=ready, digest=digest).encode()


def received(topic: str, payload: bytes, at: float = 1.0) -> Received:
    return Received(topic, payload, None, at)


def manifest_fields(folder: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((folder / MANIFEST_NAME).read_bytes())
    return fields


def rewritten(folder: Path, **changes: Any) -> Path:
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest_fields(folder) | changes))
    return folder


def with_variant(folder: Path, index: int, **changes: Any) -> Path:
    variants = manifest_fields(folder)["variants"]
    variants[index] |= changes
    return rewritten(folder, variants=variants)
