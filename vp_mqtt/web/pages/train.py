"""The page that trains on the labelled pictures and sends what comes of it to the boards."""

from __future__ import annotations

from collections import Counter
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vp_mqtt.web.cards.classes import class_cards
from vp_mqtt.web.context import Context
from vp_mqtt.web.pages import events
from vp_mqtt.web.pages.teach_forms import Answers
from vp_mqtt.web.security.forms import Form
from vp_mqtt.web.teaching.studio import Studio
from vp_mqtt.web.teaching.trainer import can_fine_tune, is_refusal


class _TrainPage:
    """Training, its result, and the way to the boards."""

    def __init__(self, context: Context, studio: Studio) -> None:
        self._context = context
        self._studio = studio
        self._answers = Answers(studio.notes)

    def routes(self) -> list[Route]:
        """Return the routes."""
        trainer = self._studio.trainer
        actions = {
            "start": trainer.train,
            "send": trainer.send,
            "back": trainer.roll_back,
            "cancel": trainer.cancel,
            "fine-tune": trainer.fine_tune,
            "cancel-tuning": trainer.cancel_tuning,
        }

        def endpoint(name: str) -> Route:
            def change(_form: Form) -> str:
                actions[name]()
                return "/train"

            return Route(f"/train/{name}", self._answers.endpoint(change), methods=["POST"])

        return [Route("/train", self._page, name="train"), *map(endpoint, actions)]

    async def _page(self, request: Request) -> Response:
        values = await to_thread.run_sync(self._read)
        problem, problems = self._answers.problem(request), events.problems(self._context)
        page = self._context.templates.page(request, "train.html", problem=problem, problems=problems, **values)
        asked = request.headers.get("HX-Target")
        if asked in {"job", "tuning"} and (values[asked] is None or not values[asked].is_running):
            # The page asks for this part alone while the job runs; now there is more to show.
            page.headers["HX-Retarget"] = page.headers["HX-Reselect"] = "#teach"
        return page

    def _read(self) -> dict[str, Any]:
        studio = self._studio
        trainer, boards = studio.trainer, studio.boards()
        job, result = trainer.job(), trainer.result
        classes = studio.teaching.collection.classes()
        doubtful = Counter({one.name: len(studio.doubts(one)) for one in classes})
        return {
            "classes": class_cards(classes),
            "job": job,
            "is_refused": job is not None and is_refusal(job),
            "result": result,
            "tuning": trainer.tuning(),
            "tuned": trainer.tuned,
            "can_fine_tune": can_fine_tune(),
            "doubtful": [(name, count) for name, count in doubtful.most_common() if count],
            "sent": trainer.sent,
            "online": boards.total(),
            "running": 0 if result is None else boards[result.digest],
            "is_signed": self._context.settings.sign is not None,
        }


def routes(context: Context) -> list[Route]:
    """Return the routes of the training; none where nothing can be taught."""
    return [] if context.studio is None else _TrainPage(context, context.studio).routes()
