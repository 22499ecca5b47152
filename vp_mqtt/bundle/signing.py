"""Ed25519 signatures (RFC 8032) over a bundle's canonical manifest.

The `cryptography` library is imported only where a key is in use.
"""

from __future__ import annotations

import os
from pathlib import Path

from vp_mqtt.errors import UserError
from vp_mqtt.protocol.bundle_pointer import BundleRef

_TRUSTED = "the key that is trusted here (--bundle-key)"
_NOT_SIGNED = f"it is not signed; sign it with {_TRUSTED}: vp push --sign KEY"
_OTHER_KEY = f"its signature is not by {_TRUSTED}; sign it with that one: vp push --sign KEY"
_INSTALL = "signatures need the library 'cryptography': `pip install cryptography`"


class SignatureError(ValueError):
    """A manifest without a signature by the trusted key."""


def _read(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{flag} {path}: {error.strerror}") from None


def generate(path: Path) -> Path:
    """Generate a key pair: write the private key (PEM, readable by its owner only) and the public key beside it.

    Returns:
        The public key's file.

    Raises:
        UserError: one of the files already exists, or cannot be written.
    """
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    except ImportError:
        raise UserError(_INSTALL) from None
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    public_path = path.with_name(path.name + ".pub")
    if public_path.exists():
        raise UserError(f"{public_path}: exists already; a key is never overwritten")
    for where, data, mode in ((path, private, 0o600), (public_path, public, 0o644)):
        try:
            with os.fdopen(os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(data)
        except FileExistsError:
            raise UserError(f"{where}: exists already; a key is never overwritten") from None
        except OSError as error:
            raise UserError(f"{where}: {error.strerror}") from None
    return public_path


def switch_statement(site: str, digest: str, number: int) -> bytes:
    """Return what is signed for a switch: that a site is to run a bundle, and its place in the order of switches."""
    return f"vp-mqtt switch 1\n{site}\n{digest}\n{number}\n".encode()


def sign(manifest: bytes, key_file: Path) -> str:
    """Return the signature of a canonical manifest, or of a switch, in hexadecimal.

    Raises:
        UserError: the file is not a private Ed25519 key.
    """
    pem = _read(key_file, "--sign")
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    except ImportError:
        raise UserError(_INSTALL) from None
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"--sign {key_file}: not a private Ed25519 key without a password; make one with vp keygen")
    return key.sign(manifest).hex()


class Verifier:
    """Checks the signatures of manifests against a trusted public key; without one, it accepts every manifest."""

    def __init__(self, key_file: Path | None) -> None:
        """Read the key.

        Args:
            key_file: the trusted public key (PEM); None to trust every client that may publish bundles at the broker.

        Raises:
            UserError: the file is not a public Ed25519 key.
        """
        self._key = None
        if key_file is None:
            return
        pem = _read(key_file, "--bundle-key")
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
            from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
        except ImportError:
            raise UserError(_INSTALL) from None
        try:
            key = load_pem_public_key(pem)
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise UserError(f"--bundle-key {key_file}: not a public Ed25519 key; use the .pub file of vp keygen")
        self._key = key

    def check(self, manifest: bytes, signature: str | None) -> None:
        """Check the signature of a canonical manifest.

        Raises:
            SignatureError: the signature is missing or is not by the trusted key.
        """
        if self._key is None:
            return
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

        if signature is None:
            raise SignatureError(_NOT_SIGNED)
        try:
            self._key.verify(bytes.fromhex(signature), manifest)
        except InvalidSignature:
            raise SignatureError(_OTHER_KEY) from None

    def check_switch(self, ref: BundleRef, site: str) -> int | None:
        """Check the signature of a switch to a bundle, and return its number.

        Returns:
            The number; 0 for a bundle that was pushed by a version that signed none; None without a key.

        Raises:
            SignatureError: it is not by the trusted key.
        """
        if self._key is None:
            return None
        if ref.signature is None:
            raise SignatureError(_NOT_SIGNED)
        if ref.switch is None or ref.switch_signature is None:
            return 0
        self.check(switch_statement(site, ref.digest, ref.switch), ref.switch_signature)
        return ref.switch
