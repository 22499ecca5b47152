from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError
from vp_mqtt.mqtt.tls import client_context


def options(**files: Path) -> BrokerOptions:
    return BrokerOptions(url="mqtts://127.0.0.1", **files)  # type: ignore[arg-type]


def written(folder: Path, name: str, blob: trustme.Blob) -> Path:
    path = folder / name
    blob.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    return written(tmp_path, "ca.pem", authority.cert_pem)


def test_the_minimum_version_is_tls_1_2_even_if_the_system_allows_older_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    create = ssl.create_default_context

    def lax(*, cafile: Path | None) -> ssl.SSLContext:
        context = create(cafile=cafile)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        return context

    monkeypatch.setattr(ssl, "create_default_context", lax)
    assert client_context(options()).minimum_version is ssl.TLSVersion.TLSv1_2


def test_certificate_and_host_name_are_verified() -> None:
    context = client_context(options())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_versions_before_tls_1_2_are_refused(version: ssl.TLSVersion, authority: trustme.CA, ca_file: Path) -> None:
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # OpenSSL's own security level would refuse TLS 1.1 by itself.
    server_context.set_ciphers("DEFAULT:@SECLEVEL=0")
    server_context.minimum_version = server_context.maximum_version = version
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    context = client_context(options(ca_file=ca_file))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    agreed: list[str | None] = []

    def serve() -> None:
        link, _ = server.accept()
        try:
            with server_context.wrap_socket(link, server_side=True) as secured:
                secured.recv(1)
        except OSError:
            link.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with socket.create_connection(server.getsockname(), timeout=10) as link:
            try:
                with context.wrap_socket(link, server_hostname="127.0.0.1") as secured:
                    agreed.append(secured.version())
            except ssl.SSLError:
                agreed.append(None)
        thread.join(10)
    assert agreed == [None if version is ssl.TLSVersion.TLSv1_1 else version.name.replace("v1_", "v1.")]


def test_a_client_certificate_needs_its_own_key(authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    own = authority.issue_cert("me")
    certificate = written(tmp_path, "me.pem", own.cert_chain_pems[0])
    key = written(tmp_path, "me.key", own.private_key_pem)
    client_context(options(ca_file=ca_file, cert_file=certificate, key_file=key))
    other = written(tmp_path, "other.key", authority.issue_cert("other").private_key_pem)
    with pytest.raises(UserError) as caught:
        client_context(options(ca_file=ca_file, cert_file=certificate, key_file=other))
    assert str(caught.value).startswith(f"--cert-file {certificate} and --key-file {other}: not a pair (")


def test_unusable_certificate_files_are_named(tmp_path: Path, ca_file: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    with pytest.raises(UserError) as caught:
        client_context(options(ca_file=nonsense))
    assert str(caught.value).startswith(f"--ca-file {nonsense}: not a certificate in PEM (")
    with pytest.raises(UserError, match=r"--ca-file .*gone"):
        client_context(options(ca_file=tmp_path / "gone"))
    with pytest.raises(UserError, match="not a pair"):
        client_context(options(ca_file=ca_file, cert_file=nonsense, key_file=nonsense))
