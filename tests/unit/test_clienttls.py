"""Errors of libraries in words for people; the certificate from memory is tested with Talos' client."""

from __future__ import annotations

import pytest

from provisioner.clienttls import plain_words


@pytest.mark.parametrize(
    ("library", "people"),
    [
        (
            "NotedConnection(host='192.0.2.10', port=5986): Failed to establish a new connection: [Errno 113] No route to host",
            "Failed to establish a new connection: [Errno 113] No route to host",
        ),
        ("<urllib3> said", "<urllib3> said"),
        ("_ssl.c:989: The handshake operation timed out", "The handshake operation timed out"),
        (
            "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1006)",
            "EOF occurred in violation of protocol",
        ),
        ("Connection refused", "Connection refused"),
        ("", ""),
    ],
)
def test_words_for_people(library: str, people: str) -> None:
    assert plain_words(library) == people
