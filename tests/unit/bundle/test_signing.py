from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from vp_mqtt.bundle.signing import SignatureError, Verifier, generate, sign
from vp_mqtt.errors import UserError

MANIFEST = b'{"name": "tiny"}\n'


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("mine", "other"):
        generate(folder / name)
    return [folder / "mine", folder / "other"]


def public(key: Path) -> Path:
    return key.with_name(key.name + ".pub")


def test_a_key_pair_is_written_and_the_private_key_is_the_owners_only(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    os.umask(umask)
    assert generate(tmp_path / "my.key") == tmp_path / "my.key.pub"
    assert (tmp_path / "my.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "my.key.pub").stat().st_mode & 0o777 == 0o644 & ~umask
    assert (tmp_path / "my.key").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert (tmp_path / "my.key.pub").read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----\n")


@pytest.mark.parametrize("name", ["key", "key.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(UserError) as caught:
        generate(tmp_path / "key")
    assert str(caught.value) == f"{tmp_path / name}: exists already; a key is never overwritten"
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"precious")]


def test_a_key_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing/key: No such file or directory$"):
        generate(tmp_path / "missing" / "key")


def test_a_signature_is_accepted_from_the_trusted_key_only(keys: list[Path]) -> None:
    mine, other = keys
    signature = sign(MANIFEST, mine)
    assert len(bytes.fromhex(signature)) == 64
    verifier = Verifier(public(mine))
    verifier.check(MANIFEST, signature)
    for manifest, wrong in (
        (MANIFEST + b" ", signature),
        (MANIFEST, sign(MANIFEST, other)),
        (MANIFEST, "00" * 64),
        (MANIFEST, signature[:-2] + f"{int(signature[-2:], 16) ^ 1:02x}"),
        (MANIFEST, signature[:-2]),
    ):
        with pytest.raises(SignatureError) as caught:
            verifier.check(manifest, wrong)
        assert "its signature is not by the key that is trusted here" in str(caught.value)
    with pytest.raises(SignatureError) as caught:
        verifier.check(MANIFEST, None)
    assert str(caught.value).startswith("it is not signed; sign it ")
    assert str(caught.value).endswith("vp push --sign KEY")


def test_without_a_trusted_key_everything_passes() -> None:
    for signature in (None, "00" * 64, "not even hexadecimal"):
        Verifier(None).check(MANIFEST, signature)


def test_what_is_not_a_key_is_refused(keys: list[Path], tmp_path: Path) -> None:
    (tmp_path / "garbage").write_bytes(b"garbage")
    for file, name in ((tmp_path / "garbage", "garbage"), (public(keys[0]), "mine.pub")):
        with pytest.raises(UserError, match=rf"^--sign .*{name}: not a private Ed25519 key without a password"):
            sign(MANIFEST, file)
    for file, name in ((tmp_path / "garbage", "garbage"), (keys[0], "mine")):
        with pytest.raises(UserError, match=rf"^--bundle-key .*{name}: not a public Ed25519 key; use the \.pub file"):
            Verifier(file)
    with pytest.raises(UserError, match=r"^--sign .*missing: No such file or directory$"):
        sign(MANIFEST, tmp_path / "missing")
    with pytest.raises(UserError, match=r"^--bundle-key .*missing: No such file or directory$"):
        Verifier(tmp_path / "missing")


def test_a_key_of_another_algorithm_or_with_a_password_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ed448, ed25519  # noqa: PLC0415

    foreign = ed448.Ed448PrivateKey.generate()
    (tmp_path / "foreign").write_bytes(
        foreign.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (tmp_path / "foreign.pub").write_bytes(
        foreign.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "locked").write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for name in ("foreign", "locked"):
        with pytest.raises(UserError, match="not a private Ed25519 key"):
            sign(MANIFEST, tmp_path / name)
    with pytest.raises(UserError, match="not a public Ed25519 key"):
        Verifier(tmp_path / "foreign.pub")


def test_a_missing_library_is_reported_with_how_to_install_it(
    keys: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.startswith("cryptography.hazmat.primitives")]:
        monkeypatch.setitem(sys.modules, module, None)
    for use in (
        lambda: generate(tmp_path / "key"),
        lambda: sign(MANIFEST, keys[0]),
        lambda: Verifier(public(keys[0])),
    ):
        with pytest.raises(UserError, match=r"need the library 'cryptography': `pip install cryptography`"):
            use()
    Verifier(None).check(MANIFEST, None)
