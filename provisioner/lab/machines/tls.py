"""TLS as Talos' API speaks it: 1.2 at least, ALPN `h2`, no session tickets, the leaf alone on the wire (pkg/grpc/factory)."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator

from provisioner.lab.machines.pki import Pair


class AlertingSSLObject(ssl.SSLObject):
    """Lets OpenSSL's alert reach the client.

    asyncio drops a connection whose server handshake failed without flushing the alert, so a client would see a lost
    connection where Talos (Go) tells it `bad certificate`. The failure is held back for one step: meanwhile the alert goes out.
    """

    _failed: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._failed is not None:
            raise self._failed
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self._failed = error
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "an alert is to be sent first") from None


def maintenance_context(leaf: Pair) -> ssl.SSLContext:
    """No client is asked for a certificate, and none can verify ours."""
    return _context(leaf)


def secure_context(leaf: Pair, client_cas: list[bytes]) -> ssl.SSLContext:
    """Clients must present a certificate of one of these CAs (PEM)."""
    context = _context(leaf)
    context.verify_mode = ssl.CERT_REQUIRED
    for ca in client_cas:
        context.load_verify_locations(cadata=ca.decode("ascii"))
    return context


def take_leaf(context: ssl.SSLContext, leaf: Pair) -> None:
    """New connections get this certificate; those that stand keep theirs."""
    with _readable_path(leaf.certificate_pem) as certificate, _readable_path(leaf.key_pem) as key:
        context.load_cert_chain(certificate, key)


def _context(leaf: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    context.set_alpn_protocols(["h2"])
    context.sslobject_class = AlertingSSLObject
    take_leaf(context, leaf)
    return context


@contextlib.contextmanager
def _readable_path(data: bytes) -> Iterator[str]:
    """A path that OpenSSL can open and read once though no file is there: a pipe's end. PEM texts fit into its buffer."""
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        os.close(writing)
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)
