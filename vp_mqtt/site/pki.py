"""A site's own certificate authority (RFC 5280): EC keys on P-256, and separate certificates for server and clients."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
"""How long the authority is valid: boards in the field do not get a new one by themselves."""

RENEW_SHARE = 1 / 3
"""A certificate with less than this share of its lifetime left is renewed."""

_CLOCK_TOLERANCE = dt.timedelta(days=1)
"""Certificates are valid from a day before they are made: a board's clock may be behind."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


def _new_key() -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key, pem


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def new_authority(site: str, now: dt.datetime) -> KeyPair:
    """Create a site's certificate authority.

    Args:
        site: the site's name.
        now: with time zone.
    """
    key, pem = _new_key()
    subject = _name(f"vp-mqtt site {site}")
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_TOLERANCE)
        .not_valid_after(now + dt.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), pem)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _normal(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


class Authority:
    """Issues certificates."""

    def __init__(self, pair: KeyPair) -> None:
        """Load a certificate authority.

        Raises:
            ValueError: the certificate or the key cannot be read, or the key is not the certificate's.
        """
        try:
            self._certificate = x509.load_pem_x509_certificate(pair.certificate)
            key = serialization.load_pem_private_key(pair.key, password=None)
        except (TypeError, UnsupportedAlgorithm) as error:
            raise ValueError(str(error)) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self._certificate.public_key():
            raise ValueError("the key is not the certificate's")
        self._key = key

    def server(self, names: Sequence[str], valid: tuple[dt.datetime, dt.datetime]) -> KeyPair:
        """Issue a server's certificate.

        Args:
            names: host names and IP addresses under which it is reached.
            valid: start and end of its validity, with time zone.
        """
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in dict.fromkeys(names)])
        return self._issue(names[0], valid, ExtendedKeyUsageOID.SERVER_AUTH, alternatives)

    def client(self, name: str, valid: tuple[dt.datetime, dt.datetime]) -> KeyPair:
        """Issue a client's certificate.

        Args:
            name: the account, as common name.
            valid: start and end of its validity, with time zone.
        """
        return self._issue(name, valid, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def _issue(
        self,
        name: str,
        valid: tuple[dt.datetime, dt.datetime],
        usage: x509.ObjectIdentifier,
        alternatives: x509.SubjectAlternativeName | None,
    ) -> KeyPair:
        key, pem = _new_key()
        issuer = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(valid[0])
            .not_valid_after(min(valid[1], self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        )
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), pem)

    def is_valid(self, pair: KeyPair, names: Sequence[str], now: dt.datetime) -> bool:
        """Return whether a certificate is this authority's, for these names, matches its key, and need not be renewed.

        Args:
            pair: the certificate and its key.
            names: the names that it must be for: of a server, all its names; of a client, its account.
            now: with time zone.
        """
        try:
            certificate = x509.load_pem_x509_certificate(pair.certificate)
            key = serialization.load_pem_private_key(pair.key, password=None)
            certificate.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
        end = certificate.not_valid_after_utc
        lifetime = end - certificate.not_valid_before_utc
        return (
            key.public_key() == certificate.public_key()
            and _names(certificate) == {_normal(name) for name in names}
            and certificate.not_valid_before_utc <= now < end - lifetime * RENEW_SHARE
        )


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return {str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    addresses = {str(address) for address in found.get_values_for_type(x509.IPAddress)}
    return {*found.get_values_for_type(x509.DNSName), *addresses}


def validity(now: dt.datetime, days: int) -> tuple[dt.datetime, dt.datetime]:
    """Return start and end of the validity of a certificate made now that is valid for `days` days."""
    return now - _CLOCK_TOLERANCE, now + dt.timedelta(days=days)
