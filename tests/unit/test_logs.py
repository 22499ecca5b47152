from __future__ import annotations

import json
import logging
import threading
from urllib.request import urlopen

import pytest

from vp_mqtt import logs
from vp_mqtt.logs import LOGGER, Refusals


def test_each_source_and_reason_is_counted_always_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="vp")
    refusals = Refusals()
    for source in ("a", "b"):
        for reason in ("too large", "not a picture"):
            for _ in range(5):
                refusals.add(source, reason)
    assert refusals.counts == {"refused": 20, "refused: too large": 10, "refused: not a picture": 10}
    assert len(caplog.messages) == 4


def test_a_message_cannot_forge_a_line_or_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(json_lines=False, level="info")
    LOGGER.warning("refused from %s", "vp/x\n12:00:00 all is well\x1b[2J")
    said = capsys.readouterr().err
    assert said.endswith("refused from vp/x?12:00:00 all is well?[2J\n")


@pytest.mark.parametrize("json_lines", [False, True])
def test_passwords_of_addresses_are_in_no_line_not_even_in_that_of_an_exception(
    json_lines: bool,  # noqa: FBT001 (a parameter of the test)
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up(json_lines=json_lines, level="info")
    LOGGER.info("stream %s", "rtsp://admin:Geheim@cam/x")
    thread = threading.Thread(target=urlopen, args=("foo://admin:Geheim@cam/x",))
    thread.start()
    thread.join()
    said = capsys.readouterr().err
    assert "rtsp://***@cam/***" in said
    assert "unexpected error" in said
    assert "Geheim" not in said
    if json_lines:
        assert [json.loads(line)["level"] for line in said.splitlines()] == ["info", "critical"]


def test_sources_named_by_strangers_fill_neither_memory_nor_log(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    for number in range(3000):
        refusals.add(f"stranger {number}", "not a picture")
    assert refusals.counts["refused"] == 3000
    assert len(refusals._seen) == len(caplog.messages) == logs._MAX_REMEMBERED
