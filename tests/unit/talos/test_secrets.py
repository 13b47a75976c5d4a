"""The bundle: keys and certificates in Talos' profiles, a file that reads back, and a broken one that is told in full."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from provisioner.errors import Fault
from provisioner.talos import pki, secrets, yaml
from provisioner.talos.api.tls import secure_context
from tests.unit.talos.helpers import CONFIGS, NOW, bundle

CAS = {"etcd": "etcd", "kubernetes": "kubernetes", "aggregator": "", "os": "talos"}


@pytest.mark.parametrize(("name", "organization"), CAS.items())
def test_every_ca_has_the_profile_of_talos(name: str, organization: str) -> None:
    pair = getattr(bundle(), name)
    certificate = x509.load_pem_x509_certificate(pair.crt)
    certificate.verify_directly_issued_by(certificate)
    assert [a.value for a in certificate.subject] == ([organization] if organization else [])
    assert certificate.public_key() == pki.load_key(pair.key).public_key()
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5), "a machine's clock may be behind"
    assert certificate.not_valid_after_utc == NOW + timedelta(hours=87600)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=None)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.digital_signature
    assert not usage.value.key_encipherment
    assert len(certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest) == 20
    assert 0 < certificate.serial_number < 1 << 127


@pytest.mark.parametrize(
    ("pem", "label", "kind"),
    [
        (lambda: bundle().os.key, b"ED25519 PRIVATE KEY", ed25519.Ed25519PrivateKey),
        (lambda: bundle().etcd.key, b"EC PRIVATE KEY", ec.EllipticCurvePrivateKey),
        (lambda: bundle().service_account_key, b"RSA PRIVATE KEY", rsa.RSAPrivateKey),
    ],
)
def test_private_keys_carry_the_labels_of_talos(pem: Callable[[], bytes], label: bytes, kind: type) -> None:
    text = pem()
    assert text.startswith(b"-----BEGIN " + label)
    assert isinstance(pki.load_key(text), kind)
    assert isinstance(load_pem_private_key(pki.standard_key_pem(text), None), kind)


def test_the_service_account_key_is_long() -> None:
    key = pki.load_key(bundle().service_account_key)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 4096


def test_ids_and_tokens() -> None:
    assert len(base64.urlsafe_b64decode(bundle().cluster_id)) == 32
    assert len(base64.b64decode(bundle().cluster_secret, validate=True)) == 32
    assert len(base64.b64decode(bundle().secretbox_secret, validate=True)) == 32
    for token in (bundle().bootstrap_token, bundle().trustd_token):
        assert re.fullmatch(r"[0-9a-z]{6}\.[0-9a-z]{16}", token)
    assert bundle().bootstrap_token != bundle().trustd_token


def test_the_file_reads_back_and_keeps_the_order_of_talos() -> None:
    text = CONFIGS.write_bundle(bundle())
    assert CONFIGS.read_bundle(text) == bundle()
    document = yaml.load(text)
    assert list(document) == ["cluster", "secrets", "trustdinfo", "certs"]
    assert list(document["secrets"]) == ["bootstraptoken", "secretboxencryptionsecret"]
    assert list(document["certs"]) == ["etcd", "k8s", "k8saggregator", "k8sserviceaccount", "os"]


def test_a_bundle_of_talos_reads_and_writes_the_same(golden_talos: Path) -> None:
    text = (golden_talos / "gen-config" / "secrets.yaml").read_bytes()
    read = secrets.read_bundle(text)
    assert yaml.load(secrets.write_bundle(read)) == yaml.load(text)


def test_repr_shows_no_secret() -> None:
    shown = f"{bundle()!r} {bundle().os!r} {CONFIGS.access(bundle())!r}"
    document = yaml.load(CONFIGS.write_bundle(bundle()))
    hidden = [document["cluster"]["secret"], *document["secrets"].values(), document["trustdinfo"]["token"]]
    for secret in hidden:
        assert secret not in shown
    assert "PRIVATE" not in shown


def test_everything_missing_is_named_at_once() -> None:
    document = yaml.load(CONFIGS.write_bundle(bundle()))
    del document["cluster"]["id"], document["trustdinfo"], document["certs"]["os"]
    document["secrets"] = {"bootstraptoken": ""}
    document["certs"]["etcd"]["key"] = document["certs"]["k8s"]["key"]
    document["certs"]["k8s"]["crt"] = "not base64!"
    document["certs"]["k8sserviceaccount"]["key"] = base64.b64encode(b"no key").decode()
    with pytest.raises(secrets.BundleError) as caught:
        secrets.read_bundle(yaml.dump(document))
    assert set(caught.value.problems) == {
        "cluster.id is required",
        "secrets.bootstraptoken is required",
        "one of [secrets.secretboxencryptionsecret, secrets.aescbcencryptionsecret] is required",
        "trustdinfo is required",
        "certs.etcd is invalid: the private key is not that of the certificate",
        "certs.k8s is invalid: the certificate cannot be read",
        "certs.k8sserviceaccount.key is invalid: not a readable private key",
        "certs.os is required",
    }


@pytest.mark.parametrize("text", [b"", b"- a list\n", b"a: [", b"\xff\xfe\x00"])
def test_what_is_no_bundle_at_all(text: bytes) -> None:
    with pytest.raises(Fault) as caught:
        CONFIGS.read_bundle(text)
    assert caught.value.id == "P-CONFIG-BADSECRETS"


def test_the_admin_certificate_has_the_profile_of_talos() -> None:
    access = CONFIGS.access(bundle())
    certificate = x509.load_pem_x509_certificate(access.crt)
    ca = x509.load_pem_x509_certificate(access.ca)
    certificate.verify_directly_issued_by(ca)
    assert certificate.subject.rfc4514_string() == "O=os:admin"
    assert certificate.public_key() == load_pem_private_key(access.key, None).public_key()
    assert certificate.not_valid_after_utc - NOW == timedelta(hours=8760)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH], "Talos takes no certificate with another use beside it"
    authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority.key_identifier == ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.BasicConstraints)


def test_each_admin_certificate_is_a_new_one() -> None:
    assert CONFIGS.access(bundle()).crt != CONFIGS.access(bundle()).crt


def test_a_configured_machine_must_show_a_certificate_of_this_cluster() -> None:
    context = secure_context(CONFIGS.access(bundle()))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert [each["subject"] for each in context.get_ca_certs()] == [((("organizationName", "talos"),),)], (
        "and no other authority"
    )
