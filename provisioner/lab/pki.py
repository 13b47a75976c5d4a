"""Certificates of the lab: as Talos' machines make them (siderolabs/crypto, x509), and those of the WinRM endpoint.

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


def named(common_name: str, organization: str = "") -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, common_name))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts if text])


def places(hosts: Iterable[str]) -> list[x509.GeneralName]:
    """Addresses and DNS names as a certificate has them."""
    distinct = [host for host in dict.fromkeys(hosts) if host]
    found: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(host)) for host in distinct if is_address(host)
    ]
    return found + [x509.DNSName(host) for host in distinct if not is_address(host)]


def new_authority(subject: x509.Name, key: Key, life: timedelta) -> Pair:
    return _signed(
        subject,
        key,
        key,
        subject,
        life,
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (_key_usage(key_cert_sign=True), True),
        (x509.SubjectKeyIdentifier(secrets.token_bytes(20)), False),
    )


def new_maintenance_ca() -> Pair:
    """The throw-away CA of a boot: Ed25519, empty subject, 24 hours."""
    return new_authority(x509.Name([]), ed25519.Ed25519PrivateKey.generate(), LEAF_LIFE)


def server_leaf(ca: Pair, *, common_name: str, hosts: Iterable[str]) -> Pair:
    """What Talos' API presents: a key of its own, 24 hours, serverAuth."""
    key = ed25519.Ed25519PrivateKey.generate()
    return leaf(ca, key, named(common_name), usage=ExtendedKeyUsageOID.SERVER_AUTH, life=LEAF_LIFE, san=places(hosts))


def kubernetes_admin(ca: Pair, life: timedelta) -> Pair:
    """The client certificate of a kubeconfig: ECDSA, CN=admin, O=system:masters."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), named("admin", "system:masters")
    return leaf(ca, key, subject, usage=ExtendedKeyUsageOID.CLIENT_AUTH, life=life, key_encipherment=True)


def kubernetes_server(ca: Pair, hosts: Iterable[str]) -> Pair:
    """What an API server presents: ECDSA, CN=kube-apiserver, a year."""
    key, usage = ec.generate_private_key(ec.SECP256R1()), ExtendedKeyUsageOID.SERVER_AUTH
    life = timedelta(days=365)
    return leaf(ca, key, named("kube-apiserver"), usage=usage, life=life, san=places(hosts), key_encipherment=True)


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
    return _signed(
        ca.certificate.subject,
        ca.key,
        key,
        subject,
        life,
        (_key_usage(key_encipherment=key_encipherment), True),
        (x509.ExtendedKeyUsage([usage]), False),
        (_authority(ca.certificate), False),
        *([(x509.SubjectAlternativeName(san), False)] if san else []),
    )


def _signed(
    issuer: x509.Name,
    signer: Key,
    key: Key,
    subject: x509.Name,
    life: timedelta,
    *extensions: tuple[x509.ExtensionType, bool],
) -> Pair:
    now = datetime.now(UTC) - BACKDATED
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(secrets.randbits(127) | 1)
        .not_valid_before(now)
        .not_valid_after(now + life)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Pair(builder.sign(signer, digest), key)


def _authority(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _key_usage(*, key_cert_sign: bool = False, key_encipherment: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _spki(key: object) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]
