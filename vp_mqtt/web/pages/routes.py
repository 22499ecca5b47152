"""All pages. A further one is a module with a function `routes`, named here, and an entry in `templates/base.html`."""

from __future__ import annotations

from pathlib import Path

from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from vp_mqtt.web.context import Context
from vp_mqtt.web.pages import boards, history, live, metrics, problems, settings, sign_in, teach, teach_class, train

_STATIC = Path(__file__).parents[1] / "static"


def all_routes(context: Context) -> list[BaseRoute]:
    """Return the routes of all pages."""
    return [
        *live.routes(context),
        *boards.routes(context),
        *history.routes(context),
        *metrics.routes(context),
        *problems.routes(context),
        *teach.routes(context),
        *teach_class.routes(context),
        *train.routes(context),
        *settings.routes(context),
        *sign_in.routes(context),
        Mount("/static", StaticFiles(directory=_STATIC), name="static"),
    ]
