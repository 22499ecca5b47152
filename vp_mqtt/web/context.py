"""What the pages share."""

from __future__ import annotations

from dataclasses import dataclass

from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.web.history.store import History
from vp_mqtt.web.listener import Listener
from vp_mqtt.web.security.gate import Access
from vp_mqtt.web.teaching.studio import Studio
from vp_mqtt.web.templating import Templates
from vp_mqtt.web.tuning.desk import SettingsDesk


@dataclass(frozen=True, slots=True)
class Context:
    """What the pages share.

    Attributes:
        settings: of the page.
        listener: hears the site.
        access: who may see the pages.
        templates: render them.
        history: of the site; None if none is kept.
        studio: where classes are taught; None where they are not.
        desk: where the site's settings are changed; None where they are not.
    """

    settings: WebSettings
    listener: Listener
    access: Access
    templates: Templates
    history: History | None = None
    studio: Studio | None = None
    desk: SettingsDesk | None = None
