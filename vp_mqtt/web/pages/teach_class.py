"""The page of a class: its pictures, which can be moved, deleted and added to."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vp_mqtt.inference.picture_formats import FILES
from vp_mqtt.inference.pictures import PictureError, decode, encode_jpeg
from vp_mqtt.web.cards.classes import class_cards
from vp_mqtt.web.context import Context
from vp_mqtt.web.pages import events
from vp_mqtt.web.pages.teach_forms import Answers, as_number, class_address, picked
from vp_mqtt.web.security.forms import Form
from vp_mqtt.web.security.uploads import TOO_MUCH, Upload, takes_files
from vp_mqtt.web.teaching.collection import CollectionError
from vp_mqtt.web.teaching.studio import Studio

_SHOWN = 60
_MAX_PICKED_BYTES = 131_072
"""Each name of a picture's file may take 255 bytes, and thrice that in a form."""
_THUMBNAIL, _QUALITY = 240, 80
_LARGEST_FILE = 50_000_000


class _ClassPage:
    """A class and its pictures."""

    def __init__(self, context: Context, studio: Studio) -> None:
        self._context = context
        self._teaching = studio.teaching
        self._studio = studio
        self._answers = Answers(studio.notes)

    def routes(self) -> list[Route]:
        """Return the routes."""
        endpoint = self._answers.endpoint
        return [
            Route("/teach/class", self._page, name="teach-class"),
            Route("/teach/picture", self._picture),
            Route("/teach/class/pictures", endpoint(self._change, _MAX_PICKED_BYTES), methods=["POST"]),
            Route("/teach/class/rename", endpoint(self._rename), methods=["POST"]),
            Route("/teach/class/delete", endpoint(self._delete), methods=["POST"]),
            Route("/teach/class/upload", takes_files(self._upload, self._too_much), methods=["POST"]),
        ]

    async def _page(self, request: Request) -> Response:
        wanted = request.query_params
        begin = as_number(wanted.get("from", "")) or 0
        try:
            values = await to_thread.run_sync(self._read, wanted.get("name", ""), begin)
        except CollectionError as error:
            return self._answers.page("/teach", str(error))
        problem, problems = self._answers.problem(request), events.problems(self._context)
        return self._context.templates.page(request, "teach_class.html", problem=problem, problems=problems, **values)

    def _read(self, name: str, begin: int) -> dict[str, Any]:
        cards = class_cards(self._teaching.collection.classes())
        own = self._teaching.collection.get(name)
        doubts = self._studio.doubts(own)
        pictures = sorted(own.pictures, key=lambda file: -doubts[file].confidence if file in doubts else 0.0)
        begin = min(begin, max(0, len(pictures) - 1))
        return {
            "classes": [one for one in cards if one.name != own.name],
            "own": next(one for one in cards if one.name == own.name),
            "pictures": pictures[begin : begin + _SHOWN],
            "doubts": doubts,
            "begin": begin,
            "following": begin + _SHOWN if begin + _SHOWN < len(pictures) else None,
            "undoable": self._teaching.actions.last(),
            "address": class_address(own.name),
        }

    async def _picture(self, request: Request) -> Response:
        wanted = request.query_params
        try:
            found = await to_thread.run_sync(self._thumbnail, wanted.get("class", ""), wanted.get("file", ""))
        except (ValueError, OSError):
            return PlainTextResponse("No picture\n", 404)
        return Response(found, media_type="image/jpeg")

    def _thumbnail(self, name: str, file: str) -> bytes:
        """Return a picture of a class, reduced, as a JPEG.

        Raises:
            ValueError: there is no such picture, or it cannot be decoded.
            OSError: it cannot be read.
        """
        path = self._teaching.collection.path(name, file)
        if path.stat().st_size > _LARGEST_FILE:
            raise PictureError("too large")
        picture = decode(path.read_bytes(), _THUMBNAIL, formats=FILES)
        height, width = picture.shape[:2]
        scale = _THUMBNAIL / max(height, width)
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        return encode_jpeg(picture, _QUALITY)

    def _change(self, form: Form) -> str:
        name, files = form.get("name", ""), picked(form)
        if "delete" in form:
            self._teaching.delete(name, files)
        else:
            self._teaching.move(name, files, form.get("class", ""))
        return class_address(name)

    def _rename(self, form: Form) -> str:
        self._teaching.rename(form.get("name", ""), form.get("new", ""))
        return class_address(form["new"].strip())

    def _delete(self, form: Form) -> str:
        self._teaching.delete_class(form.get("name", ""))
        return "/teach"

    def _too_much(self, request: Request) -> Response:
        # The name in the form was not read.
        return self._answers.page(class_address(request.query_params.get("name", "")), TOO_MUCH)

    async def _upload(self, _request: Request, upload: Upload) -> Response:
        name = upload.fields.get("name", "")

        def put() -> str:
            done = self._teaching.upload(name, upload.files)
            refused = done.unusable + upload.too_large
            reasons = [f"{done.repeated} there already"] if done.repeated else []
            reasons += [f"{refused} no JPEG or PNG, or too large"] if refused else []
            if reasons:
                total = done.added + done.repeated + refused
                raise CollectionError(f"{done.added} of {total} added; left out: {', '.join(reasons)}")
            return class_address(name)

        return await self._answers.attempt(put, class_address(name))


def routes(context: Context) -> list[Route]:
    """Return the routes of the classes' pages; none where nothing can be taught."""
    return [] if context.studio is None else _ClassPage(context, context.studio).routes()
