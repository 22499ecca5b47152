"""The page of the settings that people change while the site runs: thresholds, states, regions, motion gate."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.protocol.site_settings import SNAPSHOT
from vp_mqtt.protocol.topics import is_name
from vp_mqtt.web.cards.settings import CameraSettingsCard, camera_settings_cards, former_lines, fusion_card
from vp_mqtt.web.context import Context
from vp_mqtt.web.pages import events
from vp_mqtt.web.pages.teach_forms import Answers, as_number
from vp_mqtt.web.security.forms import Form, changes
from vp_mqtt.web.security.gate import person_of
from vp_mqtt.web.security.people import PageRole
from vp_mqtt.web.teaching.notes import Notes
from vp_mqtt.web.tuning import forms
from vp_mqtt.web.tuning.desk import SettingsDesk

_PAGE = "/settings"
_SHOWN = 20
_FRESH_S = 20.0
_PATIENCE_S, _LOOK_EVERY_S = 5.0, 0.1
_TAKEN_WITHIN_S = 2.0
_CAMERA = "camera:"


class _SettingsPage:
    """Shows the settings in force, and changes the site's."""

    def __init__(self, context: Context, desk: SettingsDesk) -> None:
        self._context = context
        self._desk = desk
        self._answers = Answers(Notes())

    def routes(self) -> list[Route]:
        """Return the routes."""
        posts = {
            "fusion": self._change_fusion,
            "camera": self._change_camera,
            "clear": self._clear,
            "undo": self._undo,
            "restore": self._restore,
        }
        return [
            Route(_PAGE, self._page, name="settings"),
            Route(f"{_PAGE}/in-force", self._in_force),
            Route(f"{_PAGE}/pictures/{{camera}}", self._picture),
            *(Route(f"{_PAGE}/{name}", self._endpoint(change), methods=["POST"]) for name, change in posts.items()),
        ]

    async def _page(self, request: Request) -> Response:
        person = person_of(request)
        values = await to_thread.run_sync(self._read)
        if "waits" in request.query_params and not values["fusion"] and not values["cameras"]:
            # The page stays as it is.
            return Response(status_code=204)
        after = {card.camera: card.snapshot - 1 for card in values["cameras"]}
        if person is not None and person.is_operator:
            after = {card.camera: self._ask(card) for card in values["cameras"]}
        return self._context.templates.page(
            request,
            "settings.html",
            problem=self._answers.problem(request),
            problems=events.problems(self._context),
            saved="saved" in request.query_params,
            after=after,
            **values,
        )

    def _read(self) -> dict[str, Any]:
        now = time.monotonic()
        with self._context.listener.view() as view:
            fusion = fusion_card(view, self._desk, now)
            cameras = camera_settings_cards(view, self._desk, now)
        fault, former = self._desk.store.problem, []
        with contextlib.suppress(sqlite3.Error):
            former = self._desk.store.newest(_SHOWN)
        undoable = {self._of(entry.topic) for entry in former}
        return {
            "fusion": fusion,
            "cameras": cameras,
            "former": former_lines(former),
            "undoable": undoable,
            "fault": fault,
        }

    def _ask(self, card: CameraSettingsCard) -> int:
        """Ask for a picture where the newest one is old; return the number that the one to show has to exceed."""
        if card.snapshot and card.taken < _FRESH_S:
            return card.snapshot - 1
        asks = Outgoing(self._desk.topics.capture(card.camera), SNAPSHOT, qos=1)
        return card.snapshot - (self._context.listener.publish(asks) is None)

    async def _picture(self, request: Request) -> Response:
        """Return a camera's whole picture, a newer one than that of a number, if it comes in time."""
        camera = request.path_params["camera"]
        after = as_number(request.query_params.get("after", "")) or 0
        until = time.monotonic() + _PATIENCE_S
        while True:
            with self._context.listener.view() as view:
                snapshot, frame = view.snapshots.get(camera), view.frames(camera).shown()
            if snapshot is not None and (snapshot.number > after or time.monotonic() > until):
                return Response(snapshot.picture, media_type="image/jpeg")
            if time.monotonic() > until or "after" not in request.query_params:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        if frame is None or frame.picture is None:
            return PlainTextResponse("No picture\n", 404)
        return Response(frame.picture, media_type="image/jpeg")

    async def _in_force(self, request: Request) -> Response:
        """Return the part that says which nodes work with the settings."""
        of, part = request.query_params.get("of", ""), request.query_params.get("id", "")
        with self._context.listener.view() as view:
            now = time.monotonic()
            if of.startswith(_CAMERA):
                cards = camera_settings_cards(view, self._desk, now)
                nodes = next((card.nodes for card in cards if card.camera == of.removeprefix(_CAMERA)), ())
            else:
                card = fusion_card(view, self._desk, now)
                nodes = () if card is None else card.nodes
        return HTMLResponse(self._context.templates.render("parts/in_force.html", of=of, id=part, nodes=nodes))

    def _endpoint(self, change: Callable[[Form, str], None]) -> Callable[[Request], Any]:
        @changes(PageRole.OPERATOR)
        async def changed(request: Request, form: Form) -> Response:
            person = person_of(request)
            name = "" if person is None else person.name

            def change_and_return() -> str:
                change(form, name)
                self._wait_until_taken()
                return f"{_PAGE}?saved=1"

            return await self._answers.attempt(change_and_return, _PAGE)

        return changed

    def _wait_until_taken(self) -> None:
        """Wait until the nodes say that they work with the newest settings: the page is to show them next."""
        until = time.monotonic() + _TAKEN_WITHIN_S
        while (now := time.monotonic()) < until:
            with self._context.listener.view() as view:
                fusion, cameras = fusion_card(view, self._desk, now), camera_settings_cards(view, self._desk, now)
            nodes = [*(fusion.nodes if fusion else ()), *(node for card in cameras for node in card.nodes)]
            if not any(node.kind == "waits" for node in nodes):
                return
            time.sleep(_LOOK_EVERY_S)

    def _change_fusion(self, form: Form, person: str) -> None:
        topic = self._desk.topics.fusion_settings()
        self._desk.change(topic, forms.fusion_settings(form), form.get("mark", ""), person)

    def _change_camera(self, form: Form, person: str) -> None:
        camera = form.get("camera", "")
        topic = self._topic(_CAMERA + camera)
        with self._context.listener.view() as view:
            known = {card.camera for card in camera_settings_cards(view, self._desk, time.monotonic())}
        if camera not in known:
            raise UserError(f"no camera node of '{camera}' is online that takes settings: load the page again")
        self._desk.change(topic, forms.camera_settings(form), form.get("mark", ""), person)

    def _clear(self, form: Form, person: str) -> None:
        self._desk.clear(self._topic(form.get("of", "")), person)

    def _undo(self, form: Form, person: str) -> None:
        self._desk.undo(self._topic(form.get("of", "")), person)

    def _restore(self, form: Form, person: str) -> None:
        number = as_number(form.get("number", ""))
        former = None if number is None else self._desk.store.get(number)
        if former is None:
            raise UserError("these settings are not kept any more")
        self._desk.restore(former, person)

    def _topic(self, of: str) -> str:
        if of == "fusion":
            return self._desk.topics.fusion_settings()
        camera = of.removeprefix(_CAMERA)
        if not of.startswith(_CAMERA) or not is_name(camera):
            raise UserError("there is no such camera")
        return self._desk.topics.camera_settings(camera)

    def _of(self, topic: str) -> str:
        if topic == self._desk.topics.fusion_settings():
            return "fusion"
        return _CAMERA + topic.rpartition("/")[2]


def routes(context: Context) -> list[Route]:
    """Return the routes of the settings; none where they are not changed."""
    return [] if context.desk is None else _SettingsPage(context, context.desk).routes()
