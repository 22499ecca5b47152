"""`vp site provision`: what it writes, that it changes only what must change, and that it leaves nothing half done."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.provisioned import ProvisionedSite
from tests.support.wheels import FOR_THE_PAGE
from vp_mqtt.bundle.signing import generate
from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.loading import load
from vp_mqtt.config.settings import CommonSettings, FusionSettings, VariantSettings, WatchSettings
from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.errors import UserError
from vp_mqtt.site.accounts import accounts
from vp_mqtt.site.login import person_settings
from vp_mqtt.site.plan import read_plan
from vp_mqtt.site.problems import exposed_sources

ROOT = Path(__file__).parents[3]
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def site() -> Iterator[ProvisionedSite]:
    with ProvisionedSite() as provisioned:
        yield provisioned


def test_every_node_reads_its_settings_and_finds_its_files(
    site: ProvisionedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: dict[str, type[CommonSettings]] = {
        "camera": CameraSettings,
        "variant": VariantSettings,
        "fusion": FusionSettings,
        "web": WebSettings,
    }
    for account in accounts(site.plan):
        monkeypatch.chdir(site.settings_folder(account.name))
        settings = load(models.get(account.role, WatchSettings), {}, Path(f"{account.file}.toml"))
        assert settings.broker == f"mqtts://127.0.0.1:{site.port}"
        assert settings.username == account.name
        assert len(settings.read_password() or "") >= 32
        if isinstance(settings, FusionSettings):
            assert settings.cameras == tuple(camera.name for camera in site.plan.cameras)
        if isinstance(settings, VariantSettings):
            assert settings.variant == account.variant
            assert settings.bundle == "auto"
            assert (Path(settings.fallback) / "manifest.json").is_file()
            assert len(list(Path(settings.fallback).glob("*.onnx"))) == 1


def test_only_the_owner_can_read_secrets(site: ProvisionedSite) -> None:
    files = site.contents()
    secret = {path for path in files if path.endswith((".key", ".password")) or path == "broker/passwords"}
    # An authority, a server, and an account for the camera, six variants, the fusion node, the page and four people.
    assert len(secret) == 2 + 2 * 13 + 1
    assert {files[path][1] for path in secret} == {0o600}
    assert site.root.stat().st_mode & 0o777 == 0o700
    passwords = {path: data.decode().strip() for path, (data, _) in files.items() if path.endswith(".password")}
    for text in passwords.values():
        assert not any(text.encode() in data for path, (data, _) in files.items() if path not in passwords)


def test_certificates_have_sane_keys_lifetimes_and_purposes(site: ProvisionedSite) -> None:
    def certificate(path: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((site.root / path).read_bytes())

    authority, server = certificate("authority/ca.crt"), certificate("broker/server.crt")
    client = certificate("boards/pi-2/settings/node-2.crt")
    for one in (server, client):
        one.verify_directly_issued_by(authority)
        assert one.not_valid_before_utc < NOW < one.not_valid_after_utc <= NOW + dt.timedelta(days=826)
    usage = x509.ExtendedKeyUsage
    assert [str(p.dotted_string) for p in server.extensions.get_extension_for_class(usage).value] == [
        "1.3.6.1.5.5.7.3.1"
    ]
    assert [str(p.dotted_string) for p in client.extensions.get_extension_for_class(usage).value] == [
        "1.3.6.1.5.5.7.3.2"
    ]
    assert getattr(client.public_key(), "key_size", 0) == 256


def test_a_second_run_changes_nothing_and_a_change_only_what_it_must(site: ProvisionedSite) -> None:
    before = site.contents()
    assert site.provision().changes == (again := type(site.provision().changes)((), ()))
    assert again.written == ()
    assert site.contents() == before
    site.edit("deadline_ms = 2000", "deadline_ms = 500")
    changed = site.provision().changes
    assert changed.removed == ()
    assert set(changed.written) == {
        path for path in before if re.fullmatch(r"boards/.*/settings/(?!web)[a-z0-9-]+\.toml", path)
    }


def test_a_new_board_gets_keys_and_a_removed_one_loses_its_folder(site: ProvisionedSite) -> None:
    before = site.contents()
    site.edit('"pi-5"', '"pi-9"')
    changed = site.provision().changes
    assert changed.removed == ("boards/pi-5",)
    assert {path.split("/")[1] for path in changed.written if path.startswith("boards/")} == {"pi-9"}
    assert not any(path.startswith("boards/pi-5") for path in site.contents())
    assert site.contents()["broker/passwords"] != before["broker/passwords"]


def test_the_account_of_a_plan_needs_all_its_files_and_nothing_else(
    site: ProvisionedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of another site; settings that are wrong are not looked at either.
    for name, value in {"PASSWORD": "of another site", "KEEPALIVE": "abc", "BROKER": "mqtt://10.9.9.9"}.items():
        monkeypatch.setenv(f"VP_{name}", value)
    settings = person_settings(site.plan, site.root, "alice")
    folder = site.settings_folder("alice")
    assert settings.broker == f"mqtts://127.0.0.1:{site.port}"
    assert settings.read_password() == (folder / "operator.password").read_text().strip()
    for file in ("operator.password", "operator.crt", "operator.key", "ca.crt"):
        (folder / file).rename(folder / "away")
        with pytest.raises(UserError, match=rf"alice/{file}: not there; write it with `vp site provision`"):
            person_settings(site.plan, site.root, "alice")
        (folder / "away").rename(folder / file)
    shutil.rmtree(folder)
    with pytest.raises(UserError, match=r"people/alice: not there; write it"):
        person_settings(site.plan, site.root, "alice")


def test_several_addresses_of_the_broker_reach_all_settings_and_its_certificate(site: ProvisionedSite) -> None:
    site.edit('host = "127.0.0.1"', 'host = ["127.0.0.1", "broker.local", "fd00::3"]')
    site.provision()
    wanted = f"mqtts://127.0.0.1:{site.port},broker.local:{site.port},[fd00::3]:{site.port}"
    for account in accounts(site.plan):
        text = (site.settings_folder(account.name) / f"{account.file}.toml").read_text()
        assert tomllib.loads(text)["broker"] == wanted
    assert person_settings(site.plan, site.root, "alice").broker == wanted
    certificate = x509.load_pem_x509_certificate((site.root / "broker" / "server.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["broker.local"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "fd00::3"]
    assert site.provision().changes.written == ()


def test_rotate_renews_one_board(site: ProvisionedSite) -> None:
    assert set(site.provision("pi-2").changes.written) == {
        "boards/pi-2/settings/node-2.crt",
        "boards/pi-2/settings/node-2.key",
        "boards/pi-2/settings/node-2.password",
        "broker/passwords",
    }
    with pytest.raises(UserError, match="--rotate pi-77: there is no such board or account"):
        site.provision("pi-77")


def test_a_board_and_a_person_of_one_name_are_rotated_each_for_itself(site: ProvisionedSite) -> None:
    site.edit('name = "bob"', 'name = "pi-2"')
    site.provision()
    before = site.contents()
    with pytest.raises(UserError) as refused:
        site.provision("pi-2")
    assert str(refused.value) == "--rotate pi-2: which one? write --rotate board:pi-2 or --rotate person:pi-2"
    assert site.contents() == before
    assert set(site.provision("board:pi-2").changes.written) == {
        *(f"boards/pi-2/settings/node-2.{suffix}" for suffix in ("crt", "key", "password")),
        "broker/passwords",
    }
    assert set(site.provision("person:pi-2").changes.written) == {
        *(f"people/pi-2/watch.{suffix}" for suffix in ("crt", "key", "password")),
        "broker/passwords",
    }


def test_rotating_a_board_that_is_called_like_a_node_renews_that_board_only(site: ProvisionedSite) -> None:
    text = site.file.read_text()
    site.file.write_text(text.replace('"pi-2"', '"variant-1"'))
    site.provision()
    written = site.provision("variant-1").changes.written
    assert {path.rpartition("/")[0] for path in written} == {"boards/variant-1/settings", "broker"}


def test_a_certificate_near_its_end_is_renewed(site: ProvisionedSite) -> None:
    later = NOW + dt.timedelta(days=700)
    written = site.provision(now=later).changes.written
    assert {path for path in written if path.endswith(".key")} == {
        path for path in site.contents() if path.endswith(".key") and path != "authority/ca.key"
    }
    assert not any(path.endswith(".password") for path in written)


@pytest.mark.parametrize("file", ["ca.crt", "ca.key"])
def test_a_damaged_authority_is_left_as_it_is_and_said(site: ProvisionedSite, file: str) -> None:
    path = site.root / "authority" / file
    for content in (b"", b"-----BEGIN NOTHING-----", path.read_bytes()[:90]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"authority: ca\.crt or ca\.key is damaged, .* put both back") as told:
            site.provision()
        assert "http" not in str(told.value)
        assert path.read_bytes() == content


def test_a_key_for_bundles_goes_to_the_boards(site: ProvisionedSite) -> None:
    public = generate(site.folder / "operator.key")
    site.edit("deadline_ms", f'bundle_key = "{public.name}"\ndeadline_ms')
    site.provision()
    folder = site.settings_folder("variant-0")
    assert (folder / "bundle.pub").read_bytes() == public.read_bytes()
    assert 'bundle_key = "bundle.pub"' in (folder / "node-0.toml").read_text()
    assert not any(b"PRIVATE" in data for path, (data, _) in site.contents().items() if not path.endswith(".key"))


def test_a_camera_with_a_password_has_it_in_files_of_its_owner(site: ProvisionedSite) -> None:
    address = "rtsp://admin:hunter2-Geheim@cam/stream"
    file = site.folder / "door.source"
    site.edit("[[cameras]]", '[[cameras]]\nsource_file = "door.source"')
    plan = (site.folder / "site.toml").read_text()
    (site.folder / "site.toml").write_text(re.sub(r"^source = .*\n", "", plan, flags=re.MULTILINE))
    with pytest.raises(UserError, match=r"there is no file .*door.source: write the source into it"):
        site.provision()
    file.write_text(address)
    file.chmod(0o644)
    assert any("others can read" in problem for problem in exposed_sources(site.plan, site.folder / "site.toml"))
    file.chmod(0o600)
    assert exposed_sources(site.plan, site.folder / "site.toml") == []
    site.provision()
    holding = {path: mode for path, (data, mode) in site.contents().items() if b"hunter2" in data}
    assert {path.rpartition("/")[2]: mode for path, mode in holding.items()} == {"camera.source": 0o600}
    (camera,) = (account.name for account in accounts(site.plan) if account.role == "camera")
    folder = site.settings_folder(camera)
    assert (folder / "camera.toml").stat().st_mode & 0o777 == 0o600
    assert "| camera.toml)" in (folder.parent / "install.sh").read_text()


def test_the_page_gets_its_passwords_and_its_board_what_it_needs(site: ProvisionedSite) -> None:
    assert FOR_THE_PAGE in (site.root / "boards" / "pi-cam" / "requirements.txt").read_text()
    assert FOR_THE_PAGE not in (site.root / "boards" / "pi-0" / "requirements.txt").read_text()
    passwords = site.folder / "page.passwords"
    site.edit("[web]", '[web]\nlisten = "0.0.0.0:8321"\npasswords_file = "page.passwords"')
    with pytest.raises(UserError, match="--set-password"):
        site.provision()
    passwords.write_text("{}")
    passwords.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        site.provision()
    passwords.chmod(0o600)
    site.provision()
    given = site.root / "boards" / "pi-cam" / "settings" / "page.passwords"
    assert given.stat().st_mode & 0o777 == 0o600
    settings = load(WebSettings, {}, given.parent / "web.toml")
    assert (settings.listen, settings.passwords_file) == ("0.0.0.0:8321", given)


def test_the_page_gets_the_token_of_prometheus(site: ProvisionedSite) -> None:
    token = site.folder / "metrics.token"
    site.edit("[web]", '[web]\nmetrics_token_file = "metrics.token"')
    with pytest.raises(UserError, match="openssl rand"):
        site.provision()
    token.write_text("6f1d" * 16)
    token.chmod(0o600)
    site.provision()
    given = site.root / "boards" / "pi-cam" / "settings" / "metrics.token"
    assert (given.read_text(), given.stat().st_mode & 0o777) == ("6f1d" * 16, 0o600)
    assert load(WebSettings, {}, given.parent / "web.toml").metrics_token_file == given


def test_the_page_publishes_bundles_only_where_the_site_says_so(site: ProvisionedSite) -> None:
    def written() -> list[str]:
        [page] = (account for account in accounts(site.plan) if account.role == "web")
        return [right.topics for right in page.rights if right.access != "read"]

    assert written() == []
    site.edit("[web]", "[web]\nmay_push = true")
    assert written() == [f"vp/{site.plan.name}/bundle/#"]
    site.edit("may_push", "may_change")
    above = f"vp/{site.plan.name}"
    assert written() == [f"{above}/settings/fusion", f"{above}/settings/camera/+", f"{above}/camera/+/capture"]


def test_the_page_gets_what_it_teaches_and_signs_with(site: ProvisionedSite) -> None:
    board = site.root / "boards" / "pi-cam"
    keys = 'teach = "/srv/vp-mqtt/teach"\nteach_from = "cifar10"\nqueue_frames = 50\nqueue_mb = 20.0\nsign = "own.key"'
    site.edit("[web]", f"[web]\nmay_push = true\n{keys}")
    with pytest.raises(UserError, match=r"\[web\] sign: there is no file .*vp keygen"):
        site.provision()
    generate(site.folder / "own.key")
    site.provision()
    given = board / "settings" / "signing.key"
    assert (given.read_bytes(), given.stat().st_mode & 0o777) == ((site.folder / "own.key").read_bytes(), 0o600)
    settings = load(WebSettings, {}, given.parent / "web.toml")
    assert (settings.sign, settings.teach, settings.teach_from) == (given, Path("/srv/vp-mqtt/teach"), "cifar10")
    assert (settings.queue_frames, settings.queue_mb) == (50, 20.0)
    assert "\nReadWritePaths=/srv/vp-mqtt/teach\n" in (board / "units" / "vp-web.service").read_text()
    assert "for folder in /srv/vp-mqtt/teach; do" in (board / "install.sh").read_text()
    assert "ReadWritePaths" not in (site.root / "boards" / "pi-0" / "units" / "vp-node@.service").read_text()


@pytest.mark.parametrize("wrong", ['teach = "/etc/vp-mqtt"', 'teach = "/srv/../etc/vp-mqtt"', 'sign = "own.key"'])
def test_a_page_that_could_not_work_so_is_refused(site: ProvisionedSite, wrong: str) -> None:
    site.edit("[web]", f"[web]\n{wrong}")
    with pytest.raises(UserError, match=r"name a folder like|without effect"):
        site.provision()


def test_a_page_that_others_could_see_without_a_password_is_refused(site: ProvisionedSite) -> None:
    site.edit("[web]", '[web]\nlisten = "0.0.0.0:8321"')
    with pytest.raises(UserError, match="without a password"):
        site.provision()


def test_a_plan_that_others_can_read_with_a_password_in_it_is_a_problem(site: ProvisionedSite) -> None:
    file = site.folder / "site.toml"
    file.write_text(re.sub(r"^source = .*$", 'source = "http://cam/?pwd=Geheim"', file.read_text(), flags=re.MULTILINE))
    file.chmod(0o644)
    (problem,) = exposed_sources(read_plan(file), file)
    assert problem.endswith(f"chmod 600 {file}")
    file.chmod(0o600)
    assert exposed_sources(read_plan(file), file) == []


def test_a_run_killed_between_its_renames_is_cleaned_up(site: ProvisionedSite) -> None:
    before = site.contents()
    shutil.copytree(site.root, site.folder / ".provisioned.new")
    site.root.rename(site.folder / ".provisioned.old")
    assert site.provision().changes.written == ()
    assert site.contents() == before
