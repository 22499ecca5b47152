"""The load on the page: its traffic is what nodes would publish, and the trend is that of the samples."""

from __future__ import annotations

import pytest

from benchmarks.page.measure import Sample, summarize
from benchmarks.page.report import rows
from benchmarks.page.traffic import SITE, Traffic
from vp_mqtt.inference.pictures import decode
from vp_mqtt.mqtt.message import Received
from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.web.reading import read


def test_the_page_reads_all_of_the_traffic() -> None:
    traffic = Traffic("mqtt://127.0.0.1:1", cameras=2, boards=3, fps=10)
    view = SiteView(SITE, now=0.0)
    for message in [*traffic._statuses(), *traffic._frame("cam1", 7), *traffic._stats(1.0)]:
        received = Received(message.topic, message.payload, message.correlation, 1.0)
        read(view, received, wall_time=1.0, max_frame_bytes=100_000)
    shown = view.frames("cam1").shown()
    assert shown is not None
    assert shown.label is not None
    assert sorted(shown.votes) == [0, 1, 2]
    assert decode(shown.picture or b"").shape == (480, 640, 3)
    assert len(view.overview.nodes("variant", 1.0)) == 3
    assert 30_000 < traffic.frame_bytes < 80_000


def test_the_trend_leaves_out_the_start() -> None:
    samples = [Sample(60.0 * n, 80.0 if n == 0 else 90 + 0.1 * n, 3.0 * n, 500.0, 6.0 * n, 2400 * n) for n in range(61)]
    found = summarize(samples)
    assert found["frames_per_s"] == 40
    assert found["server"]["mb_per_hour"] == pytest.approx(6)
    assert found["server"]["mb"] == [90.6, 96.0]
    assert found["browser"] == {"mb": [500.0, 500.0], "mb_per_hour": 0.0, "cpu_share": 0.1}
    assert summarize(samples[:1])["server"]["mb_per_hour"] == 0


def test_the_table_says_memory_trend_and_share_of_a_core() -> None:
    samples = [Sample(60.0 * n, 90.0, 3.0 * n, 500.0 + n, 6.0 * n, 2400 * n) for n in range(61)]
    heading, server, browser = rows({"summary": summarize(samples)})
    assert len(heading) == len(server) == 4
    assert server[1:] == ("90.0 to 90.0 MB", "+0.0 MB/h", "5.0%")
    assert browser[1:] == ("506.0 to 560.0 MB", "+60.0 MB/h", "10.0%")
