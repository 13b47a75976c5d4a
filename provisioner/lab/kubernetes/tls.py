"""TLS of an API server: its certificate by the cluster's own CA, clients by the same; a client without one is let in, as anonymous."""

from __future__ import annotations

import ipaddress
import ssl

from provisioner.lab import pki
from provisioner.lab import tls as lab_tls
from provisioner.lab.world.guests.config import MachineConfig

DEFAULT_SERVICES = "10.96.0.0/12"
DEFAULT_DOMAIN = "cluster.local"


def server_context(config: MachineConfig, address: str) -> ssl.SSLContext:
    """Raises ValueError when the config's CA is none.

    Without a client certificate one is anonymous, and may ask for little; with one of another CA the handshake fails.
    """
    ca = pki.read_pair(*config.kubernetes_ca)
    leaf = pki.kubernetes_server(ca, hosts(config, address))
    return lab_tls.server_context(leaf, "http/1.1", [ca.certificate_pem], required=False)


def hosts(config: MachineConfig, address: str) -> list[str]:
    """The node's own address, the virtual one, the first of the services, the names of its service, and what the config adds."""
    services = (config.get("cluster", "network", "serviceSubnets") or [DEFAULT_SERVICES])[0]
    domain = str(config.get("cluster", "network", "dnsDomain") or DEFAULT_DOMAIN)
    service = "kubernetes.default.svc"
    names = ["kubernetes", "kubernetes.default", service, f"{service}.{domain}", "localhost", config.fqdn]
    given = config.get("cluster", "apiServer", "certSANs") or []
    first = str(ipaddress.ip_network(str(services))[1])
    return [address, config.virtual_ip, first, *names, config.endpoint_host, *(str(san) for san in given)]
