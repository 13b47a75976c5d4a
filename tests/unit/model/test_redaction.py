"""What looks secret is hidden, what does not is left alone."""

from __future__ import annotations

import base64

import pytest

from provisioner.model.redaction import HIDDEN, redacted


@pytest.mark.parametrize("kind", ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ED25519 PRIVATE KEY"])
def test_private_keys(kind: str) -> None:
    pem = f"-----BEGIN {kind}-----\nMC4CAQAwBQYDK2Vw\n-----END {kind}-----\n"
    coded = base64.b64encode(pem.encode()).decode()
    assert redacted(f"key: {pem}after") == f"key: {HIDDEN}\nafter"
    assert redacted(f"key: {coded} after") == f"key: {HIDDEN} after"
    assert redacted(pem[:50]) == HIDDEN


@pytest.mark.parametrize("text", ["token wlzjyw.bei2zfylhs2by0wd", '"token":"wlzjyw.bei2zfylhs2by0wd"'])
def test_tokens(text: str) -> None:
    assert redacted(text) == text.replace("wlzjyw.bei2zfylhs2by0wd", HIDDEN)


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMIIB").decode(),
        "home-cp-1.cluster.local at 10.0.40.11",
        "registry.k8s.io/kube-apiserver:v1.34.1",
        "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba",
        "hv0001.longdomainname16.lan",
    ],
)
def test_the_rest_is_left_alone(text: str) -> None:
    assert redacted(text) == text
