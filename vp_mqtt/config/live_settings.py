"""The settings that a node takes from its site while it runs: the site's retained ones, over its own. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.regions import Rectangle, Region
from vp_mqtt.config.settings import CommonSettings, FusionSettings
from vp_mqtt.protocol.messages import MessageError
from vp_mqtt.protocol.settings_values import (
    MAX_REASON_LETTERS,
    MotionValues,
    SettingsInForce,
    StateValues,
)
from vp_mqtt.protocol.site_settings import MAX_SETTINGS_BYTES, CameraSettingsMessage, FusionSettingsMessage

SettingsT = TypeVar("SettingsT", bound=CommonSettings)

_STATE = ("labels", "window", "hysteresis", "dwell", "timeout")
_MOTION = ("threshold", "area", "hold")


class LiveSettings(Generic[SettingsT]):
    """What is in force: what the site's newest valid settings say, and the node's own settings for the rest.

    Attributes:
        now: the settings in force.
        in_force: the same, as the node's status says it.
    """

    def __init__(
        self,
        own: SettingsT,
        read: Callable[[SettingsT, bytes], tuple[SettingsT, int]],
        describe: Callable[[SettingsT], SettingsInForce],
    ) -> None:
        """Begin with the node's own settings.

        Args:
            own: the node's own.
            read: returns them as a message of the site changes them, and the message's version, or raises a ValueError.
            describe: returns what a status says of settings.
        """
        self._own = own
        self._read = read
        self._describe = describe
        self.now = own
        self.in_force = describe(own)

    def take(self, payload: bytes) -> bool:
        """Take the site's settings, or, if the payload is empty, return to the node's own.

        Returns:
            Whether other settings are in force now.

        Raises:
            MessageError: they are invalid: those before stay in force, and `in_force` says why.
        """
        before = self.now
        if not payload:
            self.now, self.in_force = self._own, self._describe(self._own)
            return self.now != before
        try:
            if len(payload) > MAX_SETTINGS_BYTES:
                raise MessageError("too large")
            self.now, version = self._read(self._own, payload)
        except ValueError as error:
            self.in_force = self.in_force.model_copy(update={"refused": str(error)[:MAX_REASON_LETTERS]})
            raise MessageError(str(error)) from None
        self.in_force = self._describe(self.now).model_copy(update={"version": version})
        return self.now != before


def live_fusion_settings(own: FusionSettings) -> LiveSettings[FusionSettings]:
    """Return what a fusion node takes from its site."""
    return LiveSettings(own, _read_fusion, describe_fusion)


def live_camera_settings(own: CameraSettings) -> LiveSettings[CameraSettings]:
    """Return what a camera node takes from its site."""
    return LiveSettings(own, _read_camera, describe_camera)


def describe_fusion(settings: FusionSettings) -> SettingsInForce:
    """Return what the status of a fusion node says of its settings."""
    values = {name: getattr(settings, f"state_{name}") for name in _STATE}
    return SettingsInForce(unknown=settings.unknown, state=StateValues(**values) if settings.state else None)


def describe_camera(settings: CameraSettings) -> SettingsInForce:
    """Return what the status of a camera node says of its settings."""
    motion = MotionValues(
        gate=settings.motion_gate,
        heartbeat=settings.heartbeat,
        region=_edges(settings.motion_region),
        **{name: getattr(settings, f"motion_{name}") for name in _MOTION},
    )
    return SettingsInForce(regions={region.name: _edges(region.rectangle) for region in settings.region}, motion=motion)


def _read_fusion(own: FusionSettings, payload: bytes) -> tuple[FusionSettings, int]:
    message = FusionSettingsMessage.decode(payload)
    changed: dict[str, object] = {}
    if message.unknown is not None:
        changed["unknown"] = message.unknown
    if message.state is not None:
        changed |= {f"state_{name}": getattr(message.state, name) for name in _STATE}
    return own.model_copy(update=changed), message.version


def _read_camera(own: CameraSettings, payload: bytes) -> tuple[CameraSettings, int]:
    message = CameraSettingsMessage.decode(payload)
    changed: dict[str, object] = {}
    if message.regions is not None:
        changed["region"] = tuple(Region(name, Rectangle(*edges)) for name, edges in message.regions.items())
    if (motion := message.motion) is not None:
        changed |= {f"motion_{name}": getattr(motion, name) for name in _MOTION}
        changed |= {
            "motion_gate": motion.gate,
            "motion_region": Rectangle(*motion.region),
            "heartbeat": motion.heartbeat,
        }
    settings = own.model_copy(update=changed)
    # A region's name may be too long for that of the camera.
    settings.cameras()
    return settings, message.version


def _edges(rectangle: Rectangle) -> tuple[float, float, float, float]:
    return rectangle.left, rectangle.top, rectangle.right, rectangle.bottom
