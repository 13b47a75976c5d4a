"""TLS of the machines' API, by bare sockets: what is shown, who is let in, and the alerts that say why not."""

from __future__ import annotations

import ssl

import pytest
from cryptography import x509

from provisioner.lab import pki
from provisioner.lab.world.state import Vm
from tests.lab.machines.clients import (
    handshake,
    insecure,
    secure,
)
from tests.lab.machines.clusters import Cluster, as_pem
from tests.lab.machines.helpers import Lan, Served


def test_maintenance_shows_a_leaf_alone_of_a_ca_that_nobody_has(lan: Lan, served: Served) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()
    with handshake(served.port(vm), insecure()) as connection:
        chain = getattr(connection, "_sslobj").get_unverified_chain()  # public only since Python 3.13
        assert connection.selected_alpn_protocol() == "h2"
        der = connection.getpeercert(binary_form=True)
    assert len(chain) == 1
    assert der is not None
    leaf = x509.load_der_x509_certificate(der)
    assert leaf.issuer == x509.Name([])
    assert leaf.subject.rfc4514_string() == "CN=maintenance-service.talos.dev"
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {lan.guest(vm).address, "127.0.0.1", "::1"} == {str(ip) for ip in san.get_values_for_type(x509.IPAddress)}
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(served.port(vm), ssl.create_default_context())


def test_the_key_changes_with_the_clock_and_the_port_stays(lan: Lan, served: Served) -> None:
    lan.inject("time-not-synced", "a", value=60)
    vm = lan.start("a")
    assert lan.kernel.wait_for(lambda: bool(lan.noted("maintenance")), 90)
    served.servers.settle()

    def fingerprint() -> str:
        with handshake(served.port(vm), insecure()) as connection:
            der = connection.getpeercert(binary_form=True)
        assert der is not None
        return pki.fingerprint(x509.load_der_x509_certificate(der))

    port, before = served.port(vm), fingerprint()
    assert fingerprint() == before
    served.advance(120)
    assert fingerprint() != before
    assert served.port(vm) == port


@pytest.mark.parametrize(
    ("client", "alert"),
    [("none", "CERTIFICATE_REQUIRED"), ("stranger", "UNKNOWN_CA"), ("expired", "CERTIFICATE_EXPIRED")],
)
def test_apid_tells_why_it_refuses_a_client(whole: tuple[Served, Cluster, list[Vm]], client: str, alert: str) -> None:
    served, cluster, vms = whole
    # Minus one day: five minutes ago it was made, so it ended long ago.
    certificates = {"none": None, "stranger": Cluster().client(), "expired": cluster.client(days=0)}
    with handshake(served.port(vms[0]), secure(cluster, certificates[client])) as connection:
        with pytest.raises(ssl.SSLError, match=alert):
            connection.recv(1)  # in TLS 1.3 the server judges after the client's handshake ended


def test_two_clusters_certificates_refuse_each_other(lan: Lan, served: Served) -> None:
    ours, theirs = Cluster(name="ours"), Cluster(name="theirs")
    one, two = lan.to_maintenance("a", "b")
    lan.apply(one, ours.config("controlplane", "one"))
    lan.apply(two, theirs.config("controlplane", "two"))
    served.advance(200)
    with handshake(served.port(one), secure(ours, ours.client())) as connection:
        assert connection.recv(1)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(served.port(two), secure(ours, ours.client()))
    trusting = insecure()
    trusting.load_verify_locations(cadata=as_pem(theirs.os_ca)[0].decode())
    with handshake(served.port(two), trusting) as connection, pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        connection.recv(1)
