"""The live page: each camera's picture, state and label, and why."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vp_mqtt.web.cards.cameras import camera_cards
from vp_mqtt.web.context import Context
from vp_mqtt.web.hub import Fragment, Fragments, Hub
from vp_mqtt.web.pages import events


def routes(context: Context) -> list[Route]:
    """Return the routes of the live page."""
    templates = context.templates

    def fragments() -> Fragments:
        now = time.monotonic()
        with context.listener.view() as view:
            cards = camera_cards(view, now)
            site = events.site_fragment(context, view, now)
        grid = templates.render("parts/cameras.html", cards=cards)
        shape = tuple((card.name, card.whole, card.drawing, card.place) for card in cards)
        found = {"problems": site, "cameras": Fragment(grid, key=shape)}
        for card in cards:
            found[f"state-{card.name}"] = Fragment(templates.render("parts/state.html", card=card))
            found[f"frame-{card.name}"] = Fragment(card.frame)
            found[f"detail-{card.name}"] = Fragment(templates.render("parts/detail.html", card=card))
        return found

    hub = Hub(fragments)

    async def page(request: Request) -> Response:
        with context.listener.view() as view:
            cards = camera_cards(view, time.monotonic())
        return templates.page(request, "live.html", cards=cards, problems=events.problems(context))

    async def stream(request: Request) -> Response:
        return await events.answer(request, hub, context.access)

    async def picture(request: Request) -> Response:
        """Return a frame as it was received, or the newest one if that one is gone."""
        with context.listener.view() as view:
            frames = view.frames(request.path_params["camera"])
            seen = frames.get(request.path_params["frame"])
            if seen is None or seen.picture is None:
                seen = frames.shown()
            found = None if seen is None else seen.picture
        if found is None:
            return PlainTextResponse("No picture\n", 404)
        return Response(found, media_type="image/jpeg")

    return [
        Route("/", page, name="live"),
        Route("/live/events", stream, methods=["GET"]),
        Route("/cameras/{camera}/frames/{frame}", picture),
    ]
