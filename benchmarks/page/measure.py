"""Runs the page under load with a browser that shows it, and samples the memory and processor time of both."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.page.traffic import SITE, Traffic
from vp_mqtt.errors import UserError
from vp_mqtt.local.broker import LocalBroker
from vp_mqtt.local.ports import free_port

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_BROWSER_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0")
_MB = 1e6
_STARTS_WITHIN_S = 60.0
_SETTLED_SHARE = 0.1
"""Of the time, at the beginning, which the trend leaves out: caches fill."""


@dataclass(frozen=True)
class Sample:
    """What the processes took at one moment.

    Attributes:
        at_s: since the beginning.
        server_mb: resident memory of the page's server.
        server_cpu_s: its processor time so far.
        browser_mb: memory of the browser's processes that they share with nobody; 0 without one.
        browser_cpu_s: their processor time so far.
        frames: published so far.
    """

    at_s: float
    server_mb: float
    server_cpu_s: float
    browser_mb: float
    browser_cpu_s: float
    frames: int


@dataclass(frozen=True)
class PageLoad:
    """What is measured: see `vp bench page`."""

    minutes: float
    cameras: int
    boards: int
    fps: float
    pages: tuple[str, ...]
    every_s: float


def measure(load: PageLoad, on_sample: Callable[[Sample], None]) -> dict[str, Any]:
    """Run the page, and return the samples and what they say.

    Raises:
        UserError: there is no broker, or the page does not start.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vp-page-")))
        broker = stack.enter_context(LocalBroker.find())
        server, url = stack.enter_context(page_of(broker.url, folder))
        traffic = Traffic(broker.url, cameras=load.cameras, boards=load.boards, fps=load.fps)
        traffic.start()
        stack.callback(traffic.stop)
        browsers = [stack.enter_context(_browser(url + page, folder / f"tab{n}")) for n, page in enumerate(load.pages)]
        began, samples = time.monotonic(), list[Sample]()
        while (passed := time.monotonic() - began) < load.minutes * 60:
            time.sleep(min(load.every_s, load.minutes * 60 - passed))
            samples.append(_sample(time.monotonic() - began, server, browsers, traffic.frames))
            on_sample(samples[-1])
        return {
            **asdict(load),
            "frame_bytes": traffic.frame_bytes,
            "browser": _version(),
            "summary": summarize(samples),
            "samples": [asdict(sample) for sample in samples],
        }


def summarize(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return what samples say: smallest and largest memory after the start, its trend, and shares of a core."""
    first, last = samples[0], samples[-1]
    settled = [one for one in samples if one.at_s >= _SETTLED_SHARE * last.at_s]
    seconds = max(last.at_s - first.at_s, 1e-9)
    found: dict[str, Any] = {"frames_per_s": round((last.frames - first.frames) / seconds, 2)}
    for who in ("server", "browser"):
        memory = [getattr(one, f"{who}_mb") for one in settled]
        cpu = getattr(last, f"{who}_cpu_s") - getattr(first, f"{who}_cpu_s")
        found[who] = {
            "mb": [round(min(memory), 1), round(max(memory), 1)],
            "mb_per_hour": round(_slope([one.at_s / 3600 for one in settled], memory), 2),
            "cpu_share": round(cpu / seconds, 4),
        }
    return found


def _slope(hours: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the straight line through points with the least squares; 0 for fewer than two."""
    middle, mean = sum(hours) / len(hours), sum(values) / len(values)
    spread = sum((hour - middle) ** 2 for hour in hours)
    products = ((hour - middle) * (value - mean) for hour, value in zip(hours, values, strict=True))
    return sum(products) / spread if spread else 0.0


@contextlib.contextmanager
def page_of(broker: str, folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Run the page, with everything of its own in a folder; provide its process, and its address.

    Raises:
        UserError: it does not start.
    """
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "vp_mqtt", "web", "--listen", url.removeprefix("http://")]
    command += ["--history", str(folder / "history"), "--teach", str(folder / "teach"), "--broker", broker]
    environment = os.environ | {"VP_SITE": SITE, "XDG_CONFIG_HOME": str(folder)}
    with (folder / "page.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        until = time.monotonic() + _STARTS_WITHIN_S
        while b"the page of site" not in (said := (folder / "page.log").read_bytes()):
            if process.poll() is not None or time.monotonic() > until:
                raise UserError(f"the page did not start: {said.decode(errors='replace')[-500:]}")
            time.sleep(0.1)
        yield psutil.Process(process.pid), url
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def _browser(url: str, profile: Path) -> Iterator[psutil.Process]:
    program = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        raise UserError("there is no Chromium here: install it, or leave --page out")
    command = [program, *_BROWSER_FLAGS, f"--user-data-dir={profile}", url]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _version() -> str:
    program = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        return ""
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()


def _sample(at_s: float, server: psutil.Process, browsers: Sequence[psutil.Process], frames: int) -> Sample:
    memory = cpu = 0.0
    for browser in browsers:
        for process in (browser, *browser.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                memory += process.memory_full_info().uss
                cpu += sum(process.cpu_times()[:2])
    own = server.cpu_times()
    return Sample(
        round(at_s, 1),
        round(server.memory_info().rss / _MB, 2),
        round(own.user + own.system, 2),
        round(memory / _MB, 1),
        round(cpu, 2),
        frames,
    )
