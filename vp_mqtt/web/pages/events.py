"""Streams of a page's changing parts (server-sent events)."""

from __future__ import annotations

import time

from sse_starlette.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.web.context import Context
from vp_mqtt.web.hub import Fragment, Hub
from vp_mqtt.web.security.gate import Access

_SEND_TIMEOUT_S = 20.0
_PING_S = 15


async def answer(request: Request, hub: Hub, access: Access) -> Response:
    """Return the stream for a browser that opens a page."""
    if request.method == "HEAD":
        # A stream whose body is left out would never end.
        return Response(media_type="text/event-stream")
    person = access.person(request)
    if hub.is_full(is_operator=person is not None and person.is_operator):
        return PlainTextResponse("Too many browsers have this page open\n", 503, {"Retry-After": "30"})
    return EventSourceResponse(
        hub.stream(lambda: access.person(request) is not None),
        send_timeout=_SEND_TIMEOUT_S,
        ping=_PING_S,
        # A reverse proxy that buffers would hold the events back.
        headers={"X-Accel-Buffering": "no"},
    )


def site_fragment(context: Context, view: SiteView, now: float) -> Fragment:
    """Return the part that every page has: what is wrong with the site."""
    return Fragment(context.templates.render("parts/problems.html", problems=view.overview.problems(now)))


def problems(context: Context) -> list[str]:
    """Return what is wrong with the site, a sentence each."""
    with context.listener.view() as view:
        return view.overview.problems(time.monotonic())
