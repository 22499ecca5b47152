"""What pages with forms share: what they change, and what went wrong with that."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from vp_mqtt.errors import UserError
from vp_mqtt.web.security.forms import MAX_FORM_BYTES, Form, changes
from vp_mqtt.web.security.people import PageRole
from vp_mqtt.web.teaching.collection import CollectionError
from vp_mqtt.web.teaching.notes import Notes

_PICK = "pick-"
_LONGEST_NUMBER = 18


def class_address(name: str) -> str:
    """Return the address of a class's page."""
    return "/teach/class?" + urlencode({"name": name})


def picked(form: Form) -> list[str]:
    """Return the values of the checkboxes that were ticked.

    Raises:
        CollectionError: there are none.
    """
    values = [value for name, value in form.items() if name.startswith(_PICK)]
    if not values:
        raise CollectionError("pick at least one picture first")
    return values


def as_number(text: str) -> int | None:
    """Return the number, 0 or more, that a text is; None if it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER else None


def page_to_return_to(form: Form) -> str:
    """Return the page that a form was on."""
    page = form.get("back", "")
    return page if page.startswith(("/teach", "/train", "/settings")) else "/teach"


class Answers:
    """Answers to forms: the page again, with what went wrong."""

    def __init__(self, notes: Notes) -> None:
        """Keep what went wrong in these notes."""
        self._notes = notes

    def page(self, address: str, problem: str = "") -> Response:
        """Return the way to a page that says what went wrong, if anything did."""
        if problem:
            address += ("&" if "?" in address else "?") + urlencode({"note": self._notes.leave(problem)})
        return RedirectResponse(address, 303)

    def problem(self, request: Request) -> str:
        """Return what went wrong with the form that has led to a page, for people."""
        return self._notes.read(request.query_params.get("note", ""))

    def endpoint(
        self, change: Callable[[Form], str], max_bytes: int = MAX_FORM_BYTES
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that changes something, for operators.

        Args:
            change: does it, in a thread, and returns the address of the page to show then.
            max_bytes: larger forms are refused.
        """

        @changes(PageRole.OPERATOR, max_bytes)
        async def changed(_request: Request, form: Form) -> Response:
            return await self.attempt(lambda: change(form), page_to_return_to(form))

        return changed

    async def attempt(self, change: Callable[[], str], page: str) -> Response:
        """Change something, and show the page that this returns, or `page` with what went wrong."""
        try:
            return self.page(await to_thread.run_sync(change))
        except (CollectionError, UserError) as error:
            return self.page(page, str(error))
        except OSError as error:
            return self.page(page, f"that could not be written: {error.strerror or error}")
        except sqlite3.Error as error:
            return self.page(page, f"that could not be written: {error}")
