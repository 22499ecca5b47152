"""The gate that every request passes: the right host, a person who may see the page, and no forged changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vp_mqtt.web.security.headers import SECURITY_HEADERS
from vp_mqtt.web.security.hosts import is_allowed, is_same_origin
from vp_mqtt.web.security.kept_key import new_key
from vp_mqtt.web.security.passwords import Passwords
from vp_mqtt.web.security.people import PageRole, Person
from vp_mqtt.web.security.sessions import COOKIE, Sessions, csrf_token

_SAFE = frozenset({"GET", "HEAD"})
# The metrics look at their token themselves.
_OPEN_PATHS = ("/static/", "/sign-in", "/metrics")
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Access:
    """Who may see the page.

    Attributes:
        passwords: the page's; None without any.
        is_local: whether the page listens on this machine alone; without passwords and proxies, everyone there may do
            everything.
        host_names: under which browsers may reach it, beside localhost and addresses.
        trusted_proxies: IP addresses of the proxies whose header counts.
        proxy_header: in which they name who is signed in.
        operators: of those named there, who may change things.
        key: of the forms' tokens where there are no passwords, which have one of their own.
        sessions: of those who have signed in with a password; None without any.
    """

    passwords: Passwords | None
    is_local: bool
    host_names: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    proxy_header: str = "Remote-User"
    operators: tuple[str, ...] = ()
    key: str = field(default_factory=new_key, repr=False)
    sessions: Sessions | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the sessions, which all who use this share."""
        object.__setattr__(self, "sessions", None if self.passwords is None else Sessions(self.passwords))

    @property
    def is_open(self) -> bool:
        """Whether nobody has to sign in."""
        return self.passwords is None and not self.trusted_proxies and self.is_local

    def person(self, request: Request) -> Person | None:
        """Return who a request comes from, as of now; None if nobody who may see the page."""
        key = self.key if self.passwords is None else self.passwords.key
        peer = "" if request.client is None else request.client.host
        name = request.headers.get(self.proxy_header, "") if peer in self.trusted_proxies else ""
        if name:
            role = PageRole.OPERATOR if name in self.operators else PageRole.VIEWER
            return Person(name[:_LONGEST_NAME], role, csrf_token(key, f"proxy {name}"))
        if self.sessions is not None:
            return self.sessions.read(request.cookies.get(COOKIE))
        return Person("", PageRole.OPERATOR, csrf_token(key, "local")) if self.is_open else None


class Gate:
    """Middleware that lets a request pass with who it comes from in its state, or answers it."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """Stand before an app."""
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                if not scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        refused = self._refuse(scope)
        await (self._app if refused is None else refused)(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        """Return the answer to a request that may not pass; None if it may."""
        request, headers = Request(scope), Headers(scope=scope)
        access = self._access
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not is_allowed(host, access.host_names, is_local=access.is_local):
            return PlainTextResponse(
                "This page does not answer under this name: see allowed_hosts in docs/web.md\n", 421
            )
        if request.method not in _SAFE and not is_same_origin(
            headers.get("origin"), headers.get("sec-fetch-site"), host
        ):
            return PlainTextResponse("This request comes from another page\n", 403)
        person = access.person(request)
        scope.setdefault("state", {})["person"] = person
        if person is not None or request.url.path.startswith(_OPEN_PATHS):
            return None
        if request.method in _SAFE and "text/html" in headers.get("accept", ""):
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/sign-in?next={quote(wanted)}", 303)
        return PlainTextResponse("Sign in first\n", 401)


def person_of(request: Request) -> Person | None:
    """Return who a request that has passed the gate comes from; None on the page to sign in on."""
    found: Any = getattr(request.state, "person", None)
    return found if isinstance(found, Person) else None
