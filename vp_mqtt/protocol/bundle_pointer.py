"""The pointer: a retained message that says which bundle a site runs. A switch changes nothing else."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vp_mqtt.protocol.bundle_names import BundleName
from vp_mqtt.protocol.messages import Message

MAX_MANIFEST_BYTES = 4_000_000
"""Of a manifest fetched from the broker; larger ones are refused."""
MAX_MODEL_BYTES = 64_000_000
"""Of a model fetched from the broker; larger ones are refused."""

SHORT_DIGITS = 8
"""Hexadecimal digits of the short digest, by which votes name their bundle."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BundleRef(Message):
    """A bundle at the broker, identified by its digest."""

    name: BundleName
    digest: Digest = Field(description="SHA-256 of the canonical manifest, in hexadecimal")
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")] | None = Field(
        default=None, description="Ed25519 signature of the canonical manifest (RFC 8032), in hexadecimal"
    )
    switch: Annotated[int, Field(ge=1, lt=2**53)] | None = Field(
        default=None,
        description="number of the switch to it: ms since 1970, and greater than that of the switch before",
    )
    switch_signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")] | None = Field(
        default=None, description="Ed25519 signature of site, digest and number of the switch, in hexadecimal"
    )


class BundlePointer(Message):
    """The bundle that a site runs, and the one before it."""

    format: Literal[1] = 1
    current: BundleRef | None = Field(default=None, description="null during the first push")
    previous: BundleRef | None = Field(default=None, description="what `vp push --rollback` returns to")
    next: BundleRef | None = Field(default=None, description="what the site will switch to: nodes fetch it in advance")
    pushed: Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)] = Field(
        description="on the wall clock of `vp push`, in seconds since 1970, for people"
    )

    @model_validator(mode="after")
    def _tells_its_bundles_apart(self) -> Self:
        digests = self.digests()
        if len({digest[:SHORT_DIGITS] for digest in digests}) < len(digests):
            raise ValueError("two bundles have one short digest")
        return self

    def prepared(self, ref: BundleRef, pushed: float) -> BundlePointer:
        """Return the pointer that makes nodes fetch a bundle, but not switch to it."""
        return BundlePointer(current=self.current, previous=self.previous, next=ref, pushed=pushed)

    def switched(self, ref: BundleRef, pushed: float) -> BundlePointer:
        """Return the pointer that makes nodes switch to a bundle."""
        is_same = self.current is not None and ref.digest == self.current.digest
        return BundlePointer(current=ref, previous=self.previous if is_same else self.current, pushed=pushed)

    def refs(self) -> list[BundleRef]:
        """Return the bundles in the pointer, the current one last."""
        return [ref for ref in (self.next, self.previous, self.current) if ref is not None]

    def digests(self) -> set[str]:
        """Return the digests of the bundles in the pointer: those that are kept."""
        return {ref.digest for ref in self.refs()}
