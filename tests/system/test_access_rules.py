"""Access control of a provisioned Mosquitto: who can connect, and what each account may do."""

from __future__ import annotations

import datetime as dt
import re
import socket
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.provisioned import SITE, ProvisionedSite, until
from vp_mqtt.local.ports import free_port
from vp_mqtt.protocol.messages import AnnounceMessage
from vp_mqtt.site.login import person_settings
from vp_mqtt.site.pki import Authority, KeyPair, new_authority, validity
from vp_mqtt.site.problems import unreachable

NOW = dt.datetime.now(dt.UTC)
FRAME = f"vp/{SITE}/camera/gate/frame"
ANNOUNCE = f"vp/{SITE}/camera/gate/announce"
LABEL = f"vp/{SITE}/camera/gate/label"
BUNDLE = f"vp/{SITE}/bundle/current"
CHUNK = f"vp/{SITE}/bundle/00/manifest/0"
CAPTURE = f"vp/{SITE}/camera/gate/capture"
SNAPSHOT = f"vp/{SITE}/camera/gate/snapshot"
FOR_FUSION = f"vp/{SITE}/settings/fusion"
FOR_CAMERA = f"vp/{SITE}/settings/camera/gate"
SETTINGS = {FOR_FUSION, FOR_CAMERA, f"vp/{SITE}/settings/camera/other"}


def vote(variant: int) -> str:
    return f"vp/{SITE}/camera/gate/vote/{variant}"


def status(node: str) -> str:
    return f"vp/{SITE}/node/{node}/status"


def stats(node: str) -> str:
    return f"vp/{SITE}/node/{node}/stats"


NODES = ["camera-gate", "variant-2", "variant-3", "fusion", "fusion-pi-1"]
TOPICS = [
    *(FRAME, ANNOUNCE, LABEL, vote(2), vote(3), BUNDLE, CHUNK, CAPTURE, SNAPSHOT, *SETTINGS),
    *map(status, NODES),
    *map(stats, NODES),
    *(
        *(f"vp/{SITE}/camera/other/{kind}" for kind in ("frame", "announce", "vote/2", "label", "state")),
        "vp/elsewhere/camera/gate/frame",
        "anything",
        f"vp/{SITE}",
        "homeassistant/x",
        "homeassistant/status",
    ),
]
ALLOWED = {
    "camera-gate": {FRAME, ANNOUNCE, SNAPSHOT, status("camera-gate"), stats("camera-gate")},
    "variant-2": {vote(2), status("variant-2"), stats("variant-2")},
    "variant-3": {vote(3), status("variant-3"), stats("variant-3")},
    "fusion": {LABEL, status("fusion"), stats("fusion")},
    "fusion-pi-1": {LABEL, status("fusion-pi-1"), stats("fusion-pi-1")},
    "web": set(),
    "bob": set(),
    "carol": set(),
    "hass": {CAPTURE, "homeassistant/status"},
    "alice": {BUNDLE, CHUNK, CAPTURE, *SETTINGS, *map(status, NODES)},
}
# Fusion nodes that share the cameras read each other's statuses and stats, and their own.
READ_BY_FUSION = {ANNOUNCE, vote(2), vote(3), BUNDLE, CHUNK, FOR_FUSION, *map(status, NODES), *map(stats, NODES)}
READABLE = {
    "camera-gate": {LABEL, CAPTURE, FOR_CAMERA, *map(status, NODES)},
    "variant-2": {FRAME, BUNDLE, CHUNK, status("variant-2")},
    "fusion": READ_BY_FUSION,
    "fusion-pi-1": READ_BY_FUSION,
    "web": {
        *(FRAME, ANNOUNCE, LABEL, vote(2), vote(3), BUNDLE, CHUNK, CAPTURE, SNAPSHOT, *SETTINGS),
        *map(status, NODES),
        *map(stats, NODES),
    },
    "bob": {LABEL, *map(status, NODES), *map(stats, NODES)},
    "hass": {LABEL, FRAME, f"vp/{SITE}/camera/other/frame", *map(status, NODES), *map(stats, NODES)},
    "carol": {LABEL, FRAME, f"vp/{SITE}/camera/other/frame", *map(status, NODES), *map(stats, NODES)},
}


