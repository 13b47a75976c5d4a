"""Certificates as Talos' machines make them (siderolabs/crypto, x509). The lab's own: the client's code is what it judges.

All certificates are valid by the real date, not the world's: the client checks them with its own clock.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

Key = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

LEAF_LIFE = timedelta(hours=24)
BACKDATED = timedelta(seconds=10)
_TALOS_LABEL, _COMMON_LABEL = b"ED25519 PRIVATE KEY", b"PRIVATE KEY"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """PKCS#8 with the label that OpenSSL reads."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def ec_key_pem(self) -> bytes:
        """SEC1, as Kubernetes files carry it."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )


def read_pair(certificate_pem: bytes, key_pem: bytes) -> Pair:
    """Talos labels Ed25519 keys `ED25519 PRIVATE KEY`. Raises ValueError for what is no such pair."""
    key = serialization.load_pem_private_key(key_pem.replace(_TALOS_LABEL, _COMMON_LABEL), None)
    if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError("neither an Ed25519 nor an ECDSA key")  # noqa: TRY004 - the file is wrong, not the caller
    pair = Pair(x509.load_pem_x509_certificate(certificate_pem), key)
    if _spki(pair.certificate.public_key()) != _spki(key.public_key()):
        raise ValueError("certificate and key do not belong together")
    return pair


def new_maintenance_ca() -> Pair:
    """The throw-away CA of a boot: Ed25519, empty subject, 24 hours."""
    key = ed25519.Ed25519PrivateKey.generate()
    now = datetime.now(UTC) - BACKDATED
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(_serial())
        .not_valid_before(now)
        .not_valid_after(now + LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True, key_cert_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(secrets.token_bytes(20)), critical=False)
        .sign(key, None)
    )
    return Pair(certificate, key)


def server_leaf(ca: Pair, *, common_name: str, addresses: Iterable[str], names: Iterable[str]) -> Pair:
    """What Talos' API presents: a key of its own, 24 hours, serverAuth."""
    san: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(a)) for a in dict.fromkeys(addresses)]
    san += [x509.DNSName(name) for name in dict.fromkeys(names) if name]
    return leaf(
        ca,
        ed25519.Ed25519PrivateKey.generate(),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]),
        usage=ExtendedKeyUsageOID.SERVER_AUTH,
        life=LEAF_LIFE,
        san=san,
    )


def kubernetes_admin(ca: Pair, life: timedelta) -> Pair:
    """The client certificate of a kubeconfig: ECDSA, CN=admin, O=system:masters."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(NameOID.COMMON_NAME, "admin"),
        ]
    )
    key = ec.generate_private_key(ec.SECP256R1())
    return leaf(ca, key, subject, usage=ExtendedKeyUsageOID.CLIENT_AUTH, life=life, key_encipherment=True)


def kubernetes_server(ca: Pair, *, addresses: Iterable[str], names: Iterable[str]) -> Pair:
    """What an API server presents: ECDSA, CN=kube-apiserver, a year."""
    san: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(a)) for a in dict.fromkeys(addresses)]
    san += [x509.DNSName(name) for name in dict.fromkeys(names)]
    return leaf(
        ca,
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")]),
        usage=ExtendedKeyUsageOID.SERVER_AUTH,
        life=timedelta(days=365),
        san=san,
        key_encipherment=True,
    )


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def fingerprint(certificate: x509.Certificate) -> str:
    """base64(SHA-256(SubjectPublicKeyInfo)), as Talos prints it on the console."""
    return base64.b64encode(hashlib.sha256(_spki(certificate.public_key())).digest()).decode()


def leaf(
    ca: Pair,
    key: Key,
    subject: x509.Name,
    *,
    usage: ObjectIdentifier,
    life: timedelta,
    san: list[x509.GeneralName] | None = None,
    key_encipherment: bool = False,
) -> Pair:
    """A certificate of that authority for one usage, and its key."""
    now = datetime.now(UTC) - BACKDATED
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(_serial())
        .not_valid_before(now)
        .not_valid_after(now + life)
        .add_extension(key_usage(digital_signature=True, key_encipherment=key_encipherment), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(_authority(ca.certificate), critical=False)
    )
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
    digest = None if isinstance(ca.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Pair(builder.sign(ca.key, digest), key)


def _authority(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def key_usage(*, digital_signature: bool, key_cert_sign: bool = False, key_encipherment: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _serial() -> int:
    return secrets.randbits(127) | 1


def _spki(key: object) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]
