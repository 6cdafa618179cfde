"""The certificate authority of a state folder, and the certificate that its service shows.

Who trusts the authority trusts it for names of this machine alone: name constraints keep it from vouching for others.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import ssl
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from azext_batchai.service.clock import utc_now

log = logging.getLogger(__name__)

_AUTHORITY_LIFE = timedelta(days=3652)
_LEAF_LIFE = timedelta(days=397)  # some clients refuse certificates that live longer
_RENEW_BEFORE = timedelta(days=30)
_SKEW = timedelta(days=1)
_LOOPBACK = ("127.0.0.0/8", "::1/128")


class Authority:
    """`certificate` is the file that clients must trust; `names` are the host names that the service answers for."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        """Make the authority where there is none, or one that ends soon."""
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._leaf = folder / "server.pem"
        self._names = names
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _ends_soon(self.certificate) or not self._key.is_file():
            self._make_authority()
            self._leaf.unlink(missing_ok=True)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.sni_callback = self._renew
        self._load()

    @property
    def context(self) -> ssl.SSLContext:
        """For listeners; the certificate in it is renewed in time, however long the service lives."""
        return self._context

    def _renew(self, *_: Any) -> None:
        if utc_now() > self._renew_at:
            self._load()

    def _load(self) -> None:
        if _ends_soon(self._leaf):
            self._make_leaf()
        self._renew_at = _read(self._leaf).not_valid_after_utc - _RENEW_BEFORE
        self._context.load_cert_chain(self._leaf)

    def _make_authority(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Batch AI on this machine")
        permitted: list[x509.GeneralName] = [x509.DNSName("localhost")]
        permitted += [x509.IPAddress(ipaddress.ip_network(network)) for network in _LOOPBACK]
        made = (
            _builder(name, name, key.public_key(), _AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.NameConstraints(permitted, None), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write(self._key, _pem(key))
        _write(self.certificate, made.public_bytes(serialization.Encoding.PEM))
        log.info("made the certificate authority %s", self.certificate)

    def _make_leaf(self) -> None:
        authority = _read(self.certificate)
        authority_key = serialization.load_pem_private_key(self._key.read_bytes(), None)
        assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in self._names]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
        made = (
            _builder(_name("Batch AI service"), authority.subject, key.public_key(), _LEAF_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        _write(self._leaf, _pem(key) + made.public_bytes(serialization.Encoding.PEM))


def _ends_soon(path: Path) -> bool:
    try:
        return utc_now() > _read(path).not_valid_after_utc - _RENEW_BEFORE
    except (OSError, ValueError):
        return True


def _read(path: Path) -> x509.Certificate:
    text = path.read_bytes()
    return x509.load_pem_x509_certificate(text[max(text.find(b"-----BEGIN CERTIFICATE"), 0) :])


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now: datetime = utc_now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def _write(path: Path, content: bytes) -> None:
    """For the owner's eyes only, whole or not at all."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
