"""Runs the page: the MQTT client, and the web server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from vp_mqtt.bundle.folder import builtin_bundles, open_bundle
from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.nodes.watchdog import Watchdog
from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.web.bundle_names import BundleNames
from vp_mqtt.web.context import Context
from vp_mqtt.web.history.changes import StateChange
from vp_mqtt.web.history.place import default_folder, history_of
from vp_mqtt.web.history.store import History
from vp_mqtt.web.listener import Listener
from vp_mqtt.web.pages.routes import all_routes
from vp_mqtt.web.security.gate import Access, Gate
from vp_mqtt.web.security.kept_key import kept_key
from vp_mqtt.web.security.passwords import default_file, read_passwords
from vp_mqtt.web.teaching.studio import Studio
from vp_mqtt.web.templating import Templates
from vp_mqtt.web.tuning.desk import desk_of

_MAX_CONNECTIONS = 128
_BACKLOG = 64
_GOODBYE_S = 1
_KEEP_ALIVE_S = 20
_PRUNE_EVERY_S = 3600.0


def known_classes() -> dict[str, tuple[str, ...]]:
    """Return the class names of the built-in bundles, by short digest in hexadecimal."""
    manifests = (open_bundle(name).manifest for name in builtin_bundles())
    return {manifest.short_digest.hex(): tuple(manifest.classes) for manifest in manifests}


def access(settings: WebSettings) -> Access:
    """Return who may see the page.

    Raises:
        UserError: others could see it, and nobody would have to sign in; or the passwords file is not usable.
    """
    file = settings.passwords_file or default_file()
    passwords = read_passwords(file)
    if passwords is None and settings.passwords_file is not None:
        raise UserError(f"--passwords-file {file}: there is none; make it with `vp web --set-password operator`")
    address = settings.address
    is_exposed = not address.is_local or settings.allowed_hosts
    if is_exposed and passwords is None and not settings.trusted_proxy:
        what = f"--listen {settings.listen}" if not address.is_local else "--allowed-hosts"
        raise UserError(
            f"{what}: others could see the page without a password; set one with `vp web --set-password operator`, "
            "or name a proxy that signs people in with --trusted-proxy"
        )
    own_names = () if address.is_local else _own_names()
    return Access(
        passwords=passwords,
        is_local=address.is_local,
        host_names=(*settings.allowed_hosts, *own_names),
        trusted_proxies=settings.trusted_proxy,
        proxy_header=settings.proxy_header,
        operators=settings.operators,
    )


def with_kept_key(who: Access, settings: WebSettings) -> Access:
    """Return who may see the page, with a key that outlasts a restart, beside the history."""
    file = (settings.history or default_folder()) / f"{settings.site}.key"
    return who if who.passwords is not None else replace(who, key=kept_key(file))


def _own_names() -> tuple[str, ...]:
    name = socket.gethostname().lower()
    return name, f"{name.partition('.')[0]}.local"


def build(context: Context) -> Starlette:
    """Return the web application."""
    return Starlette(routes=all_routes(context), middleware=[Middleware(Gate, access=context.access)])


def listening_socket(settings: WebSettings) -> socket.socket:
    """Return a socket that listens where the page is to be.

    Raises:
        UserError: the address is taken, or not one of this machine.
    """
    address = settings.address
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address.host, address.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise UserError(
            f"--listen {settings.listen}: {error.strerror}; is another one running? choose another port"
        ) from None
    return listening


def url_of(listening: socket.socket) -> str:
    """Return the address to open in a browser on this machine."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (what it listens on, not to be bound)
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


class _Server(uvicorn.Server):
    """A server whose signals are handled here: the page ends at once, however many streams are open."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def _keep(history: History | None, change: StateChange) -> None:
    if history is not None:
        history.add(change, time.time())


def _learn(listener: Listener, digest: str, classes: Sequence[str]) -> None:
    with listener.view() as view:
        view.names.note_bundle(digest, classes)


def _prune(history: History | None, stopping: threading.Event) -> None:
    while history is not None:
        history.prune(time.time())
        if stopping.wait(_PRUNE_EVERY_S):
            return


def _config(context: Context) -> uvicorn.Config:
    return uvicorn.Config(
        build(context),
        access_log=False,
        log_config=None,
        # Its warnings are of requests that anyone can make, as often as they like.
        log_level="error",
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GOODBYE_S,
    )


def run(settings: WebSettings, on_ready: Callable[[str], None] = lambda _: None) -> None:
    """Show the page until a signal ends it.

    Args:
        settings: of the page.
        on_ready: called with the page's address.

    Raises:
        UserError: the settings are not usable, or the broker refuses us.
    """
    who = with_kept_key(access(settings), settings)
    failed: list[UserError] = []
    stopping = threading.Event()

    def fail(error: UserError) -> None:
        failed.append(error)
        server.should_exit = True

    view = SiteView(settings.site, now=time.monotonic(), known_classes=known_classes())
    history = history_of(settings)
    if history is not None:
        history.open()
    names = BundleNames(settings, lambda digest, classes: _learn(listener, digest, classes))
    (desk := desk_of(settings)).store.open()
    listener = Listener(
        settings,
        view,
        on_change=partial(_keep, history),
        on_pointer=names.want,
        on_settings=desk.note,
        on_end=fail,
    )
    desk.publish = listener.publish
    studio = Studio(settings, listener)
    studio.open()
    context = Context(settings, listener, who, Templates(settings.site), history, studio, desk)
    server = _Server(_config(context))
    with contextlib.closing(listening_socket(settings)) as listening:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: setattr(server, "should_exit", True))
        listener.start()
        names.start()
        studio.start()
        watchdog = Watchdog()
        watchdog.notify("READY=1")
        threading.Thread(target=watchdog.watch, args=(listener.is_healthy, stopping), daemon=True).start()
        threading.Thread(target=_prune, args=(history, stopping), daemon=True).start()
        address = url_of(listening)
        LOGGER.info("the page of site '%s' is at %s", settings.site, address)
        on_ready(address)
        try:
            asyncio.run(server.serve(sockets=[listening]))
        finally:
            stopping.set()
            watchdog.notify("STOPPING=1")
            names.stop()
            studio.stop()
            listener.stop()
    if failed:
        raise failed[0]
