from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vp_mqtt
from vp_mqtt.masking import hide_in_address, hide_parts_of, hide_secrets, holds_secret

SECRET = "Geheim7"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"rtsp://admin:{SECRET}@cam:554/stream", "rtsp://***@cam:554/***"),
        (f"RTSPT://admin:{SECRET}@cam/Streaming/Channels/101", "RTSPT://***@cam/***"),
        (f"rtps://admin:{SECRET}@cam/", "rtps://***@cam/"),
        (f"rtsp://admin:p@ss/w#rd?{SECRET}@cam/x", "rtsp://***@cam/***"),
        (f"rtsp://admin:my {SECRET}@cam/x", "rtsp://***@cam/***"),
        (f"rtsp://admin:{SECRET}/stream", "rtsp://***/***"),
        (f"mqtts://u%3A{SECRET}@broker:8883", "mqtts://***@broker:8883"),
        (f"mqtt://{SECRET}@broker", "mqtt://***@broker"),
        (f"admin:{SECRET}@cam/x", "***@cam/x"),
        (f"rtsp:/admin:{SECRET}@cam/x", "***@cam/x"),
        (f"samples:rtsp://admin:{SECRET}@cam", "samples:rtsp://***@cam"),
        (f"http://cam/video.cgi?user=admin&pwd={SECRET}&n=1", "http://cam/***"),
        (f"http://cam?{SECRET}", "http://cam/***"),
        (f"http://cam/cgi;{SECRET}", "http://cam/***"),
        (f"http://cam/;pass:{SECRET}", "http://cam/***"),
        (f"password={SECRET}", "password=***"),
        (f"http://cam/video#{SECRET}", "http://cam/***"),
        (f"cam/video?token={SECRET}&n=1", "cam/video?token=***&n=1"),
        (f"http://proxy/rtsp%3A%2F%2Fadmin%3A{SECRET}%40cam/1", "http://proxy/***"),
        (f"rtsp://cam/user=admin_password={SECRET}_channel=1.sdp", "rtsp://cam/***"),
        ("rtsp://h/onvif1/secret", "rtsp://h/***"),
        ("http://[fe80::1]:8080/secret/video", "http://[fe80::1]:8080/***"),
        ("http://data.caltech.edu/?token=secret", "http://data.caltech.edu/***"),
        (f"rtmp://host/live/{SECRET}", "rtmp://host/***"),
        (f"wss://broker/{SECRET}/mqtt", "wss://broker/***"),
        (f"ws://broker/mqtt?token={SECRET}", "ws://broker/***"),
    ],
)
def test_what_may_be_secret_in_an_address_is_hidden(address: str, shown: str) -> None:
    assert hide_in_address(address) == shown


@pytest.mark.parametrize(
    "address",
    [
        "0",
        "samples",
        "/data/video@2x.mp4",
        "mqtt://192.168.1.10:1883",
        "mqtt://[::1]:1883",
        "mqtts://HOST:PORT",
        "ws://broker:9001/mqtt",
        "rtsp://cam",
        "https://[fe80::1]/",
        "https://data.caltech.edu/records/mzrjq-6wc02",
    ],
)
def test_other_addresses_stay_as_they_are(address: str) -> None:
    assert hide_in_address(address) == hide_secrets(address) == address
    assert not holds_secret(address)


def test_all_addresses_in_a_text_are_hidden_and_the_text_stays() -> None:
    text = f"broker mqtt://b:1883: lost; (rtsp://u:{SECRET}@h/x?a={SECRET}), 'ws://h/{SECRET}' vp/home/camera/c\n  u:p"
    shown = "broker mqtt://b:1883: lost; (rtsp://***@h/***), 'ws://h/***' vp/home/camera/c\n  u:p"
    assert hide_secrets(text) == shown
    assert hide_secrets(shown) == shown


@pytest.mark.parametrize(
    ("address", "holds"),
    [
        (f"rtsp://admin:{SECRET}@cam", True),
        (f"http://cam/?token={SECRET}", True),
        (f"wss://broker/{SECRET}", True),
        ("mqtt://user@broker", False),
        ("rtsp://admin@cam/stream?channel=1", False),
        ("http://cam/video?channel=1&fps=5", False),
        ("rtsp://cam/h264Preview_01_main", False),
        ("http://cam/path/token", False),
        ("http://cam:8080/axis-cgi/mjpg/video.cgi", False),
        ("https://[fe80::1]/snapshot.jpg", False),
        ("http://cam/abcdef123456/1.jpg", True),
        (f"rtsps://cam:7441/aBcDeF{SECRET}", True),
        (f"http://cam/token/{SECRET}/live", True),
        (f"http://cam/api_key/{SECRET}", True),
        (f"rtsp://cam/user=admin_password={SECRET}_channel=1.sdp", True),
        (f"rtmp://host/live/{SECRET}", True),
    ],
)
def test_a_password_is_told_from_a_user_and_from_harmless_parameters(address: str, *, holds: bool) -> None:
    assert holds_secret(address) is holds


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('404 (Not Found, "no /onvif1/s%20t?k=1234 here")', '404 (Not Found, "no /*** here")'),
        ("/onvif1/s t: 404", "/***: 404"),
        ("unknown key k=1234", "unknown key ***"),
        ("Connection refused", "Connection refused"),
    ],
)
def test_what_a_server_says_of_an_address_does_not_show_it(said: str, shown: str) -> None:
    assert hide_parts_of("http://u:p@cam/onvif1/s%20t?k=1234", said) == shown
    assert hide_parts_of("http://cam/", said) == hide_parts_of("0", said) == said


def test_pages_that_messages_name_stay_as_they_are() -> None:
    root = Path(vp_mqtt.__file__).parent
    pages = {page for folder in ("training", "demo") for page in _pages(root / folder)}
    assert len(pages) > 5
    assert all(hide_in_address(page) == page for page in pages)


def _pages(folder: Path) -> set[str]:
    """Return the addresses in the code of a package, without those that it puts together."""
    texts = [path.read_text() for path in folder.rglob("*.py")]
    return {page for text in texts for page in re.findall(r"\bhttps?://[\w.-]+\.\w+/[^\s\"'{})]*", text)}


@given(
    st.from_regex(r"[a-zA-Z][a-zA-Z0-9+.-]{0,9}", fullmatch=True),
    st.text(max_size=9),
    st.text(max_size=9).map(lambda some: some.replace("\n", "")),
)
def test_no_password_is_ever_shown_whatever_is_in_it(scheme: str, user: str, more: str) -> None:
    assert SECRET not in hide_in_address(f"{scheme}://{user}:{more}{SECRET}{more}@host/path")


@pytest.mark.parametrize("text", ["a" * 100_000, "?" * 100_000, "a=" * 50_000, "http://" * 15_000, "@:" * 50_000])
def test_long_texts_take_no_time(text: str) -> None:
    started = time.thread_time()
    hide_secrets(text)
    assert time.thread_time() - started < 1


def test_the_brokers_of_a_cluster_are_shown_and_hold_no_secret() -> None:
    brokers = "mqtts://one:8883,two:8883,[::1]:8883"
    assert hide_in_address(brokers) == brokers
    assert not holds_secret(brokers)
    assert hide_in_address("mqtt://someone@one:1,two:2") == "mqtt://***@one:1,two:2"
    assert "cret" not in hide_in_address("mqtt://u:se,cret@one:1,two:2")
    assert holds_secret("mqtt://u:se,cret@one:1,two:2")
