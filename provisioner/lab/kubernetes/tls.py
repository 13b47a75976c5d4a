"""TLS of an API server: its certificate by the cluster's own CA, clients by the same; a client without one is let in, as anonymous."""

from __future__ import annotations

import ipaddress
import ssl

from provisioner.lab.machines import pki
from provisioner.lab.machines import tls as machine_tls
from provisioner.lab.world.guests.config import MachineConfig

DEFAULT_SERVICES = "10.96.0.0/12"
DEFAULT_DOMAIN = "cluster.local"


def server_context(config: MachineConfig, address: str) -> ssl.SSLContext:
    """Raises ValueError when the config's CA is none.

    Without a client certificate one is anonymous, and may ask for little; with one of another CA the handshake fails.
    """
    ca = pki.read_pair(*config.kubernetes_ca)
    leaf = pki.kubernetes_server(ca, addresses=addresses(config, address), names=names(config))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = machine_tls.AlertingSSLObject
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=ca.certificate_pem.decode("ascii"))
    machine_tls.take_leaf(context, leaf)
    return context


def addresses(config: MachineConfig, address: str) -> list[str]:
    """The node's own, the virtual one, the first of the services, and what the config adds."""
    services = (config.get("cluster", "network", "serviceSubnets") or [DEFAULT_SERVICES])[0]
    found = [address, config.virtual_ip, str(ipaddress.ip_network(str(services))[1])]
    return [host for host in (*found, *_sans(config)) if pki.is_address(host)]


def names(config: MachineConfig) -> list[str]:
    domain = str(config.get("cluster", "network", "dnsDomain") or DEFAULT_DOMAIN)
    service = "kubernetes.default.svc"
    own = ["kubernetes", "kubernetes.default", service, f"{service}.{domain}", "localhost", config.fqdn]
    return [name for name in (*own, *_sans(config)) if name and not pki.is_address(name)]


def _sans(config: MachineConfig) -> list[str]:
    given = config.get("cluster", "apiServer", "certSANs") or []
    return [config.endpoint_host, *(str(san) for san in given)]
