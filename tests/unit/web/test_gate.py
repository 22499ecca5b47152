"""The whole application behind its gate, without a broker: what each kind of request is answered."""

from __future__ import annotations

import asyncio
import html
import sqlite3
import stat
import time
from pathlib import Path

import argon2
import httpx2
import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.support.labels import label, state_message
from vp_mqtt.config.loading import load
from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.web.context import Context
from vp_mqtt.web.history.changes import StateChange, describe
from vp_mqtt.web.history.store import History
from vp_mqtt.web.listener import Listener
from vp_mqtt.web.pages.sign_in import local_path
from vp_mqtt.web.security import passwords
from vp_mqtt.web.security.kept_key import kept_key
from vp_mqtt.web.security.passwords import set_password
from vp_mqtt.web.security.people import PageRole
from vp_mqtt.web.server import access, build, with_kept_key
from vp_mqtt.web.teaching.studio import Studio
from vp_mqtt.web.templating import Templates

OPERATOR, VIEWER = "correct horse battery", "another good phrase"
NASTY = "<script>alert(1)</script>\"'&"
PICTURE = encode_jpeg(np.zeros((8, 8, 3), np.uint8), 90)
FRAME = label(None).frame


@pytest.fixture(autouse=True)
def _own_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def client(tmp_path: Path, *, base: str = "http://127.0.0.1:8321", peer: str = "127.0.0.1", **flags: str) -> TestClient:
    """Return a browser on a page that shows a site with a frame whose label has a nasty name."""
    settings = load(WebSettings, {"history": str(tmp_path), **flags})
    now = time.monotonic()
    view = SiteView(settings.site, now=now)
    view.note_picture("cam0", FRAME, PICTURE, now)
    view.note_label(view.overview.note_label(label(NASTY), now, time.time()))
    history = History(tmp_path / "home.sqlite", days=7, megabytes=10)
    history.open()
    state = state_message(NASTY)
    history.add(describe(view, state, retained=False, arrived=now, now=now), time.time())
    listener = Listener(settings, view, on_end=lambda _: None)
    context = Context(settings, listener, access(settings), Templates(settings.site), history)
    return TestClient(build(context), base_url=base, client=(peer, 50_000), follow_redirects=False)


def with_passwords(tmp_path: Path) -> str:
    path = tmp_path / "web.passwords"
    set_password(path, PageRole.OPERATOR, OPERATOR)
    set_password(path, PageRole.VIEWER, VIEWER)
    return str(path)


def _token(page: str) -> str:
    return page.split('name="csrf" value="')[1].split('"', maxsplit=1)[0]


def sign_in(browser: TestClient, password: str) -> int:
    token = _token(browser.get("/sign-in").text)
    answer = browser.post("/sign-in", data={"csrf": token, "password": password})
    return int(answer.status_code)


def test_on_this_machine_everyone_sees_all_pages(tmp_path: Path) -> None:
    browser = client(tmp_path)
    for path in ("/", "/boards", "/history"):
        answer = browser.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_first_state_of_a_camera_comes_after_no_other(tmp_path: Path) -> None:
    browser = client(tmp_path)
    history = History(tmp_path / "home.sqlite", days=7, megabytes=10)
    history.open()
    now = time.time()
    first = StateChange("cam0", since=now, label=None, previous=None, confidence=None, reason="labels", bundle="things")
    history.add(first, now)
    page = browser.get("/history").text
    assert "the first state" in page
    assert "after unknown" in page


def test_forms_of_a_page_that_was_open_count_after_a_restart(tmp_path: Path) -> None:
    def restarted(folder: Path) -> TestClient:
        settings = load(WebSettings, {"history": str(folder)})
        listener = Listener(settings, SiteView(settings.site, now=0.0), on_end=lambda _: None)
        who = with_kept_key(access(settings), settings)
        (studio := Studio(load(WebSettings, {"teach": str(tmp_path / "teach")}), listener)).open()
        context = Context(settings, listener, who, Templates(settings.site), studio=studio)
        return TestClient(build(context), base_url="http://127.0.0.1:8321", client=("127.0.0.1", 50_000))

    own = tmp_path / "state"
    token = _token(restarted(own).get("/teach").text)
    file = own / "home.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "class &#39;fork&#39; created" in restarted(own).post("/teach/classes", data=forks(token)).text

    # A key that others could read, or that is none, is not used any more.
    file.chmod(0o644)
    refused = restarted(own).post("/teach/classes", data=forks(token))
    assert (refused.status_code, refused.headers["HX-Refresh"]) == (403, "true")
    file.write_text("x")
    assert restarted(own).get("/teach").status_code == 200
    assert file.stat().st_mode & 0o777 == 0o600
    # Where none can be kept, the page works all the same.
    (tmp_path / "file").touch()
    assert restarted(tmp_path / "file" / "state").get("/teach").status_code == 200


