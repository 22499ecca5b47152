"""The page's templates. Everything that they are given is escaped: names come from the network."""

from __future__ import annotations

import time
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from vp_mqtt import __version__
from vp_mqtt.web.security.gate import person_of

_DAY_S = 86_400.0


def _clock(since: float | None) -> str:
    """Return a time of day; with the date if it was more than a day ago."""
    if since is None:
        return ""
    form = "%H:%M:%S" if abs(time.time() - since) < _DAY_S else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(since))


def _machine_time(since: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since))


class Templates:
    """Renders the templates in `vp_mqtt/web/templates/`."""

    def __init__(self, site: str) -> None:
        """Prepare for a site of this name."""
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("vp_mqtt.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"clock": _clock, "machine_time": _machine_time}
        self._environment.globals |= {"site": site, "version": __version__}

    def render(self, name: str, **values: Any) -> str:  # noqa: ANN401 (what a template shows)
        """Return a template filled with values."""
        return self._environment.get_template(name).render(**values)

    def page(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:  # noqa: ANN401
        """Return a whole page for the person who asks for it."""
        html = self.render(name, person=person_of(request), path=request.url.path, **values)
        return HTMLResponse(html, status)
