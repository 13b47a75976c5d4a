"""The endpoint's own CA, its server certificate, and client certificates for those who sign in with one.

Kept in the lab's folder: a client that pinned the CA yesterday must find the same one today. Keys are EC P-256, files with keys 0600.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from provisioner.lab.pki import Pair, leaf, named, new_authority, places, read_pair
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
        self._ca = self._authority(folder / "winrm-ca.key")
        if not self._server_is_good(host_name):
            self._write(self.server_path, self._ca, host_name, _places(host_name), ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, user: str) -> Path:
        """A certificate by which that user may sign in, with its key, in one file."""
        principal = x509.OtherName(_USER_PRINCIPAL_NAME, _utf8_string(f"{user}@localhost"))
        path = self._folder / f"winrm-client-{user}.pem"
        return self._write(path, self._ca, user, [principal], ExtendedKeyUsageOID.CLIENT_AUTH)

    def stray(self, host_name: str) -> Path:
        """A certificate for the server of an unknown authority."""
        path = self._folder / "winrm-stray.pem"
        return self._write(path, _new_authority(), host_name, _places(host_name), ExtendedKeyUsageOID.SERVER_AUTH)

    def server_hash(self) -> bytes:
        """What channel bindings of the type tls-server-end-point carry (RFC 5929)."""
        return x509.load_pem_x509_certificate(self.server_path.read_bytes()).fingerprint(hashes.SHA256())

    def _authority(self, key_path: Path) -> Pair:
        if self.ca_path.is_file() and key_path.is_file():
            return read_pair(self.ca_path.read_bytes(), key_path.read_bytes())
        made = _new_authority()
        write_private(key_path, made.key_pem)
        write_private(self.ca_path, made.certificate_pem)
        return made

    def _server_is_good(self, host_name: str) -> bool:
        if not self.server_path.is_file():
            return False
        present = x509.load_pem_x509_certificate(self.server_path.read_bytes())
        names = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = host_name in names.get_values_for_type(x509.DNSName)
        return known and present.not_valid_after_utc > datetime.now(UTC) + RENEW_BEFORE

    @staticmethod
    def _write(path: Path, ca: Pair, name: str, san: list[x509.GeneralName], usage: ObjectIdentifier) -> Path:
        made = leaf(ca, ec.generate_private_key(ec.SECP256R1()), named(name), usage=usage, life=VALID, san=san)
        write_private(path, made.certificate_pem + made.key_pem)
        return path


def _new_authority() -> Pair:
    return new_authority(named("Lab WinRM CA"), ec.generate_private_key(ec.SECP256R1()), 10 * VALID)


def _places(host_name: str) -> list[x509.GeneralName]:
    return places([host_name, "localhost", "127.0.0.1"])


def _utf8_string(text: str) -> bytes:
    """DER of a UTF8String shorter than 128 bytes."""
    data = text.encode()
    if len(data) > 127:
        raise ValueError(f"user name too long for a certificate: {text!r}")
    return bytes([0x0C, len(data)]) + data
