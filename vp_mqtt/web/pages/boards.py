"""The boards page: a card for each node, and their response times."""

from __future__ import annotations

import json
import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.web.cards.boards import STRIP_CELLS, board_cards, response_chart
from vp_mqtt.web.context import Context
from vp_mqtt.web.hub import Fragment, Fragments, Hub
from vp_mqtt.web.pages import events

_PERIOD_S = 0.5
_CHART_EVERY_S = 2.0


def routes(context: Context) -> list[Route]:
    """Return the routes of the boards page."""
    templates = context.templates

    def fragments() -> Fragments:
        now = time.monotonic()
        with context.listener.view() as view:
            cards = board_cards(view, now)
            site = events.site_fragment(context, view, now)
            chart = _chart(view, now)
        grid = templates.render("parts/boards.html", cards=cards, cells=STRIP_CELLS)
        found = {
            "problems": site,
            "boards": Fragment(grid, key=tuple(card.key for card in cards)),
            "chart": Fragment(chart, key=int(now // _CHART_EVERY_S)),
        }
        for card in cards:
            html = templates.render("parts/board.html", card=card, cells=STRIP_CELLS)
            found[f"board-{card.key}"] = Fragment(html)
        return found

    hub = Hub(fragments, period_s=_PERIOD_S)

    async def page(request: Request) -> Response:
        with context.listener.view() as view:
            cards = board_cards(view, time.monotonic())
        return templates.page(request, "boards.html", cards=cards, cells=STRIP_CELLS, problems=events.problems(context))

    async def stream(request: Request) -> Response:
        return await events.answer(request, hub, context.access)

    return [Route("/boards", page, name="boards"), Route("/boards/events", stream, methods=["GET"])]


def _chart(view: SiteView, now: float) -> str:
    return json.dumps(response_chart(view, now, time.time(), view.overview.deadline_ms(now)))
