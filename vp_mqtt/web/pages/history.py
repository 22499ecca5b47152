"""The history page: changes of states, with their pictures."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any
from urllib.parse import urlencode

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vp_mqtt.web.context import Context
from vp_mqtt.web.history.store import PAGE_SIZE, Entry, Filter, History
from vp_mqtt.web.pages import events

_UNKNOWN = "unknown"
"""What the choice of labels calls it: no class can have this value, since theirs begin with "="."""


def _filter_of(request: Request) -> Filter:
    query = request.query_params
    label = query.get("label", "")
    return Filter(
        camera=query.get("camera") or None,
        label=label[1:] if label.startswith("=") else None,
        is_unknown=label == _UNKNOWN,
        is_disputed=query.get("disputed") == "1",
    )


def _older(wanted: Filter, last: Entry) -> str:
    """Return the address of the page after this one."""
    label = _UNKNOWN if wanted.is_unknown else "" if wanted.label is None else f"={wanted.label}"
    values = {
        "camera": wanted.camera or "",
        "label": label,
        "disputed": "1" if wanted.is_disputed else "",
        "before": str(last.number),
    }
    return "/history?" + urlencode({name: value for name, value in values.items() if value})


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 19 else None  # noqa: PLR2004


def routes(context: Context) -> list[Route]:
    """Return the routes of the history; a page that says so where none is kept."""
    history = context.history

    async def page(request: Request) -> Response:
        wanted = _filter_of(request)
        values = await to_thread.run_sync(_read, history, wanted, _number(request.query_params.get("before")))
        return context.templates.page(
            request,
            "history.html",
            wanted=wanted,
            is_kept=history is not None,
            days=context.settings.history_days,
            problems=events.problems(context),
            **values,
        )

    async def picture(request: Request) -> Response:
        number, found = _number(request.path_params["number"]), None
        if history is not None and number is not None:
            with contextlib.suppress(sqlite3.Error):
                found = await to_thread.run_sync(history.picture, number)
        if found is None:
            return PlainTextResponse("No picture\n", 404)
        return Response(found, media_type="image/jpeg")

    return [Route("/history", page, name="history"), Route("/history/{number}/picture", picture)]


def _read(history: History | None, wanted: Filter, before: int | None) -> dict[str, Any]:
    """Return what the page shows of the history."""
    empty: dict[str, Any] = {"entries": [], "cameras": [], "labels": [], "older": None, "fault": None}
    if history is None:
        return empty
    try:
        found = history.page(wanted, before, PAGE_SIZE + 1)
        entries = found[:PAGE_SIZE]
        return {
            "entries": entries,
            "cameras": history.cameras(),
            "labels": history.labels(),
            "older": _older(wanted, entries[-1]) if len(found) > PAGE_SIZE else None,
            "fault": history.problem,
        }
    except sqlite3.Error as error:
        return {**empty, "fault": str(error)}
