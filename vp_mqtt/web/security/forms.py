"""Forms that change something: who may send them, and that it was they who did."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from functools import wraps
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from vp_mqtt.web.security.gate import person_of
from vp_mqtt.web.security.people import PageRole

CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"
MAX_FORM_BYTES = 16_384
_MAX_FIELDS = 200

Form = dict[str, str]


async def read_form(request: Request, max_bytes: int = MAX_FORM_BYTES) -> Form | None:
    """Return the fields of a form, the first value of each; None if it is too large, or not a form."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            return None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return None
    return {name: values[0] for name, values in fields.items()}


def out_of_date() -> Response:
    """Return the answer to a form without the session's token: htmx loads the page again, which then has it."""
    return PlainTextResponse("The form is out of date: load the page again\n", 403, {"HX-Refresh": "true"})


def changes(
    role: PageRole,
    max_bytes: int = MAX_FORM_BYTES,
) -> Callable[[Callable[[Request, Form], Awaitable[Response]]], Callable[[Request], Awaitable[Response]]]:
    """Return a decorator of endpoints that change something: only for a role, and only with the session's token.

    Args:
        role: `PageRole.VIEWER` for everyone who has signed in.
        max_bytes: larger forms are refused.
    """

    def decorate(endpoint: Callable[[Request, Form], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        @wraps(endpoint)
        async def checked(request: Request) -> Response:
            person = person_of(request)
            form = await read_form(request, max_bytes)
            if form is None:
                return PlainTextResponse("This is not a form, or it is too large\n", 400)
            token = form.pop(CSRF_FIELD, "") or request.headers.get(CSRF_HEADER, "")
            if person is None or not hmac.compare_digest(token.encode(), person.csrf.encode()):
                return out_of_date()
            if role is PageRole.OPERATOR and not person.is_operator:
                return PlainTextResponse("Only an operator may do this\n", 403)
            return await endpoint(request, form)

        return checked

    return decorate
