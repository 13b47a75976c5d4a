"""TLS of the machines' servers, as Talos sets it up (pkg/grpc/factory): 1.2 at least, no session tickets, the leaf alone on the wire."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator, Sequence

from provisioner.lab.pki import Pair


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


def server_context(
    leaf: Pair, protocol: str, client_cas: Sequence[bytes] | None = None, *, required: bool = True
) -> ssl.SSLContext:
    """`client_cas`: certificates (PEM) of the authorities by which clients are known; None: no client is asked for a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    context.set_alpn_protocols([protocol])
    context.sslobject_class = AlertingSSLObject
    take_leaf(context, leaf)
    if client_cas is not None:
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    for ca in client_cas or ():
        context.load_verify_locations(cadata=ca.decode("ascii"))
    return context


def take_leaf(context: ssl.SSLContext, leaf: Pair) -> None:
    """New connections get this certificate; those that stand keep theirs."""
    with _readable_path(leaf.certificate_pem) as certificate, _readable_path(leaf.key_pem) as key:
        context.load_cert_chain(certificate, key)


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
