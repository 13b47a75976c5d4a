"""TLS towards Talos: a client certificate that never touches a file, and a pin for servers that no authority vouches for.

Talos' certificates and keys are Ed25519. Contexts are not made by `ssl.create_default_context`: that adds the system's
authorities, and from Python 3.13 on checks that Talos' own certificates need not pass.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

from provisioner.ports import TalosAccess


def spki_fingerprint(der: bytes) -> str:
    """base64(SHA-256(SubjectPublicKeyInfo)) of a certificate: the form that talosctl prints and takes."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_der_x509_certificate(der).public_key()
    return base64.b64encode(
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode()


def load_client_certificate(context: ssl.SSLContext, crt: bytes, key: bytes) -> None:
    """Loads certificate and key (PEM) from memory. Talos labels its keys `ED25519 PRIVATE KEY`; OpenSSL wants PKCS #8's own
    label for the same bytes.
    """
    with _as_path(crt) as crt_path, _as_path(key.replace(b"ED25519 PRIVATE KEY", b"PRIVATE KEY")) as key_path:
        context.load_cert_chain(crt_path, key_path)


def secure_context(access: TalosAccess) -> ssl.SSLContext:
    """For a configured machine: its certificate must be signed by the cluster's own authority and bear the name dialed."""
    context = _client_context()
    context.load_verify_locations(cadata=access.ca.decode())
    load_client_certificate(context, access.crt, access.key)
    return context


def maintenance_context(pin: str = "", on_peer: Callable[[str], None] = lambda _fingerprint: None) -> ssl.SSLContext:
    """For a machine in maintenance: its authority was made at boot and is never shown, so nothing can be verified but the
    server's key against a pin. The check runs before a byte of HTTP/2 is sent; `on_peer` hears the key's fingerprint.
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


def is_alert(error: BaseException) -> bool:
    """Whether the other side ended the handshake: it does not accept us."""
    return isinstance(error, ssl.SSLError) and "ALERT" in str(error).upper()


def _client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context


@contextlib.contextmanager
def _as_path(data: bytes) -> Iterator[str]:
    """A path that can be read once: the end of a pipe. `load_cert_chain` takes only paths."""
    reader, writer = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "wb") as pipe:
            pipe.write(data)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        yield f"/dev/fd/{reader}"
    finally:
        os.close(reader)
        feeder.join()


def peer_fingerprint(transport: Any) -> str:
    """The fingerprint of the server's key on an open connection."""
    return spki_fingerprint(transport.get_extra_info("ssl_object").getpeercert(binary_form=True))
