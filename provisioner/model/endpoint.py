"""The endpoint of a cluster's Kubernetes API: one rule for all who need it."""

from __future__ import annotations

from provisioner.model.cluster import Cluster
from provisioner.model.effective import EffectiveConfig
from provisioner.model.facts import Observed

API_PORT = 6443


def endpoint_of(cluster: Cluster, config: EffectiveConfig | None, address: str | None) -> str | None:
    """`https://host:port`: the file's, else the virtual address, else the first control plane's own: the one that the file or a patch
    gives it, or the one it has now. `config` is the first control plane's. None while nothing of that is known.
    """
    if cluster.endpoint:
        return cluster.endpoint
    first = cluster.control_planes[0]
    static = config.addresses[0] if config and config.addresses else ""
    host = cluster.vip or (config.vip if config else "") or first.address or static or address
    return f"https://{bracketed(host)}:{API_PORT}" if host else None


def moved_endpoint(cluster: Cluster, seen: Observed) -> str:
    """The endpoint as it would be now, where the machines' configs carry another since the first control plane's lease has changed;
    empty where that did not happen, or is not known.
    """
    first = cluster.control_planes[0]
    facts, config = seen.machines.get(first.name), seen.configs.get(first.name)
    if not seen.endpoint_sent or facts is None or is_fixed(cluster, config):
        return ""
    now = endpoint_of(cluster, config, facts.address) or ""
    return now if now != seen.endpoint_sent else ""


def is_fixed(cluster: Cluster, config: EffectiveConfig | None) -> bool:
    """Whether the endpoint stays when a lease changes."""
    return endpoint_of(cluster, config, None) is not None


def bracketed(host: str) -> str:
    """An IPv6 address as URLs want it."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
