"""What the clients of this package share about TLS: a client certificate that never touches a file, and errors in words for people."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from collections.abc import Iterator


def load_client_certificate(context: ssl.SSLContext, crt: bytes, key: bytes) -> None:
    """Loads certificate and key (PEM) from memory. Talos labels its keys `ED25519 PRIVATE KEY`; OpenSSL wants PKCS #8's own
    label for the same bytes. Raises ssl.SSLError.
    """
    with _as_path(crt) as crt_path, _as_path(key.replace(b"ED25519 PRIVATE KEY", b"PRIVATE KEY")) as key_path:
        context.load_cert_chain(crt_path, key_path)


def is_alert(error: BaseException) -> bool:
    """Whether the other side ended the handshake: it does not accept us."""
    return isinstance(error, ssl.SSLError) and "ALERT" in str(error).upper()


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
