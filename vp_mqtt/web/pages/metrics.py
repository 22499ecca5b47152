"""What Prometheus reads of the site: /metrics, for those who may see the page, and for whoever has the token."""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable

from anyio import to_thread
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.errors import UserError
from vp_mqtt.files import is_readable_by_others, read_text
from vp_mqtt.integrations.metrics import catalog
from vp_mqtt.integrations.metrics.families import Families
from vp_mqtt.integrations.metrics.site import add_comparison, add_site
from vp_mqtt.web.context import Context
from vp_mqtt.web.listener import Listener
from vp_mqtt.web.security.gate import person_of

_SHORTEST_TOKEN = 20
_SCHEME = "bearer"


class SiteCollector(Collector):
    """Fills the metrics from what the page sees, whenever they are read."""

    def __init__(self, listener: Listener) -> None:
        """Prepare for a page."""
        self._listener = listener

    def collect(self) -> Iterable[Metric]:
        """Return the site's metrics as they are now."""
        families = Families()
        with self._listener.view() as view:
            add_site(families, view.overview, now=time.monotonic(), wall_time=time.time())
            site = view.overview.site
            add_comparison(families, site, view.compared)
        families.add(catalog.REFUSED, {"site": site}, self._listener.refusals.counts["refused"])
        return families.all()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry need not look at the site when it is built."""
        return ()


def read_token(settings: WebSettings) -> str | None:
    """Return the token that Prometheus has to present; None without any.

    Raises:
        UserError: the file cannot be read, others can read it, or it holds no usable token.
    """
    path = settings.metrics_token_file
    if path is None:
        return None
    try:
        token = read_text(path).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--metrics-token-file {path}: {error}") from None
    if is_readable_by_others(path):
        raise UserError(f"--metrics-token-file {path}: others can read it: chmod 600 {path}")
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(
            f"--metrics-token-file {path}: a token has {_SHORTEST_TOKEN} ASCII characters or more, and no spaces: "
            f"`openssl rand -hex 32 > {path}` writes one"
        )
    return token


def _has_token(request: Request, token: str | None) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if token is None or scheme.lower() != _SCHEME:
        return False
    return hmac.compare_digest(given.strip().encode(), token.encode())


def routes(context: Context) -> list[Route]:
    """Return the route of the metrics.

    Raises:
        UserError: the token's file is not usable.
    """
    registry = CollectorRegistry()
    registry.register(SiteCollector(context.listener))
    token = read_token(context.settings)

    async def metrics(request: Request) -> Response:
        if person_of(request) is None and not _has_token(request, token):
            return PlainTextResponse(
                "The metrics need a token: see docs/metrics.md\n", 401, {"WWW-Authenticate": "Bearer"}
            )
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(await to_thread.run_sync(encode, registry), headers={"Content-Type": content_type})

    return [Route("/metrics", metrics, methods=["GET"])]
