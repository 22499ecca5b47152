"""What a machine writes down of the bundles that it has run, beside the bundles in its cache."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from vp_mqtt.protocol.bundle_pointer import BundleRef, Digest
from vp_mqtt.protocol.messages import Message, MessageError

_MAX_RAN = 2
_MAX_HANGS = 8


class RanBundles(Message):
    """The bundles that have run on this machine as a certain variant, the newest first."""

    refs: tuple[BundleRef, ...] = Field(default=(), max_length=_MAX_RAN)

    def with_newest(self, ref: BundleRef) -> RanBundles:
        """Return them with another one that has run."""
        return RanBundles(refs=(ref, *self.without(ref.digest).refs)[:_MAX_RAN])

    def without(self, digest: str) -> RanBundles:
        """Return them without one."""
        return RanBundles(refs=tuple(ref for ref in self.refs if ref.digest != digest))


class NewestSwitch(Message):
    """The newest signed switch that was accepted on this machine."""

    number: int = Field(default=0, ge=0)


class Hangs(Message):
    """The bundles whose model has hung on this machine, the newest last, each as often as it has."""

    digests: tuple[Digest, ...] = Field(default=(), max_length=_MAX_HANGS)

    def with_newest(self, digest: str) -> Hangs:
        """Return them with another one."""
        return Hangs(digests=(*self.digests, digest)[-_MAX_HANGS:])

    def only(self, digests: Iterable[str]) -> Hangs:
        """Return those of certain bundles."""
        kept = set(digests)
        return Hangs(digests=tuple(digest for digest in self.digests if digest in kept))


class ClaimedVariant(Message):
    """The variant that a node of this machine has chosen."""

    variant: int | None = Field(default=None, ge=0)


Record = TypeVar("Record", RanBundles, NewestSwitch, Hangs, ClaimedVariant)


def read_record(path: Path, record: type[Record]) -> Record:
    """Return what was written down; nothing where it is not there or not valid."""
    try:
        return record.decode(path.read_bytes())
    except (OSError, MessageError):
        return record()
