"""The life of a site, from its plan to its last two boards: every board in its own folder, account and network."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.emulation.network import NoNetworkError
from tests.support.namespaces import BROKER_ADDRESS, namespace_of, switched
from tests.support.provisioned import PATIENCE_S, Client, ProvisionedSite, until
from tests.support.tiny import write_bundle
from vp_mqtt.protocol.frames import ClosedBy, FrameId
from vp_mqtt.site.accounts import accounts

BOARDS = [f"pi-{index}" for index in range(6)]


@pytest.fixture
def site() -> Iterator[ProvisionedSite]:
    try:
        with switched(["broker", "pi-cam", *BOARDS]):
            with ProvisionedSite(host=BROKER_ADDRESS, namespace=namespace_of) as provisioned:
                yield provisioned
            return
    except NoNetworkError as error:
        sys.stderr.write(f"NOT SHOWN: boards in networks of their own ({error}); all on the loopback instead\n")
    with ProvisionedSite() as provisioned:
        yield provisioned


def assert_whole(watcher: Client) -> None:
    """Check that every frame from the first label on has exactly one label, in order, and that boards voted on it."""
    frames = [FrameId.parse(label.frame) for label in watcher.labels()]
    assert [frame.sequence for frame in frames] == list(range(frames[0].sequence, frames[0].sequence + len(frames))), (
        frames
    )
    # A board that takes more than 100 ms for a frame takes the newest one next: six on two cores may all pass over one.
    unlabelled = [label for label in watcher.labels() if label.label is None]
    assert all(label.closed_by is ClosedBy.SKIPPED for label in unlabelled), unlabelled
    assert len(unlabelled) <= len(frames) / 100, unlabelled


def test_a_site_survives_a_new_key_a_new_bundle_dead_boards_and_a_rollback(site: ProvisionedSite) -> None:
    site.start_broker()
    watcher = site.connect("bob")
    watcher.subscribe("vp/yard/camera/gate/label")
    site.start("fusion")
    variants = [f"variant-{index}" for index in range(6)]
    for name in variants:
        site.start(name)
    until(lambda: all(f"variant {n} is online" in site.log("fusion") for n in range(6)), "six variants are online")
    site.start("camera-gate")
    until(lambda: any(label.alive == tuple(range(6)) for label in watcher.labels()), "a label with six alive")

    reported = site.vp("alice", "site", "status", str(site.file), "--json")
    assert reported.returncode == 0, reported.stdout + reported.stderr
    status = json.loads(reported.stdout)
    assert {node["node"]: node["state"] for node in status["nodes"]} == {
        account.name: "online" for account in accounts(site.plan) if account.board is not None and account.name != "web"
    }
    assert all(node["rate"] > 0 for node in status["nodes"] if node["role"] != "variant"), status

    doctor = site.vp("variant-2", "site", "doctor", "--settings", ".", "--json")
    findings = json.loads(doctor.stdout)["findings"]
    assert not [finding for finding in findings if finding["is_well"] is False and finding["what"] != "clock"], findings
    assert {"host name", "port", "TLS", "account", "bundle", "speed"} <= {
        finding["what"] for finding in findings if finding["is_well"]
    }

    # A board is stolen; its account gets new keys.
    site.stop("variant-2", signal.SIGKILL)
    stolen = site.folder / "stolen"
    shutil.copytree(site.settings_folder("variant-2"), stolen)
    site.provision("pi-2")
    site.reinstall_broker()
    password = (stolen / "node-2.password").read_text().strip()
    thief = Client((site.host, site.port), stolen, "node-2", username="variant-2", password=password)
    assert thief.answer[0].is_failure
    thief.close()
    site.start("variant-2")
    until(lambda: site.log("fusion").count("variant 2 is online") > 1, "the board is back with its new key")

    # A new bundle, while the site runs.
    new = write_bundle(site.folder / "new", name="newer")
    pushed = site.vp("alice", "push", str(new), "--config", "operator.toml")
    assert pushed.returncode == 0, pushed.stderr
    until(lambda: watcher.labels()[-1].bundle == "newer", "labels of the new bundle")
    until(lambda: site.vp_status_bundles() == {"newer"}, "all boards run the new bundle")

    # Two boards die.
    for name in ("variant-1", "variant-3"):
        site.stop(name, signal.SIGKILL)
    until(lambda: watcher.labels()[-1].alive == (0, 2, 4, 5), "labels of four boards")
    newest = watcher.labels()[-1]
    assert newest.label == newest.truth
    reported = site.vp("alice", "site", "status", str(site.file), "--wait", "2")
    assert reported.returncode == 1
    assert re.search(r"variant-1 on board 'pi-1' is offline.*\n.*variant-3 on board 'pi-3' is offline", reported.stdout)

    # Return to the previous bundle: here, the one that the boards were installed with.
    back = site.vp("alice", "push", str(Path(site.plan.bundle)), "--config", "operator.toml")
    assert back.returncode == 0, back.stderr
    until(lambda: watcher.labels()[-1].bundle == "tiny", "labels of the first bundle")
    again = site.vp("alice", "push", "--rollback", "--config", "operator.toml")
    assert again.returncode == 0, again.stderr
    until(lambda: watcher.labels()[-1].bundle == "newer", f"labels of the bundle before, within {PATIENCE_S:g} s")
    assert_whole(watcher)


def test_the_doctor_reports_what_is_wrong_and_a_remedy(site: ProvisionedSite) -> None:
    def findings(name: str = "variant-0") -> dict[str, dict[str, str | bool | None]]:
        reported = site.vp(name, "site", "doctor", "--settings", ".", "--json")
        assert reported.returncode == 1, reported.stdout + reported.stderr
        own = [f for f in json.loads(reported.stdout)["findings"] if f["node"] in {name, site.account(name).file}]
        return {finding["what"]: finding for finding in own}

    found = findings()
    assert found["port"]["is_well"] is False
    assert "mosquitto" in str(found["port"]["remedy"])
    assert found["TLS"]["is_well"] is None
    site.start_broker()

    folder = site.settings_folder("variant-0")
    (folder / "node-0.password").write_text("wrong but long enough\n")
    found = findings()
    assert found["TLS"]["is_well"] is True
    assert found["account"]["is_well"] is False
    assert "wrong but long" not in json.dumps(found)

    (folder / "ca.crt").write_bytes((site.root / "broker" / "server.crt").read_bytes())
    assert "provision again" in str(findings()["TLS"]["remedy"])

    settings = (folder / "node-0.toml").read_text()
    (folder / "node-0.toml").write_text(settings.replace(f'"mqtts://{site.host}', '"mqtts://nobody.invalid'))
    assert findings()["host name"]["is_well"] is False
    (folder / "node-0.toml").write_text(settings.replace("deadline_ms = 2000.0", "deadline_ms = 0.01"))
    assert "smaller variant" in str(findings()["speed"]["remedy"])
    (folder / "node-0.toml").write_text(settings.replace("[variant]", "[variant]\nvarant = 1"))
    assert findings()["settings"]["is_well"] is False

    camera = site.settings_folder("camera-gate")
    text = (camera / "camera.toml").read_text()
    (camera / "camera.toml").write_text(re.sub("source = .*", 'source = "/nowhere"', text))
    assert "/nowhere" in str(findings("camera-gate")["camera"]["verdict"])
