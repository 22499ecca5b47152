"""The page on which frames that are worth a look get their labels, and pictures are captured."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from typing import Any
from urllib.parse import urlencode

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vp_mqtt.inference.pictures import PictureError
from vp_mqtt.web.cards.classes import class_cards
from vp_mqtt.web.context import Context
from vp_mqtt.web.pages import events
from vp_mqtt.web.pages.teach_forms import Answers, as_number, page_to_return_to, picked
from vp_mqtt.web.security.forms import Form, changes
from vp_mqtt.web.security.people import PageRole
from vp_mqtt.web.teaching.collection import CollectionError
from vp_mqtt.web.teaching.studio import Studio

_SHOWN = 24
_BURST, _BURST_EVERY_S, _BURST_LONGEST_S = 10, 0.3, 6.0


class _TeachPage:
    """The queue, classes, and capturing."""

    def __init__(self, context: Context, studio: Studio) -> None:
        self._context = context
        self._teaching = studio.teaching
        self._answers = Answers(studio.notes)

    def routes(self) -> list[Route]:
        """Return the routes."""
        endpoint = self._answers.endpoint
        return [
            Route("/teach", self._page, name="teach"),
            Route("/teach/frames/{number}", self._picture),
            Route("/teach/waiting", self._waiting),
            Route("/teach/label", endpoint(self._label), methods=["POST"]),
            Route("/teach/undo", endpoint(self._undo), methods=["POST"]),
            Route("/teach/classes", endpoint(self._create), methods=["POST"]),
            Route("/teach/capture", changes(PageRole.OPERATOR)(self._capture), methods=["POST"]),
        ]

    async def _page(self, request: Request) -> Response:
        values = await to_thread.run_sync(self._read)
        with self._context.listener.view() as view:
            now = time.monotonic()
            live = {name: view.is_live(name, now) for name in view.cameras(now)}
        # Those that have stopped come last.
        cameras = sorted(live, key=lambda name: not live[name])
        camera, into = request.query_params.get("camera", ""), request.query_params.get("into", "")
        return self._context.templates.page(
            request,
            "teach.html",
            cameras=cameras,
            stopped={name for name in cameras if not live[name]},
            camera=camera if camera in cameras else next(iter(cameras), ""),
            into=into,
            problem=self._answers.problem(request),
            problems=events.problems(self._context),
            is_kept=bool(self._context.settings.queue_frames),
            **values,
        )

    def _read(self) -> dict[str, Any]:
        queue = self._teaching.queue
        values: dict[str, Any] = {
            "classes": class_cards(self._teaching.collection.classes()),
            "undoable": self._teaching.actions.last(),
            "fault": queue.problem,
        }
        try:
            return values | {"frames": queue.page(_SHOWN), "waiting": queue.waiting(), "newest": queue.newest()}
        except sqlite3.Error as error:
            return values | {"frames": [], "waiting": 0, "newest": 0, "fault": str(error)}

    async def _picture(self, request: Request) -> Response:
        number, found = as_number(request.path_params["number"]), None
        with contextlib.suppress(sqlite3.Error):
            found = None if number is None else await to_thread.run_sync(self._teaching.queue.picture, number)
        if found is None:
            return PlainTextResponse("No picture\n", 404)
        return Response(found, media_type="image/jpeg")

    async def _waiting(self, request: Request) -> Response:
        """Return whether frames have come since the page was shown."""
        shown, newest = as_number(request.query_params.get("shown", "")), 0
        # What keeps the queue from being read, such as a full disk, the page itself says.
        with contextlib.suppress(sqlite3.Error):
            newest = await to_thread.run_sync(self._teaching.queue.newest)
        html = self._context.templates.render("parts/newer.html", is_newer=shown is not None and newest > shown)
        return Response(html, media_type="text/html")

    def _label(self, form: Form) -> str:
        numbers = [number for value in picked(form) if (number := as_number(value)) is not None]
        if "dismiss" in form:
            self._teaching.dismiss(numbers)
        else:
            self._teaching.label(numbers, form.get("class", ""))
        return "/teach"

    def _undo(self, form: Form) -> str:
        self._teaching.actions.undo()
        return page_to_return_to(form)

    def _create(self, form: Form) -> str:
        self._teaching.create(form.get("name", ""))
        return "/teach"

    async def _capture(self, _request: Request, form: Form) -> Response:
        """Put the next frames of a camera into a class: one for the page's script, else a burst."""
        if form.get("count") == "1":
            kept, problem = await self._burst(form, 1, 0.0)
            return PlainTextResponse(problem or str(kept), 409 if problem else 200)
        kept, problem = await self._burst(form, _BURST, _BURST_LONGEST_S)
        if not kept and not problem:
            problem = "all pictures look like ones that were captured before: move the thing or the camera"
        chosen = {"camera": form.get("camera", ""), "into": form.get("class", "")}
        return self._answers.page(f"/teach?{urlencode(chosen)}", problem)

    async def _burst(self, form: Form, wanted: int, longest_s: float) -> tuple[int, str]:
        """Capture pictures; return how many, and what went wrong."""
        camera, name = form.get("camera", ""), form.get("class", "")
        kept, seen = 0, set[str]()
        until = time.monotonic() + longest_s
        while True:
            with self._context.listener.view() as view:
                frame, is_live = view.frames(camera).shown(), view.is_live(camera, time.monotonic())
                jpeg = None if frame is None else frame.picture
            if is_live and frame is not None and jpeg is not None and frame.frame not in seen:
                seen.add(frame.frame)
                try:
                    kept += await to_thread.run_sync(self._teaching.capture, name, camera, frame.frame, jpeg)
                except (CollectionError, OSError, PictureError) as error:
                    return kept, str(error)
            if kept >= wanted or time.monotonic() >= until:
                if jpeg is not None:
                    return kept, "" if seen else f"{camera} has stopped: its newest picture is an old one"
                return kept, f"no picture of {camera or 'a camera'} has come"
            await asyncio.sleep(_BURST_EVERY_S)


def routes(context: Context) -> list[Route]:
    """Return the routes of the queue and of capturing; none where nothing can be taught."""
    return [] if context.studio is None else _TeachPage(context, context.studio).routes()
