"""The bundle that a node starts with, from the node's settings."""

from __future__ import annotations

from collections.abc import Callable

from vp_mqtt.bundle.fetch import Pause
from vp_mqtt.bundle.folder import Bundle
from vp_mqtt.bundle.follow import BundleOptions, InitialBundle, initial_bundle
from vp_mqtt.config.settings import FamilySettings
from vp_mqtt.nodes import signals


def find_initial_bundle(
    settings: FamilySettings,
    node: str,
    variant: int | None,
    use: Callable[[Bundle, bool], None],
    pause: Pause = signals.wait,
) -> InitialBundle:
    """Return what a node starts with; see `vp_mqtt.bundle.follow.initial_bundle`.

    Args:
        settings: the node's.
        node: name of the node.
        variant: whose model the node needs; None for a fusion node.
        use: loads a bundle, see `vp_mqtt.bundle.initial.Use`.
        pause: called while waiting; by default it notices the signals that end a node which has not started yet.

    Raises:
        UserError: the bundle or the key cannot be used, or the broker refuses us.
        Interrupted: an ending signal came while it was waiting.
    """
    options = BundleOptions(
        bundle=settings.bundle,
        fallback=settings.fallback,
        site=settings.site,
        node=node,
        variant=variant,
        key_file=settings.bundle_key,
        cache_folder=settings.bundle_cache,
    )
    return initial_bundle(options, settings.broker_options(), use, pause)