@pytest.fixture(scope="module")
def site() -> Iterator[ProvisionedSite]:
    with ProvisionedSite() as running:
        running.edit('[fusion]\nboard = "pi-0"', '[fusion]\nboard = "pi-0"\nshards = ["pi-1"]')
        running.provision()
        running.start_broker()
        yield running


@pytest.mark.parametrize("account", list(ALLOWED))
def test_an_account_publishes_what_its_role_needs_and_nothing_else(site: ProvisionedSite, account: str) -> None:
    client = site.connect(account)
    assert {topic for topic in TOPICS if client.may_publish(topic)} == ALLOWED[account]


@pytest.mark.parametrize("account", list(READABLE))
def test_an_account_reads_what_its_role_needs_and_nothing_else(site: ProvisionedSite, account: str) -> None:
    reader = site.connect(account)
    reader.subscribe("#")
    reader.received.clear()
    writers = {name: site.connect(name) for name in ALLOWED if name != account and ALLOWED[name]}
    sent = set()
    for name, client in writers.items():
        for topic in ALLOWED[name]:
            assert client.may_publish(topic)
            sent.add(topic)
    expected = READABLE[account] & sent
    until(lambda: reader.topics() >= expected, f"{expected} at {account}, not only {reader.topics()}")
    # What the broker did not deliver before the last expected message, it will not deliver after it: one connection,
    # in order. A last message that may be read closes the account.
    assert reader.topics() == expected


