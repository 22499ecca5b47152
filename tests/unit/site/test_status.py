from __future__ import annotations

import io

from rich.console import Console

from vp_mqtt.site.status import NodeReport, SiteReport


def test_the_table_shows_a_still_camera_and_a_spare() -> None:
    nodes = (
        NodeReport("camera-door", "pi-0", "camera", "online", note="still", frames="frames of 64x48"),
        NodeReport("variant-auto-pi-1", "pi-1", "variant", "online", note="spare"),
        NodeReport("fusion", "pi-2", "fusion", "online"),
    )
    report = SiteReport("home", nodes, ())
    console = Console(width=100, file=io.StringIO())
    with console.capture() as shown:
        console.print(report.as_table())
    text = shown.get()
    assert "online, still, frames of 64x48" in text
    assert "online, spare" in text
    assert [node["note"] for node in report.as_dict()["nodes"]] == ["still", "spare", ""]
