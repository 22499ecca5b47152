"""A real Chromium for the tests of the page, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--no-first-run")
_AXE = Path(__file__).parent / "axe" / "axe-4.14.1.min.js"
_PATIENCE_MS = 15_000
expect.set_options(timeout=_PATIENCE_MS)


def find_chromium() -> str:
    """Return the program; without one, skip the test and say so."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("the page is NOT tested in a browser here: `apt-get install chromium`")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    program = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page in the browser that remembers what its console says."""

    def __init__(self, browser: Browser, *, scheme: Literal["light", "dark"] = "light", width: int = 1280) -> None:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
        self.page: Page = context.new_page()
        self.page.set_default_timeout(_PATIENCE_MS)
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def barriers(self) -> list[str]:
        """Return what axe-core finds that keeps people from using the page, serious or worse."""
        self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run().then((result) => result.violations)")
        return [
            f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in {"serious", "critical"}
        ]
