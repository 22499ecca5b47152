"""The settings of every role."""

from __future__ import annotations

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.settings import CommonSettings, FusionSettings, PushSettings, VariantSettings, WatchSettings
from vp_mqtt.config.web_settings import WebSettings

ROLES: dict[str, type[CommonSettings]] = {
    model.role: model
    for model in (CameraSettings, VariantSettings, FusionSettings, WatchSettings, PushSettings, WebSettings)
}
"""The settings by role, and thus by name of their table in a TOML file."""
