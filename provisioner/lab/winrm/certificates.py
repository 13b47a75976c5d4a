"""The endpoint's own CA and its server certificate.

Kept in the lab's folder: a client that pinned the CA yesterday must find the same one today. Keys are EC P-256, files with keys 0600.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from provisioner.lab.pki import Pair, leaf, named, new_authority, places, read_pair
from provisioner.lab.private_files import write_private

VALID = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)


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
            _write(self.server_path, self._ca, host_name)

    def stray(self, host_name: str) -> Path:
        """A certificate for the server of an unknown authority."""
        return _write(self._folder / "winrm-stray.pem", _new_authority(), host_name)

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


def _new_authority() -> Pair:
    return new_authority(named("Lab WinRM CA"), ec.generate_private_key(ec.SECP256R1()), 10 * VALID)


def _write(path: Path, ca: Pair, host_name: str) -> Path:
    """A server's certificate with its key, in one file."""
    made = leaf(
        ca,
        ec.generate_private_key(ec.SECP256R1()),
        named(host_name),
        usage=ExtendedKeyUsageOID.SERVER_AUTH,
        life=VALID,
        san=places([host_name, "localhost", "127.0.0.1"]),
    )
    write_private(path, made.certificate_pem + made.key_pem)
    return path
