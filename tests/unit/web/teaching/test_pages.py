"""The teaching pages without a browser: what forms do, who may send them, and what uploads may hold."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.unit.web.teaching.test_queue import look, sight
from vp_mqtt.config.loading import load
from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.web.context import Context
from vp_mqtt.web.listener import Listener
from vp_mqtt.web.security import uploads
from vp_mqtt.web.server import access, build
from vp_mqtt.web.teaching.job import JobState, JobView
from vp_mqtt.web.teaching.results import Result
from vp_mqtt.web.teaching.studio import Studio
from vp_mqtt.web.teaching.trainer import Sent, choose_better
from vp_mqtt.web.templating import Templates

NASTY = "<b onclick=x>\"'&"
JPEG = encode_jpeg(np.full((48, 64, 3), 90, np.uint8), 90)
ALIKE = [encode_jpeg(np.full((48, 64, 3), grey, np.uint8), 90) for grey in (90, 120, 150)]
VIEWER = {"trusted_proxy": "127.0.0.1", "operators": "olga"}


class Rig:
    """A browser on the pages of a site with two classes and two frames that wait."""

    def __init__(self, folder: Path, name: str = "", **flags: str) -> None:
        self.settings = load(WebSettings, {"teach": str(folder / "teach"), **flags})
        self.view = SiteView(self.settings.site, now=time.monotonic())
        self.listener = listener = Listener(self.settings, self.view, on_end=lambda _: None)
        self.studio = Studio(self.settings, listener)
        self.studio.open()
        for one in ("cup", "spoon"):
            self.studio.teaching.create(one)
        for number in range(2):
            self.studio.teaching.queue.offer(sight(number), JPEG, look(number))
        context = Context(
            self.settings, listener, access(self.settings), Templates(self.settings.site), studio=self.studio
        )
        headers = {"Remote-User": name} if name else {}
        self.browser = TestClient(
            build(context), base_url="http://127.0.0.1:8321", client=("127.0.0.1", 50_000), headers=headers
        )

    def token(self) -> str:
        return self.browser.get("/teach").text.split('name="csrf" value="')[1].split('"')[0]

    def post(self, path: str, **fields: str) -> str:
        answer = self.browser.post(path, data={"csrf": self.token(), **fields})
        assert answer.status_code == 200, answer.text
        return answer.text

    def counts(self) -> dict[str, int]:
        return {one.name: len(one.pictures) for one in self.studio.teaching.collection.classes()}


@pytest.fixture(autouse=True)
def _own_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_frames_are_labelled_dismissed_and_put_back_by_forms_alone(rig: Rig) -> None:
    assert rig.browser.get("/teach/frames/1").content == JPEG
    assert "pick at least one" in rig.post("/teach/label", **{"class": "cup"})
    page = rig.post("/teach/label", **{"class": "cup", "pick-1": "1", "pick-2": "x"})
    assert "1 frame into &#39;cup&#39;" in page
    assert rig.counts() == {"cup": 1, "spoon": 0}
    assert "Nothing waits" in rig.post("/teach/label", **{"dismiss": "1", "pick-2": "2"})
    rig.post("/teach/undo")
    rig.post("/teach/undo")
    assert (rig.counts()["cup"], rig.studio.teaching.queue.waiting()) == (0, 2)
    assert "no class &#39;fork&#39;" in rig.post("/teach/label", **{"class": "fork", "pick-1": "1"})


def test_a_queue_that_cannot_be_read_is_said_once_and_is_no_fault_of_its_parts(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "More frames" in rig.browser.get("/teach/waiting?shown=1").text
    monkeypatch.setattr(sqlite3, "connect", fail_as_on_a_full_disk)
    assert "Frames cannot be kept: database or disk is full" in rig.browser.get("/teach").text
    part = rig.browser.get("/teach/waiting?shown=1")
    assert (part.status_code, part.text.strip()) == (200, "")
    assert rig.browser.get("/teach/frames/1").status_code == 404


def fail_as_on_a_full_disk(*_: object, **__: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_classes_and_their_pictures_are_changed(rig: Rig) -> None:
    assert "there is a class" in rig.post("/teach/classes", name="Cup")
    rig.post("/teach/classes", name=NASTY.replace("/", ""))
    html = rig.browser.get("/teach").text
    assert "<b onclick" not in html
    rig.studio.teaching.collection.add("cup", JPEG, f"{NASTY}.jpg")
    rig.studio.teaching.collection.add("cup", JPEG, "plain.jpg")
    html = rig.browser.get("/teach/class", params={"name": "cup"}).text
    assert "<b onclick" not in html
    picture = rig.browser.get("/teach/picture", params={"class": "cup", "file": "plain.jpg"})
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    for file in ("../../queue.sqlite", "/etc/passwd", "none.jpg"):
        assert rig.browser.get("/teach/picture", params={"class": "cup", "file": file}).status_code == 404
    rig.post("/teach/class/pictures", name="cup", **{"class": "spoon", "pick-1": "plain.jpg"})
    rig.post("/teach/class/pictures", name="spoon", delete="1", **{"pick-1": "plain.jpg"})
    assert "plain.jpg" not in rig.post("/teach/class/rename", name="spoon", new="fork")
    rig.post("/teach/class/delete", name="fork")
    assert rig.counts() == {NASTY: 0, "cup": 1}
    assert "no class" in rig.browser.get("/teach/class", params={"name": "fork"}).text


def test_all_pictures_of_a_page_are_moved_however_long_their_names_are(rig: Rig) -> None:
    names = [f"{'ü' * 120}{number:03}.jpg" for number in range(60)]
    for name in names:
        rig.studio.teaching.collection.add("cup", JPEG, name)
    picked = {f"pick-{number}": name for number, name in enumerate(names)}
    assert "60 pictures moved" in rig.post("/teach/class/pictures", name="cup", **{"class": "spoon", **picked})
    assert rig.counts() == {"cup": 0, "spoon": 60}
    assert "60 pictures deleted" in rig.post("/teach/class/pictures", name="spoon", delete="1", **picked)
    too_much = {"csrf": rig.token(), "name": "x" * 140_000}
    assert rig.browser.post("/teach/class/pictures", data=too_much).status_code == 400
    assert rig.browser.post("/teach/classes", data={**too_much, "name": "x" * 17_000}).status_code == 400


def test_pictures_are_uploaded_within_limits(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def upload(files: list[bytes], csrf: str) -> tuple[int, str]:
        parts = [("files", (f"../{n}.jpg", data, "image/jpeg")) for n, data in enumerate(files)]
        address = "/teach/class/upload?name=cup"
        answer = rig.browser.post(address, data={"csrf": csrf, "name": "cup"}, files=parts)
        return answer.status_code, answer.text

    assert upload([JPEG], "wrong")[0] == 403
    token = rig.token()
    assert upload(ALIKE[:2], token)[0] == 200
    assert rig.counts()["cup"] == 2
    assert "1 of 2 added; left out: 1 no JPEG or PNG, or too large" in upload([ALIKE[2], b"<svg/>"], token)[1]
    assert "0 of 1 added; left out: 1 no JPEG or PNG" in upload([b""], token)[1]
    # A copy of a picture would be held out as well as learnt.
    repeated = upload([ALIKE[0], ALIKE[1], b"<svg/>"], token)[1]
    assert "0 of 3 added; left out: 2 there already, 1 no JPEG or PNG, or too large" in repeated
    monkeypatch.setattr(uploads, "MAX_FILES", 2)
    is_on_page, text = '<h1><a href="/teach">Teach</a>', "that is too much at once: 200 files, 20 MB each and 200 MB"
    status, html = upload([JPEG] * 3, token)
    assert (status, is_on_page in html, text in html) == (200, True, True)
    monkeypatch.setattr(uploads, "MAX_FILE_BYTES", 100)
    assert "0 of 1 added" in upload([JPEG], token)[1]
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 1000)
    status, html = upload([bytes(2000)], token)
    assert (status, is_on_page in html, text in html) == (200, True, True)
    assert rig.counts()["cup"] == 3
    assert not (rig.studio.folder.path / "0.jpg").exists()


def test_a_frame_is_captured_as_it_was_published(rig: Rig) -> None:
    assert (
        "no picture of a camera"
        in rig.browser.post("/teach/capture", data={"csrf": rig.token(), "class": "cup", "count": "1"}).text
    )
    rig.view.note_picture("cam0", "00000001-1", JPEG, time.monotonic())
    fields = {"csrf": rig.token(), "class": "cup", "camera": "cam0", "count": "1"}
    assert [rig.browser.post("/teach/capture", data=fields).text for _ in range(2)] == ["1", "0"]
    assert rig.studio.teaching.collection.path("cup", "cam0-00000001-1.jpg").read_bytes() == JPEG


def test_a_camera_that_has_stopped_is_neither_chosen_nor_captured_from(rig: Rig) -> None:
    now = time.monotonic()
    rig.view.note_picture("a-old", "00000001-1", JPEG, now - 60)
    assert '<option value="a-old" selected>a-old, stopped</option>' in rig.browser.get("/teach").text
    rig.view.note_picture("b-new", "00000001-1", JPEG, now)
    html = rig.browser.get("/teach").text
    assert html.index('<option value="b-new" selected>b-new</option>') < html.index('<option value="a-old">')
    fields = {"csrf": rig.token(), "class": "cup", "camera": "a-old", "count": "1"}
    refused = rig.browser.post("/teach/capture", data=fields)
    assert (refused.status_code, refused.text) == (409, "a-old has stopped: its newest picture is an old one")
    assert rig.counts()["cup"] == 0


@pytest.mark.parametrize(
    "path",
    [
        *("/teach/label", "/teach/undo", "/teach/classes", "/teach/capture", "/teach/class/pictures"),
        *("/teach/class/rename", "/teach/class/delete", "/teach/class/upload"),
        *("/train/start", "/train/send", "/train/back", "/train/cancel"),
    ],
)
def test_who_only_looks_changes_nothing_and_sees_no_forms(tmp_path: Path, path: str) -> None:
    rig = Rig(tmp_path, "victor", **VIEWER)
    for page in ("/teach", "/train", "/teach/class?name=cup"):
        html = rig.browser.get(page).text
        assert 'method="post" action="/t' not in html.replace('action="/teach/label"', "").replace(
            'action="/teach/class/pictures"', ""
        )
    csrf = rig.browser.get("/teach").text.split('name="csrf" value="')[1].split('"')[0]
    assert rig.browser.post(path, data={"csrf": csrf}).status_code == 403
    # Nor does one who may, but whose form comes from elsewhere.
    rig.browser.headers["Remote-User"] = "olga"
    assert rig.browser.post(path, data={"csrf": "wrong"}).status_code in {403, 415}


@pytest.mark.parametrize("part", ["job", "tuning"])
def test_a_part_of_the_page_that_asks_for_a_job_of_before_a_restart_gets_the_whole_page(rig: Rig, part: str) -> None:
    answer = rig.browser.get("/train", headers={"HX-Request": "true", "HX-Target": part})
    assert (answer.headers["HX-Retarget"], answer.headers["HX-Reselect"]) == ("#teach", "#teach")
    assert "HX-Retarget" not in rig.browser.get("/train", headers={"HX-Target": "teach"}).headers


def test_the_result_of_a_training_is_shown_with_what_is_doubtful(rig: Rig) -> None:
    assert "What to expect" not in rig.browser.get("/train").text
    rig.studio.teaching.collection.add("cup", JPEG, "a.jpg")
    rig.studio.teaching.collection.add("cup", JPEG, "b.jpg")
    held = {"images": 8, "fused": 0.75, "interval": [0.4, 0.93], "variants": [0.7, 0.5], "unknown": 0.125}
    rig.studio.trainer.result = Result.model_validate(
        {
            "bundle": "home-1",
            "digest": "0000002a",
            "out": "/nowhere",
            "classes": ["cup", "spoon"],
            "pictures": 40,
            "zoom": 1.15,
            "seconds": 12.0,
            "cross_validated": 0.8,
            "advice": ["more pictures help"],
            "after": {**held, "confusion": [[4, 0], [2, 2]]},
            "doubtful": [{"file": "cup/b.jpg", "seems": "spoon", "confidence": 0.9}],
        }
    )
    html = rig.browser.get("/train").text
    for text in ("75%", "of 8 pictures", "40 to 93%", "12% called unknown", "1 in cup", "without 7 % at each edge"):
        assert text in html
    assert "More pictures help." in html
    html = rig.browser.get("/teach/class", params={"name": "cup"}).text
    assert html.index("b.jpg") < html.index("a.jpg")
    assert "seems spoon" in html
    assert "there is no bundle to send" in rig.post("/train/send")
    assert "at least two classes" in rig.post("/train/start")


def test_a_broker_that_takes_no_bundles_of_the_page_is_said_in_one_line(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = "broker x: it has not kept the bundle 'b' whole; check its access rules"
    view = JobView(
        "send", JobState.FAILED, "", 0.0, 2.0, ("refused (Not authorized); check the access rules",), problem
    )
    monkeypatch.setattr(rig.studio.trainer, "job", lambda: view)
    html = rig.browser.get("/train").text
    assert "may_push = true" in html
    assert problem not in html
    assert "(Not authorized)" in html


def result_of(folder: Path) -> Result:
    found = {"bundle": "a", "digest": "0" * 8, "out": str(folder), "classes": ["cup", "spoon"], "pictures": 80}
    return Result.model_validate({**found, "seconds": 9.0, "after": {**held(17), "interval": [0.6, 0.95]}})


def held(right: int) -> dict[str, object]:
    return {"images": 20, "fused": right / 20, "variants": [0.5, right / 20], "unknown": 0.1, "confusion": None}


@pytest.mark.parametrize(
    ("taken", "said"), [((), "no board has taken the bundle"), (("one",), "done"), (("one", "two"), "done")]
)
def test_sending_is_done_where_a_board_has_taken_the_bundle(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, taken: tuple[str, ...], said: str
) -> None:
    trainer = rig.studio.trainer
    trainer.sent = Sent("things", taken, ("three not yet",))
    view = JobView("send", JobState.DONE, "", 0.0, 3.0, (), "")
    monkeypatch.setattr(trainer, "job", lambda: view)
    html = rig.browser.get("/train").text
    assert html.partition("Sending to the boards</b>")[2].partition("<span")[0].strip() == said


@pytest.mark.parametrize(("right", "is_kept"), [(18, True), (17, False), (3, False)])
def test_the_better_of_two_families_counts(tmp_path: Path, *, right: int, is_kept: bool) -> None:
    first = result_of(tmp_path)
    out = tmp_path / "tuned"
    out.mkdir()
    found = {"bundle": "b", "digest": "1" * 8, "out": str(out), "zoom": 1.1, "seconds": 90.0}
    found |= {"outcome": held(right), "outcome_before": held(17)}
    tuned, result = choose_better(first, found | {"interval": [0, 1], "interval_before": [0, 1]})
    assert (tuned.is_kept, result.is_tuned, out.exists()) == (is_kept, is_kept, is_kept)
    assert result.out == (str(out) if is_kept else first.out)
    assert result.zoom == (1.1 if is_kept else first.zoom)
    with pytest.raises(ValueError, match="missing"):
        choose_better(first, found)


def test_fine_tuning_is_offered_where_it_is_possible(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = rig.studio.trainer
    assert "Fine-tune" not in rig.browser.get("/train").text
    assert "train first" in rig.post("/train/fine-tune")
    trainer.result = result_of(tmp_path)
    (rig.studio.folder.path / "split").mkdir()
    monkeypatch.setattr("vp_mqtt.web.teaching.trainer.can_fine_tune", lambda: False)
    monkeypatch.setattr("vp_mqtt.web.pages.train.can_fine_tune", lambda: False)
    assert "pip install &#39;.[train]&#39;" in rig.browser.get("/train").text.replace("'", "&#39;")
    assert "needs torch" in rig.post("/train/fine-tune")
    monkeypatch.setattr("vp_mqtt.web.pages.train.can_fine_tune", lambda: True)
    running = JobView("fine-tune", JobState.RUNNING, "fine-tuning", 41.0, 7.0, (), "")
    monkeypatch.setattr(trainer, "tuning", lambda: running)
    html = rig.browser.get("/train").text
    assert 'value="41"' in html
    assert "Train now" not in html
    assert '<button type="submit" id="send">Send to boards</button>' in html, "the first version can be sent meanwhile"


def test_before_the_first_training_no_newest_bundle_is_spoken_of(rig: Rig) -> None:
    html = rig.browser.get("/train").text
    assert 'See them in <a href="/teach">' in html
    assert "run the newest bundle" not in html
