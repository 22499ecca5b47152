"""A bundle as `vp push` sends it: its reference, its chunks, and the signed number of a switch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.bundle import signing
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.protocol.bundle_pointer import MAX_MANIFEST_BYTES, MAX_MODEL_BYTES, BundlePointer, BundleRef
from vp_mqtt.protocol.chunks import ChunkError, split
from vp_mqtt.protocol.topics import Topics

_MAX_AHEAD_MS = 86_400_000  # of clocks of operators, at most


@dataclass(frozen=True, slots=True)
class Package:
    """A bundle as it is pushed.

    Attributes:
        bundle: where it comes from.
        ref: what the site's pointer calls it.
        manifest: the canonical manifest.
        models: of its variants, by index.
    """

    bundle: Bundle
    ref: BundleRef
    manifest: bytes
    models: list[bytes]

    def chunks(self, names: Topics, size: int) -> dict[str, bytes]:
        """Return the bundle's chunks by topic, the manifest's first.

        Args:
            names: of the site.
            size: bytes of a file in a chunk, at least 1.

        Raises:
            UserError: a file needs too many chunks of this size.
        """
        digest = self.ref.digest
        try:
            chunks = {names.manifest(digest, index): chunk for index, chunk in enumerate(split(self.manifest, size))}
            for variant, model in enumerate(self.models):
                chunks |= {names.model(digest, variant, index): c for index, c in enumerate(split(model, size))}
        except ChunkError as error:
            raise UserError(f"{self.bundle.folder}: {error}; allow larger ones with --chunk-bytes") from None
        return chunks


def pack(bundle: Bundle, signing_key: Path | None) -> Package:
    """Return a bundle as it is pushed.

    Args:
        bundle: the bundle.
        signing_key: private key (PEM) to sign it with; None for no signature.

    Raises:
        UserError: a file of the bundle is missing, damaged or too large, or the key cannot be used.
    """
    manifest = bundle.manifest
    data = manifest.canonical()
    if len(data) > MAX_MANIFEST_BYTES:
        raise UserError(f"{bundle.folder}: a manifest of more than {MAX_MANIFEST_BYTES:,} bytes is not pushed")
    signature = signing.sign(data, signing_key) if signing_key is not None else None
    models = [bundle.model_bytes(entry.index) for entry in manifest.variants]
    if any(len(model) > MAX_MODEL_BYTES for model in models):
        raise UserError(f"{bundle.folder}: a model of more than {MAX_MODEL_BYTES:,} bytes is not pushed")
    ref = BundleRef(name=manifest.name, digest=manifest.digest.hex(), signature=signature)
    return Package(bundle, ref, data, models)


def numbered(ref: BundleRef, before: BundlePointer | None, site: str, signing_key: Path | None) -> BundleRef:
    """Return a reference to a bundle with a signed number, which is greater than those of all switches before.

    Args:
        ref: the bundle that a site is to switch to.
        before: the site's pointer.
        site: the site's name.
        signing_key: private key (PEM); None for no number.

    Raises:
        UserError: the bundle and the site's switches were signed, and there is no key, or it cannot be used.
    """
    now = int(time.time() * 1000)
    numbers = [one.switch or 0 for one in before.refs()] if before is not None else []
    # Anyone who may publish can claim a number: one from the far future must not use up all that come before.
    last = max((number for number in numbers if number < now + _MAX_AHEAD_MS), default=0)
    if signing_key is None:
        if last and ref.signature is not None:
            raise UserError(f"the bundle '{ref.name}' was signed: to return to it, name the key, --sign KEY")
        return ref.model_copy(update={"switch": None, "switch_signature": None})
    number = max(now, last + 1)
    signature = signing.sign(signing.switch_statement(site, ref.digest, number), signing_key)
    return ref.model_copy(update={"switch": number, "switch_signature": signature})


def warn_of_unsigned(ref: BundleRef, before: BundlePointer, site: str) -> None:
    """Log that a bundle is not signed, if its switch is, or one of those before: nodes with a key will refuse it."""
    if ref.signature is None and any(one.switch is not None for one in (ref, *before.refs())):
        LOGGER.warning(
            "the bundle '%s' is not signed, as the switches of site '%s' are or were: nodes with a key will refuse it; "
            "vp push BUNDLE --sign KEY signs it",
            *(ref.name, site),
        )
