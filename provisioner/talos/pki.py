"""Keys and certificates in the profiles that Talos itself uses.

Source: siderolabs/crypto x509 and Talos' secrets package. Two things surprise: Talos writes Ed25519 keys (PKCS#8) below the
label `ED25519 PRIVATE KEY`, which neither OpenSSL nor `cryptography` reads; and the aggregator's CA has no subject at all.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

BACKDATED = timedelta(minutes=5)
"""Certificates are valid from a little before they are made: a machine whose clock is behind ours would refuse them."""

CA_LIFETIME = timedelta(hours=87600)
CLIENT_LIFETIME = timedelta(hours=8760)

_TALOS_ED25519_LABEL = b"ED25519 PRIVATE KEY"
_PKCS8_LABEL = b"PRIVATE KEY"


class KeyType(Enum):
    """Kinds of keys that Talos' authorities have."""

    ED25519 = "Ed25519"
    ECDSA_P256 = "ECDSA P-256"


@dataclass(frozen=True, kw_only=True)
class CertificateAndKey:
    """A certificate and its private key, PEM with Talos' labels."""

    crt: bytes = field(repr=False)
    key: bytes = field(repr=False)

    def problem(self) -> str:
        """Why this pair cannot be used; empty when it can."""
        try:
            certificate = x509.load_pem_x509_certificate(self.crt)
        except ValueError:
            return "the certificate cannot be read"
        try:
            key = load_key(self.key)
        except ValueError:
            return "the private key cannot be read"
        return "" if _public_der(certificate) == _public_der(key) else "the private key is not that of the certificate"


def new_ca(organization: str, key_type: KeyType, now: datetime) -> CertificateAndKey:
    """A self-signed CA. An empty `organization` makes an empty subject."""
    key = _new_key(key_type)
    name = _name(organizations=[organization] if organization else [])
    certificate = (
        _builder(name, name, key, now, CA_LIFETIME)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(os.urandom(20)), critical=False)
        .sign(key, _digest(key))
    )
    return CertificateAndKey(crt=certificate.public_bytes(Encoding.PEM), key=key_pem(key))


def new_client_certificate(
    ca: CertificateAndKey,
    now: datetime,
    *,
    organizations: Sequence[str],
    common_name: str = "",
    key_encipherment: bool = False,
) -> CertificateAndKey:
    """A client's certificate with a fresh key of the CA's own type. The organizations are the roles or groups of the client."""
    ca_certificate = x509.load_pem_x509_certificate(ca.crt)
    ca_key = load_key(ca.key)
    key = _new_key(KeyType.ED25519 if isinstance(ca_key, ed25519.Ed25519PrivateKey) else KeyType.ECDSA_P256)
    subject = _name(organizations=organizations, common_name=common_name)
    builder = (
        _builder(subject, ca_certificate.subject, key, now, CLIENT_LIFETIME)
        .add_extension(_key_usage(key_encipherment=key_encipherment), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    try:
        identifier = ca_certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        pass  # a CA from elsewhere may have none
    else:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
    certificate = builder.sign(ca_key, _digest(ca_key))
    return CertificateAndKey(crt=certificate.public_bytes(Encoding.PEM), key=key_pem(key))


def is_admin_of(crt: bytes, ca: bytes, group: str) -> bool:
    """Whether the client certificate was signed by that authority for a member of the group. False for what is not a certificate."""
    try:
        certificate = x509.load_pem_x509_certificate(crt)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return [name.value for name in names] == ["admin"] and group in [each.value for each in groups]


def new_service_account_key() -> bytes:
    """The key that signs service account tokens: RSA 4096, PEM. Takes up to a second."""
    return key_pem(rsa.generate_private_key(public_exponent=65537, key_size=4096))


def key_pem(key: PrivateKey) -> bytes:
    """A private key as Talos writes it: Ed25519 as PKCS#8 below a label of its own, ECDSA as SEC 1, RSA as PKCS#1."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).replace(
            _PKCS8_LABEL, _TALOS_ED25519_LABEL
        )
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def standard_key_pem(pem: bytes) -> bytes:
    """The same key below the label that OpenSSL reads."""
    return pem.replace(_TALOS_ED25519_LABEL, _PKCS8_LABEL)


def load_key(pem: bytes) -> PrivateKey:
    """A private key in any of the forms that Talos reads. Raises ValueError; its text never holds key material."""
    try:
        # An RSA key of 4096 bits takes 0.1 s to be checked for consistency, a tenth of a whole `status`. Damage to its text is found
        # without that; a key that is whole and wrong fails when it is used.
        key = load_pem_private_key(standard_key_pem(pem), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("not a readable private key") from None
    if not isinstance(key, PrivateKey):
        raise ValueError("not an Ed25519, ECDSA or RSA key")  # noqa: TRY004 - the file is wrong, not the caller
    return key


def _new_key(key_type: KeyType) -> ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey:
    if key_type is KeyType.ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def _digest(key: PrivateKey) -> hashes.SHA256 | None:
    """What signs with it: Ed25519 takes no digest of its own choosing."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _name(*, organizations: Sequence[str], common_name: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    if common_name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(secrets.randbits(127) | 1)  # positive and not zero, and at most 16 bytes
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
    )


def _key_usage(*, sign_certificates: bool = False, key_encipherment: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _public_der(holder: x509.Certificate | PrivateKey) -> bytes:
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
