"""Where the history is."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.web.history.store import History


def history_of(settings: WebSettings) -> History | None:
    """Return the history that settings name, not opened yet; None if none is to be kept."""
    if settings.history_days == 0:
        return None
    folder = settings.history or default_folder()
    return History(folder / f"{settings.site}.sqlite", days=settings.history_days, megabytes=settings.history_mb)


def default_folder() -> Path:
    """Return the folder of the history unless a setting names one: systemd's for the unit, else the user's."""
    from_systemd = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(from_systemd) if from_systemd else platformdirs.user_data_path("vp-mqtt", appauthor=False) / "history"
