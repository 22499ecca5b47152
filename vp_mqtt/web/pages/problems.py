"""What is wrong with the site, for pages that have no stream."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from vp_mqtt.web.context import Context
from vp_mqtt.web.pages import events


def routes(context: Context) -> list[Route]:
    """Return the route of the part that these pages ask for again and again."""

    async def part(_: Request) -> Response:
        return HTMLResponse(context.templates.render("parts/problems.html", problems=events.problems(context)))

    return [Route("/problems", part)]
