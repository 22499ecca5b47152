"""The page to sign in on, and the way out."""

from __future__ import annotations

import hmac
import secrets
import time
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from vp_mqtt.logs import LOGGER
from vp_mqtt.web.context import Context
from vp_mqtt.web.security.attempts import Attempts
from vp_mqtt.web.security.forms import CSRF_FIELD, Form, changes, read_form
from vp_mqtt.web.security.gate import person_of
from vp_mqtt.web.security.passwords import Passwords
from vp_mqtt.web.security.people import PageRole
from vp_mqtt.web.security.sessions import COOKIE, LASTS_S, Sessions, csrf_token

_PATH = "/sign-in"
_FORM_COOKIE = "vp_form"
_FORM_LASTS_S = 3600
_WRONG = "This is not the password."
_TOO_OFTEN = "Too many attempts: wait a minute."
_OLD_FORM = "The form was out of date: try again."


def local_path(target: str) -> str:
    """Return where to go after signing in: a path of this page, "/" for anything else."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    is_ours = not parts.scheme and not parts.netloc and target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if is_ours and target.isprintable() else "/"


class _SignIn:
    """Signing in with a password, and out."""

    def __init__(self, context: Context, passwords: Passwords, sessions: Sessions) -> None:
        """Prepare for these passwords."""
        self._context = context
        self._passwords = passwords
        self._sessions = sessions
        self._attempts = Attempts()
        # Each check takes memory and a core.
        self._one_at_a_time = CapacityLimiter(1)

    async def answer(self, request: Request) -> Response:
        """Show the form, or take what was written into it."""
        if request.method == "POST":
            return await self._sign_in(request)
        return RedirectResponse("/", 303) if person_of(request) is not None else self._form(request)

    async def _sign_in(self, request: Request) -> Response:
        form = await read_form(request)
        address = "" if request.client is None else request.client.host
        token = csrf_token(self._passwords.key, request.cookies.get(_FORM_COOKIE, ""))
        if form is None or not hmac.compare_digest(form.get(CSRF_FIELD, "").encode(), token.encode()):
            return self._form(request, _OLD_FORM, 403)
        # Of requests at the same time, each one counts before the next one is looked at.
        async with self._one_at_a_time:
            now = time.monotonic()
            if not self._attempts.may_try(address, now):
                return self._form(request, _TOO_OFTEN, 429)
            role = await to_thread.run_sync(self._passwords.role_of, form.get("password", ""))
            if role is None:
                self._attempts.note_failure(address, now)
                LOGGER.warning("page: wrong password from %s", address)
                return self._form(request, _WRONG, 403)
        answer = RedirectResponse(_target(request), 303)
        self._set_cookie(request, answer, COOKIE, self._sessions.open(role), lasts_s=LASTS_S, path="/")
        answer.delete_cookie(_FORM_COOKIE, path=_PATH)
        return answer

    def _form(self, request: Request, problem: str = "", status: int = 200) -> Response:
        nonce = secrets.token_urlsafe(16)
        token = csrf_token(self._passwords.key, nonce)
        answer = self._context.templates.page(
            request, "sign_in.html", status, problem=problem, token=token, target=_target(request)
        )
        self._set_cookie(request, answer, _FORM_COOKIE, nonce, lasts_s=_FORM_LASTS_S, path=_PATH)
        return answer

    def _set_cookie(
        self, request: Request, answer: Response, name: str, value: str, *, lasts_s: int, path: str
    ) -> None:
        peer = "" if request.client is None else request.client.host
        forwarded = request.headers.get("x-forwarded-proto") if peer in self._context.access.trusted_proxies else None
        is_encrypted = "https" in {request.url.scheme, forwarded}
        answer.set_cookie(
            name, value, max_age=lasts_s, path=path, httponly=True, samesite="strict", secure=is_encrypted
        )


def _target(request: Request) -> str:
    return local_path(request.query_params.get("next", "/"))


def routes(context: Context) -> list[Route]:
    """Return the routes of signing in and out; none where there are no passwords."""
    passwords, sessions = context.access.passwords, context.access.sessions
    if passwords is None or sessions is None:
        return []

    @changes(PageRole.VIEWER)
    async def sign_out(request: Request, _form: Form) -> Response:
        # A proxy's sessions are not ours to end.
        if (person := sessions.read(request.cookies.get(COOKIE))) is not None:
            sessions.end(person)
        answer = RedirectResponse(_PATH, 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    return [
        Route(_PATH, _SignIn(context, passwords, sessions).answer, methods=["GET", "POST"]),
        Route("/sign-out", sign_out, methods=["POST"]),
    ]