def forks(token: str) -> dict[str, str]:
    return {"csrf": token, "name": "fork"}


def test_asking_for_the_head_of_a_stream_ends(tmp_path: Path) -> None:
    for path in ("/live/events", "/boards/events"):
        assert client(tmp_path).head(path).status_code == 200


def test_names_from_the_network_are_escaped_and_nothing_is_inline(tmp_path: Path) -> None:
    browser = client(tmp_path)
    for path in ("/", "/boards", "/history"):
        html = browser.get(path).text
        assert "<script>alert" not in html
        assert " style=" not in html
        assert " onclick=" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in browser.get("/").text
    assert "&lt;script&gt;" in browser.get("/history").text


def test_a_picture_is_served_as_it_was_published(tmp_path: Path) -> None:
    browser = client(tmp_path)
    for path in (f"/cameras/cam0/frames/{FRAME}", "/cameras/cam0/frames/gone", "/history/1/picture"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert answer.content == PICTURE
    assert browser.get("/cameras/other/frames/x").status_code == 404
    for number in ("2", "-1", "x", "9" * 30):
        assert browser.get(f"/history/{number}/picture").status_code == 404


def test_a_picture_of_a_history_that_cannot_be_read_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = client(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", fail)
    assert browser.get("/history/1/picture").status_code == 404
    assert "database or disk is full" in browser.get("/history").text


@pytest.mark.parametrize("path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/vendor/../../server.py"])
def test_nothing_but_static_files_is_served_from_there(tmp_path: Path, path: str) -> None:
    assert client(tmp_path).get(path).status_code == 404


@pytest.mark.parametrize(
    "query", ["before=x", "before=-1", f"before={'9' * 30}", "label=%00", "camera=%27--", "label==" * 50]
)
def test_odd_filters_find_nothing_or_everything_but_are_no_fault(tmp_path: Path, query: str) -> None:
    assert client(tmp_path).get(f"/history?{query}").status_code == 200


def test_a_rebound_name_is_refused(tmp_path: Path) -> None:
    assert client(tmp_path, base="http://evil.example").get("/").status_code == 421


def test_others_are_let_in_with_a_password_or_a_proxy_only(tmp_path: Path) -> None:
    for flags in ({"listen": "0.0.0.0:8321"}, {"allowed_hosts": "cameras.example"}):
        with pytest.raises(UserError, match="--set-password"):
            client(tmp_path, **flags)
    with pytest.raises(UserError, match="there is none"):
        client(tmp_path, passwords_file=str(tmp_path / "none"))


def test_without_a_session_there_is_the_way_to_sign_in_and_nothing_else(tmp_path: Path) -> None:
    browser = client(tmp_path, passwords_file=with_passwords(tmp_path))
    page = browser.get("/boards", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=/boards")
    for path in ("/live/events", f"/cameras/cam0/frames/{FRAME}", "/history/1/picture"):
        assert browser.get(path, headers={"Accept": "*/*"}).status_code == 401
    assert browser.get("/static/page.css").status_code == 200
    assert NASTY[:8] not in browser.get("/sign-in").text


def test_signing_in_leads_to_the_whole_address_that_was_asked_for_and_nowhere_else(tmp_path: Path) -> None:
    browser = client(tmp_path, passwords_file=with_passwords(tmp_path))

    def landed(path: str) -> str:
        way = browser.get(path, headers={"Accept": "text/html"}).headers["location"]
        form = browser.get(way).text
        action = html.unescape(form.split('method="post" action="')[1].split('"', maxsplit=1)[0])
        answer = browser.post(action, data={"csrf": _token(form), "password": OPERATOR})
        browser.cookies.clear()
        return str(answer.headers["location"])

    for path in ("/history?camera=cam0&label=%3DCoat+%26+hat", "/teach/class?name=L%C3%B6ffel%2F%3Fx", "/boards"):
        assert landed(path) == path
    assert landed("/history?camera=http://evil.example//") == "/history?camera=http://evil.example//"
    assert landed("http://127.0.0.1:8321//evil.example/?a=b") == "/"


@pytest.mark.parametrize("target", ["//[", "http://[", "/\\evil.example", "//evil.example", "evil", "/\n"])
def test_an_address_to_go_to_after_signing_in_that_is_none_of_ours_is_the_start(target: str) -> None:
    assert local_path(target) == "/"


@pytest.mark.parametrize("mode", [0o622, 0o640, 0o604])
def test_a_key_that_others_may_have_written_or_read_is_not_used(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "home.key"
    first = kept_key(file)
    assert kept_key(file) == first
    file.chmod(mode)
    assert kept_key(file) != first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_signing_in_opens_the_pages_and_signing_out_closes_them(tmp_path: Path) -> None:
    browser = client(tmp_path, passwords_file=with_passwords(tmp_path))
    assert sign_in(browser, "wrong") == 403
    assert sign_in(browser, OPERATOR) == 303
    cookie = next(one for one in browser.cookies.jar if one.name == "vp_session")
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "strict"
    page = browser.get("/")
    assert page.status_code == 200
    token = _token(page.text)
    assert browser.post("/sign-out", data={"csrf": "wrong"}).status_code == 403
    assert browser.post("/sign-out", data={"csrf": token}, headers={"Origin": "http://evil.example"}).status_code == 403
    assert browser.get("/").status_code == 200
    assert browser.post("/sign-out", data={"csrf": token}).status_code == 303
    assert browser.get("/", headers={"Accept": "*/*"}).status_code == 401
    # Nor does the session count for whoever has kept its cookie, such as a stream that is still open.
    kept = {"Accept": "*/*", "Cookie": f"vp_session={cookie.value}"}
    assert browser.get("/", headers=kept).status_code == 401


def test_a_form_from_elsewhere_signs_nobody_in(tmp_path: Path) -> None:
    browser = client(tmp_path, passwords_file=with_passwords(tmp_path))
    assert browser.post("/sign-in", data={"password": OPERATOR}).status_code == 403
    assert browser.post("/sign-in", content=b"x" * 100_000).status_code == 403


def test_passwords_are_not_guessed_by_trying(tmp_path: Path) -> None:
    browser = client(tmp_path, passwords_file=with_passwords(tmp_path))
    assert [sign_in(browser, "wrong") for _ in range(6)] == [403] * 5 + [429]
    assert sign_in(browser, OPERATOR) == 429


def test_requests_at_the_same_time_try_no_more_passwords_than_one_after_another(tmp_path: Path) -> None:
    app = client(tmp_path, passwords_file=with_passwords(tmp_path)).app

    async def post_all() -> list[int]:
        transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 50_000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8321") as browser:
            token = _token((await browser.get("/sign-in")).text)
            form = {"csrf": token, "password": "wrong"}
            answers = await asyncio.gather(*(browser.post("/sign-in", data=form) for _ in range(12)))
        return sorted(answer.status_code for answer in answers)

    assert asyncio.run(post_all()) == [403] * 5 + [429] * 7


def test_a_proxy_names_who_is_there_and_nobody_else_can(tmp_path: Path) -> None:
    flags = {"allowed_hosts": "cameras.example", "trusted_proxy": "10.0.0.2", "operators": "alice"}
    base, named = "https://cameras.example", {"Remote-User": "alice"}
    behind = client(tmp_path, base=base, peer="10.0.0.2", **flags)
    assert "alice" in behind.get("/", headers=named).text
    assert behind.get("/").status_code == 401
    elsewhere = client(tmp_path, base=base, peer="10.0.0.3", **flags)
    assert elsewhere.get("/", headers=named).status_code == 401
