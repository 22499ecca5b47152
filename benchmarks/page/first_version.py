"""How long the page takes from "Train now" to a family of one's own classes, and what that family is worth."""

from __future__ import annotations

import contextlib
import http.cookiejar
import re
import shutil
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.page.measure import page_of
from vp_mqtt.errors import UserError
from vp_mqtt.local.broker import LocalBroker
from vp_mqtt.web.teaching.results import read_result

_TOKEN = re.compile(r'name="csrf" value="([^"]*)"')
_IS_RUNNING = 'hx-trigger="every 1s"'
_LOOK_EVERY_S = 0.25
_PATIENCE_S = 3600.0


def measure_first_version(pictures: Path) -> dict[str, Any]:
    """Train on a folder of class folders through the page, as its button does.

    Raises:
        UserError: there is no broker, the page does not start, or it does not train.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vp-page-")))
        shutil.copytree(pictures, folder / "teach" / "pictures")
        broker = stack.enter_context(LocalBroker.find())
        _, url = stack.enter_context(page_of(broker.url, folder))
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

        def get(path: str, form: dict[str, str] | None = None) -> str:
            data = None if form is None else urllib.parse.urlencode(form).encode()
            with browser.open(url + path, data) as answer:
                return str(answer.read().decode())

        token = _TOKEN.search(get("/train"))
        if token is None:
            raise UserError(f"{pictures}: the page offers no training")
        began = time.monotonic()
        html = get("/train/start", {"csrf": token[1], "back": "/train"})
        while _IS_RUNNING in html and time.monotonic() - began < _PATIENCE_S:
            time.sleep(_LOOK_EVERY_S)
            html = get("/train")
        seconds = time.monotonic() - began
        result = read_result(folder / "teach" / "result.json")
        if result is None:
            raise UserError(f"{pictures}: the page has not trained: look at its log with `vp web --teach FOLDER`")
        return {
            "classes": len(result.classes),
            "pictures": result.pictures + result.after.images,
            "seconds": round(seconds, 1),
            "teach_seconds": result.seconds,
            "held_out": result.after.images,
            "accuracy": result.after.fused,
        }
