"""The page of the settings without a browser: what it publishes, who may, and how a change is taken back."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.unit.overview.test_site_overview import status
from tests.unit.web.tuning.test_forms import CAMERA, FUSION, REGION
from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.live_settings import describe_camera, describe_fusion
from vp_mqtt.config.loading import load
from vp_mqtt.config.settings import FusionSettings
from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.mqtt.message import Outgoing
from vp_mqtt.overview.site_view import SiteView
from vp_mqtt.protocol.site_settings import MAX_SETTINGS_BYTES, CameraSettingsMessage, FusionSettingsMessage
from vp_mqtt.web.context import Context
from vp_mqtt.web.listener import Listener
from vp_mqtt.web.server import access, build
from vp_mqtt.web.templating import Templates
from vp_mqtt.web.tuning.desk import desk_of
from vp_mqtt.web.tuning.store import SettingsStore

JPEG = encode_jpeg(np.full((48, 64, 3), 90, np.uint8), 90)
FOR_FUSION, FOR_CAMERA = "vp/home/settings/fusion", "vp/home/settings/camera/yard"
YARD = load(CameraSettings, {"camera": "yard", "region": "door=0.1,0.2,0.4,0.9"})
VIEWER = {"trusted_proxy": "127.0.0.1", "operators": "olga"}


class Delivered:
    """A message that the broker has acknowledged, perhaps with a refusal."""

    def __init__(self, *, is_refused: bool) -> None:
        self.is_refused = is_refused

    def wait(self, _timeout: float) -> bool:
        return True


class Rig:
    """A browser on the page of a site with a fusion node and a camera; the broker keeps what is published."""

    def __init__(self, folder: Path, name: str = "", **flags: str) -> None:
        self.settings = load(WebSettings, {"history": str(folder), **flags})
        now = time.monotonic()
        self.view = SiteView(self.settings.site, now=now)
        nodes = (
            status("fusion", settings=describe_fusion(FusionSettings())),
            status(
                "camera",
                "cam",
                camera="yard",
                regions=("yard.door",),
                picture=(640, 480),
                settings=describe_camera(YARD),
            ),
        )
        for one in nodes:
            self.view.overview.note_status(one, retained=False, now=now)
        self.published: list[Outgoing] = []
        self.is_refused = self.is_gone = False
        listener = Listener(self.settings, self.view, on_end=lambda _: None)
        listener.publish = self._publish  # type: ignore[method-assign, assignment]
        self.desk = desk_of(self.settings)
        self.desk.publish = self._publish  # type: ignore[assignment]
        self.desk.store.open()
        context = Context(self.settings, listener, access(self.settings), Templates(self.settings.site), desk=self.desk)
        headers = {"Remote-User": name} if name else {}
        self.browser = TestClient(
            build(context), base_url="http://127.0.0.1:8321", client=("127.0.0.1", 50_000), headers=headers
        )

    def _publish(self, message: Outgoing) -> Delivered | None:
        if self.is_gone:
            return None
        self.published.append(message)
        if message.retain and not self.is_refused:
            self.desk.note(message.topic, message.payload)
        return Delivered(is_refused=self.is_refused)

    def sent(self) -> Outgoing:
        """Return the newest settings that were published."""
        return [message for message in self.published if message.retain][-1]

    def page(self) -> str:
        return self.browser.get("/settings").text

    def post(self, path: str, **fields: str) -> str:
        token = self.page().split('name="csrf" value="')[1].split('"')[0]
        answer = self.browser.post(path, data={"csrf": token, **fields})
        assert answer.status_code == 200, answer.text
        return answer.text

    def save(self, **changed: str) -> str:
        return self.post("/settings/fusion", mark=self.desk.retained(FOR_FUSION).mark, **FUSION | changed)

    def unknown(self) -> object:
        message = self.desk.retained(FOR_FUSION).message
        return message.unknown if isinstance(message, FusionSettingsMessage) else None


@pytest.fixture(autouse=True)
def _own_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The nodes of these tests take nothing.
    monkeypatch.setattr("vp_mqtt.web.pages.settings._TAKEN_WITHIN_S", 0.01)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_settings_are_published_retained_and_with_the_next_version(rig: Rig) -> None:
    assert "works with its own settings" in rig.page()
    for version in (1, 2):
        assert "Sent to the nodes" in rig.save(score=f"0.{version}")
        sent = rig.sent()
        assert (sent.topic, sent.qos, sent.retain, sent.content_type) == (FOR_FUSION, 1, True, "application/json")
        message = FusionSettingsMessage.decode(sent.payload)
        assert (message.version, message.unknown) == (version, version / 10)
        assert abs(message.changed - time.time()) < 60
    assert "has not taken the newest settings yet" in rig.page()
    mark = rig.desk.retained(FOR_CAMERA).mark
    rig.post("/settings/camera", camera="yard", mark=mark, **CAMERA)
    camera = CameraSettingsMessage.decode(rig.sent().payload)
    assert (rig.sent().topic, camera.regions) == (FOR_CAMERA, {"door": (0.1, 0.205, 0.45, 0.9)})


def test_changes_are_taken_back_one_or_all(rig: Rig) -> None:
    for score in ("0.1", "0.2", "0.2", "0.3"):
        rig.save(score=score)
    rig.post("/settings/undo", of="fusion")
    assert rig.unknown() == 0.2
    lines = rig.desk.store.newest(10)
    assert [FusionSettingsMessage.decode(one.payload).unknown if one.payload else None for one in lines] == [
        0.2, 0.3, 0.2, 0.1, None,
    ]  # fmt: skip
    rig.post("/settings/restore", number=str(lines[3].number))
    assert rig.unknown() == 0.1
    rig.post("/settings/clear", of="fusion")
    assert (rig.sent().payload, rig.sent().retain) == (b"", True)
    assert rig.unknown() is None
    rig.post("/settings/undo", of="fusion")
    assert rig.unknown() == 0.1
    assert "there is no such camera" in rig.post("/settings/clear", of="camera:../x").lower()
    assert "not kept any more" in rig.post("/settings/restore", number="99999")


def test_two_people_do_not_overwrite_each_other_unseen(rig: Rig) -> None:
    old = rig.desk.retained(FOR_FUSION).mark
    rig.save(score="0.3")
    assert "changed meanwhile" in rig.post("/settings/fusion", mark=old, **FUSION)
    assert rig.unknown() == 0.3


def test_a_form_with_too_many_regions_is_answered_with_what_to_do(rig: Rig) -> None:
    count = 33
    form = CAMERA | {f"{edge}-{n}": text for n in range(count) for edge, text in REGION.items()}
    form |= {f"region-{n}": "r" * 58 + f"{n}" for n in range(count)}
    answer = rig.post("/settings/camera", camera="yard", mark=rig.desk.retained(FOR_CAMERA).mark, **form)
    assert "at most 32 regions: take some away" in answer
    assert rig.published == [message for message in rig.published if not message.retain]


def test_a_camera_that_is_not_there_is_said_to_be_unknown(rig: Rig) -> None:
    answer = rig.post("/settings/camera", camera="nope", mark="of another", **CAMERA)
    assert "o camera node of &#39;nope&#39; is online" in answer
    assert "changed meanwhile" not in answer


def test_what_went_wrong_is_said(rig: Rig) -> None:
    assert "write a number" in rig.save(score="x")
    rig.is_refused = True
    assert "may_change = true" in rig.save()
    rig.is_gone = True
    assert "no connection to the broker" in rig.save()
    assert rig.unknown() is None


def test_settings_of_others_are_shown_and_those_that_are_none_are_not_kept(rig: Rig) -> None:
    rig.desk.note(FOR_FUSION, FusionSettingsMessage(version=7, changed=1.0, unknown="off").encode())
    assert "never unknown" in rig.page()
    for wrong in (b"{", b"x" * (MAX_SETTINGS_BYTES + 1), b'{"version": 1, "changed": 1, "unknown": 7}'):
        rig.desk.note(FOR_FUSION, wrong)
    with pytest.raises(ValueError, match="unknown topic"):
        rig.desk.note("vp/home/settings/x/y/z", b"{}")
    assert [len(one.payload) > 0 for one in rig.desk.store.newest(10)] == [True, False]
    for number in range(400):
        rig.desk.note(f"vp/home/settings/camera/cam{number}", b"{")
    assert rig.desk.retained("vp/home/settings/camera/cam399").payload == b""
    rig.save()
    assert FusionSettingsMessage.decode(rig.sent().payload).version == 1


def test_a_viewer_sees_everything_and_changes_nothing(tmp_path: Path) -> None:
    viewer = Rig(tmp_path, "vera", **VIEWER)
    html = viewer.page()
    assert "Only operators change it" in html
    assert html.count("<fieldset disabled>") == 4
    token = viewer.browser.get("/settings").text
    assert 'type="submit"' not in token
    for path in ("fusion", "camera", "clear", "undo", "restore"):
        assert viewer.browser.post(f"/settings/{path}", data=FUSION).status_code == 403
    assert viewer.published == []


def test_the_whole_picture_is_asked_for_by_operators_and_waited_for(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vp_mqtt.web.pages.settings._PATIENCE_S", 0.2)
    html = rig.page()
    assert [(one.topic, one.payload, one.retain) for one in rig.published] == [
        ("vp/home/camera/yard/capture", b"snapshot", False)
    ]
    assert '<rect x="64.0" y="96.0" width="192.0" height="336.0"/>' in html
    address = "/settings/pictures/yard?after=0"
    assert rig.browser.get(address).status_code == 404
    rig.view.snapshots.note("yard", JPEG, time.monotonic())
    assert rig.browser.get(address).content == JPEG
    rig.page()
    assert len(rig.published) == 1, "the picture is new"


def test_two_pages_of_one_site_keep_a_change_once(tmp_path: Path) -> None:
    path = tmp_path / "home.settings.sqlite"
    stores = [SettingsStore(path) for _ in range(4)]
    for store in stores:
        store.open()
    for number in range(20):
        together = threading.Barrier(len(stores))

        def note(store: SettingsStore, number: int = number, together: threading.Barrier = together) -> None:
            together.wait(10)
            store.note(FOR_FUSION, b"%d" % number, "", 1.0)

        pages = [threading.Thread(target=note, args=(store,)) for store in stores]
        for page in pages:
            page.start()
        for page in pages:
            page.join()
    assert [store.problem for store in stores] == [None] * len(stores)
    assert [int(one.payload or -1) for one in stores[0].newest(100)] == list(range(19, -2, -1))


def test_a_store_keeps_so_many_of_each_and_survives_damage(tmp_path: Path) -> None:
    store = SettingsStore(tmp_path / "home.settings.sqlite")
    store.open()
    for number in range(60):
        store.note(FOR_FUSION, b"%d" % number, "", 1.0)
    store.note(FOR_CAMERA, b"x", "olga", 2.0)
    assert [one.payload for one in store.newest(3)] == [b"x", b"", b"59"]
    assert store.newest(1)[0].person == "olga"
    assert len(store.newest(1000)) == 52
    (tmp_path / "home.settings.sqlite").write_bytes(b"no database" * 100)
    store.note(FOR_FUSION, b"1", "", 3.0)
    assert store.problem is not None
    store.open()
    store.note(FOR_FUSION, b"1", "", 3.0)
    assert store.problem is None


def test_no_camera_s_account_fills_the_forms_of_the_fusion_or_of_another_camera(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    now = time.monotonic()
    forged = load(CameraSettings, {"camera": "yard", "region": "sky=0,0,0.11,0.11"})
    shards = FusionSettings.model_validate({"state_labels": 7, "state_window": 777})
    for one in (
        status("camera", "camera-ant", camera="yard", picture=(640, 480), settings=describe_camera(forged)),
        status("fusion", "camera-ant", settings=describe_fusion(shards)),
        status("fusion", "fusion", settings=describe_fusion(FusionSettings())),
        status("camera", "camera-yard", camera="yard", picture=(640, 480), settings=describe_camera(YARD)),
    ):
        rig.view.overview.note_status(one, retained=False, now=now)
        page = rig.browser.get("/settings").text
    assert 'value="door"' in page
    assert 'value="sky"' not in page
    assert "777" not in page
    # That another node says it has the camera is seen.
    assert "camera-ant" in page


def test_forms_show_what_the_broker_keeps_whatever_nodes_say(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    kept = FusionSettingsMessage.model_validate({"version": 1, "changed": 1.0, "unknown": 0.375})
    rig.desk.note(FOR_FUSION, kept.encode())
    page = rig.browser.get("/settings").text
    assert 'value="0.375"' in page
