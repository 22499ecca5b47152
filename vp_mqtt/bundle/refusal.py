"""What a node's status says of a site's bundle that the node does not accept: for people, and for `vp push`. Pure."""

from __future__ import annotations

from vp_mqtt.protocol.bundle_pointer import SHORT_DIGITS, BundleRef


def refusal(ref: BundleRef, reason: str) -> str:
    """Return what is said of a bundle that is not followed, for as long as the site does not switch again."""
    return f"'{ref.name}' {_refused(ref.digest)}{reason}"


def is_refusal(problem: str, digest: str) -> bool:
    """Return whether a node's problem, in its status, is that it does not accept the bundle with this digest."""
    return _refused(digest) in problem


def _refused(digest: str) -> str:
    return f"({digest[:SHORT_DIGITS]}) is not accepted: "
