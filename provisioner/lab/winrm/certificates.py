"""The endpoint's own CA, its server certificate, and client certificates for those who sign in with one.

Kept in the lab's folder: a client that pinned the CA yesterday must find the same one today. Keys are EC P-256, files with keys 0600.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from provisioner.lab.private_files import write_private

VALID = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
_USER_PRINCIPAL_NAME = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")


class Certificates:
    """The certificates of one endpoint: made when missing or about to end, else read."""

    def __init__(self, folder: Path, host_name: str) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.ca_path = folder / "winrm-ca.pem"
        self.server_path = folder / "winrm-server.pem"
        """Certificate and key in one file, as SSLContext.load_cert_chain takes it."""
        self._ca_key_path = folder / "winrm-ca.key"
        self._ca_key, self._ca = self._authority()
        self._server(host_name)

    def client(self, user: str) -> Path:
        """A certificate by which that user may sign in, with its key, in one file."""
        path = self._folder / f"winrm-client-{user}.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        principal = x509.OtherName(_USER_PRINCIPAL_NAME, _utf8_string(f"{user}@localhost"))
        certificate = self._issue(key, user, x509.SubjectAlternativeName([principal]), ExtendedKeyUsageOID.CLIENT_AUTH)
        write_private(path, _pem(certificate) + _key_pem(key))
        return path

    def stray(self, host_name: str) -> Path:
        """A certificate for the server that nobody vouches for."""
        path = self._folder / "winrm-stray.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_name)])
        now = datetime.now(UTC)
        names = x509.SubjectAlternativeName([x509.DNSName(host_name), x509.IPAddress(ip_address("127.0.0.1"))])
        certificate = (
            _builder(name, name, key, now, now + VALID).add_extension(names, critical=False).sign(key, hashes.SHA256())
        )
        write_private(path, _pem(certificate) + _key_pem(key))
        return path

    def server_hash(self) -> bytes:
        """What channel bindings of the type tls-server-end-point carry (RFC 5929)."""
        return x509.load_pem_x509_certificate(self.server_path.read_bytes()).fingerprint(hashes.SHA256())

    def _authority(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        if self.ca_path.is_file() and self._ca_key_path.is_file():
            key = serialization.load_pem_private_key(self._ca_key_path.read_bytes(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            return key, x509.load_pem_x509_certificate(self.ca_path.read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lab WinRM CA")])
        now = datetime.now(UTC)
        certificate = (
            _builder(name, name, key, now, now + 10 * VALID)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_private(self._ca_key_path, _key_pem(key))
        write_private(self.ca_path, _pem(certificate))
        return key, certificate

    def _server(self, host_name: str) -> None:
        if self.server_path.is_file():
            present = x509.load_pem_x509_certificate(self.server_path.read_bytes())
            names = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            known = host_name in names.get_values_for_type(x509.DNSName)
            if known and present.not_valid_after_utc > datetime.now(UTC) + RENEW_BEFORE:
                return
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [x509.DNSName(host_name), x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        )
        certificate = self._issue(key, host_name, names, ExtendedKeyUsageOID.SERVER_AUTH)
        write_private(self.server_path, _pem(certificate) + _key_pem(key))

    def _issue(
        self,
        key: ec.EllipticCurvePrivateKey,
        common_name: str,
        names: x509.SubjectAlternativeName,
        purpose: ObjectIdentifier,
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        now = datetime.now(UTC)
        return (
            _builder(subject, self._ca.subject, key, now, now + VALID)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(names, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca_key.public_key()), critical=False
            )
            .sign(self._ca_key, hashes.SHA256())
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - timedelta(minutes=5))
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _utf8_string(text: str) -> bytes:
    """DER of a UTF8String shorter than 128 bytes."""
    data = text.encode()
    if len(data) > 127:
        raise ValueError(f"user name too long for a certificate: {text!r}")
    return bytes([0x0C, len(data)]) + data


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
