"""TLS towards Talos: a client certificate that never touches a file, and a pin for servers that no authority vouches for.

Talos' certificates and keys are Ed25519. Contexts are not made by `ssl.create_default_context`: that adds the system's
authorities, and from Python 3.13 on checks that Talos' own certificates need not pass.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Callable
from typing import Any

from provisioner.clienttls import load_client_certificate
from provisioner.ports import TalosAccess


def spki_fingerprint(der: bytes) -> str:
    """base64(SHA-256(SubjectPublicKeyInfo)) of a certificate: the form that talosctl prints and takes. Raises ssl.SSLError for what is not a
    certificate, or has a key of an unknown kind: OpenSSL takes more than that.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        key = x509.load_der_x509_certificate(der).public_key()
        shown = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except Exception as error:  # whatever the library makes of it
        raise ssl.SSLError(1, "its certificate cannot be read") from error
    return base64.b64encode(hashlib.sha256(shown).digest()).decode()


def secure_context(access: TalosAccess) -> ssl.SSLContext:
    """For a configured machine: its certificate must be signed by the cluster's own authority and bear the name dialed."""
    context = _client_context()
    context.load_verify_locations(cadata=access.ca.decode())
    load_client_certificate(context, access.crt, access.key)
    return context


def maintenance_context(pin: str = "", on_peer: Callable[[str], None] = lambda _fingerprint: None) -> ssl.SSLContext:
    """For a machine in maintenance: its authority was made at boot and is never shown, so nothing can be verified but the
    server's key against a pin. The check runs before a byte of HTTP/2 is sent; `on_peer` receives the key's fingerprint.
    """
    context = _client_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            shown = spki_fingerprint(self.getpeercert(binary_form=True) or b"")
            on_peer(shown)
            if pin and shown != pin:
                raise ssl.SSLCertVerificationError(1, f"the server's key is {shown}, the pinned one {pin}")

    context.sslobject_class = PinnedObject
    return context


def _client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context


def peer_fingerprint(transport: Any) -> str:
    """The fingerprint of the server's key on an open connection."""
    return spki_fingerprint(transport.get_extra_info("ssl_object").getpeercert(binary_form=True))