def test_the_page_shows_the_site_with_an_account_of_its_own(site: ProvisionedSite, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    places = {"STATE_DIRECTORY": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    site.start("web", "--listen", url.removeprefix("http://").rstrip("/"), **places)
    until(lambda: "the page of site" in site.log("web"), site.log("web"))
    camera = site.connect("camera-gate")
    announce = AnnounceMessage(frame="0000002a-1", captured=1.0).encode()

    def shows_the_camera() -> bool:
        assert camera.may_publish(ANNOUNCE, announce)
        with urllib.request.urlopen(url) as answer:
            return b">gate</h2>" in answer.read()

    until(shows_the_camera, "the camera on the page")
    # Nor does it change anything, unless the plan says so.
    with urllib.request.urlopen(f"{url}teach") as answer:
        cookie, html = answer.headers.get("Set-Cookie", ""), answer.read().decode()
    token = re.search(r'name="csrf" value="([^"]*)"', html)
    csrf = "" if token is None else token[1]
    form = urllib.parse.urlencode({"csrf": csrf, "of": "fusion"}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}settings/clear", form, {"Cookie": cookie})) as answer:
        assert "may_change = true" in answer.read().decode()
    assert site.stop("web") == 0
    assert (tmp_path / f"{SITE}.sqlite").exists()


def watch(site: ProvisionedSite, *arguments: str, config: str = "watch.toml") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vp_mqtt", "watch", "--config", config, "--give-up-after", "10", *arguments],
        cwd=site.settings_folder("bob"),
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_refused(result: subprocess.CompletedProcess[str], *says: str) -> None:
    assert result.returncode == 2, result.stderr
    complaints = [line for line in result.stderr.splitlines() if line.startswith("vp: ")]
    assert len(complaints) == 1, result.stderr
    for text in says:
        assert text in complaints[0]
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_wrong_password_is_refused(site: ProvisionedSite, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong but long enough")
    result = watch(site, "--password-file", str(tmp_path / "password"))
    assert_refused(result, "refused the connection", "check the account")
    assert "wrong but long" not in result.stderr


def test_an_unknown_account_and_no_account_are_refused(site: ProvisionedSite, tmp_path: Path) -> None:
    assert_refused(watch(site, "--username", "mallory"), "refused the connection")
    anonymous = tmp_path / "anonymous.toml"
    kept = (site.settings_folder("bob") / "watch.toml").read_text().splitlines()
    anonymous.write_text("\n".join(line for line in kept if not line.startswith(("username", "password_file"))))
    assert_refused(watch(site, config=str(anonymous)), "refused the connection")


def test_a_broker_of_an_unknown_authority_is_refused(site: ProvisionedSite, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(new_authority("other", NOW).certificate)
    assert_refused(watch(site, "--ca-file", str(tmp_path / "ca.crt")), "certificate is not accepted", "--ca-file")


def test_another_host_name_is_refused(site: ProvisionedSite) -> None:
    result = watch(site, "--broker", f"mqtts://localhost:{site.port}")
    assert_refused(result, "certificate is not accepted", "localhost")


@pytest.fixture
def broker_with(site: ProvisionedSite) -> Iterator[tuple[ProvisionedSite, Authority]]:
    pair = KeyPair(*((site.root / "authority" / f"ca.{suffix}").read_bytes() for suffix in ("crt", "key")))
    kept = {name: (site.root / "broker" / name).read_bytes() for name in ("server.crt", "server.key")}
    yield site, Authority(pair)
    for name, data in kept.items():
        (site.root / "broker" / name).write_bytes(data)
    site.stop("broker")
    site.start_broker()


@pytest.mark.parametrize(
    ("days", "says"), [((-20, -10), "certificate has expired"), ((10, 20), "certificate is not yet valid")]
)
def test_a_broker_whose_certificate_is_out_of_date_is_refused(
    broker_with: tuple[ProvisionedSite, Authority], days: tuple[int, int], says: str
) -> None:
    site, authority = broker_with
    login = person_settings(site.plan, site.root, "alice")
    assert unreachable(site.plan.broker, login) == []
    first, last = (NOW + dt.timedelta(days=day) for day in days)
    pair = authority.server(["127.0.0.1"], (first, last))
    (site.root / "broker" / "server.crt").write_bytes(pair.certificate)
    (site.root / "broker" / "server.key").write_bytes(pair.key)
    site.stop("broker")
    site.start_broker()
    assert_refused(watch(site), "certificate is not accepted", says, "clock")
    checked = subprocess.run(
        [sys.executable, "-m", "vp_mqtt", "site", "check", str(site.file)], capture_output=True, text=True, check=False
    )
    (problem,) = (line for line in checked.stdout.splitlines() if line.startswith("[broker]"))
    assert problem.startswith(f"[broker] the broker's certificate: {says}: this machine's clock says ")
    assert checked.returncode == 1


@pytest.mark.parametrize("kind", ["none", "other authority", "expired"])
def test_a_client_without_a_certificate_of_the_site_is_refused(
    site: ProvisionedSite, tmp_path: Path, kind: str
) -> None:
    settings = tmp_path / "watch.toml"
    folder = site.settings_folder("bob")
    kept = [line for line in (folder / "watch.toml").read_text().splitlines() if "cert_file" not in line]
    settings.write_text("\n".join(line for line in kept if "key_file" not in line))
    if kind == "none":
        arguments = []
    else:
        own = KeyPair(*((site.root / "authority" / f"ca.{suffix}").read_bytes() for suffix in ("crt", "key")))
        if kind == "expired":
            pair = Authority(own).client("bob", (NOW - dt.timedelta(days=20), NOW - dt.timedelta(days=10)))
        else:
            pair = Authority(new_authority(SITE, NOW)).client("bob", validity(NOW, 10))
        (tmp_path / "c.crt").write_bytes(pair.certificate)
        (tmp_path / "c.key").write_bytes(pair.key)
        arguments = ["--cert-file", str(tmp_path / "c.crt"), "--key-file", str(tmp_path / "c.key")]
    assert_refused(watch(site, *arguments, config=str(settings)), "certificate", "--cert-file")


def test_plain_mqtt_and_old_tls_are_refused(site: ProvisionedSite) -> None:
    result = watch(site, "--broker", f"mqtt://127.0.0.1:{site.port}", "--give-up-after", "1")
    assert result.returncode == 2
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    link = socket.create_connection(("127.0.0.1", site.port), timeout=10)
    with pytest.raises((ssl.SSLError, ConnectionError)), link:
        context.wrap_socket(link)
