"""What a machine's config says after all patches, as values.

Without patches the cluster file alone has it, and nothing heavy is loaded; a test holds both ways equal. With patches the config is
generated and patched as it is for the machine itself, with empty secrets: no value here depends on one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner.model.cluster import Cluster, MachineSpec, NetworkSpec, PatchSpec, Role
from provisioner.model.effective import EffectiveConfig
from provisioner.talos.document import at, each, legacy_of

UNKNOWN_ENDPOINT = "https://endpoint.invalid:6443"
"""In the config while the endpoint depends on an address that is not known yet."""

_DEFAULTS = NetworkSpec()
"""Talos' own where a config names no networks."""

_VERSION = re.compile(r":(v\d+\.\d+\.\d+[^:/@]*)(?:@|$)")


def patches_for(cluster: Cluster, machine: MachineSpec) -> tuple[PatchSpec, ...]:
    """The patches of a machine in the order in which they are applied: all, role, machine."""
    by_role = cluster.control_plane_patches if machine.role is Role.CONTROL_PLANE else cluster.worker_patches
    return (*cluster.patches, *by_role, *machine.patches)


def effective(cluster: Cluster, machine: MachineSpec, endpoint: str) -> EffectiveConfig:
    """The machine's values; the file's where a patch cannot be merged (`Configs.findings` says why)."""
    if not patches_for(cluster, machine):
        return from_file(cluster, machine, endpoint)
    from provisioner.talos.patches import PatchError

    try:
        return from_config(cluster, machine, endpoint)
    except PatchError:
        return from_file(cluster, machine, endpoint)


def from_file(cluster: Cluster, machine: MachineSpec, endpoint: str) -> EffectiveConfig:
    """What the config says when no patch changes it."""
    return EffectiveConfig(
        install_disk=cluster.install_disk,
        hostname=machine.name,
        node_name=machine.name,
        vip=cluster.vip if machine.role is Role.CONTROL_PLANE else "",
        endpoint=cluster.endpoint or endpoint,
        pod_subnets=cluster.network.pod_subnets,
        service_subnets=cluster.network.service_subnets,
        kubernetes=cluster.kubernetes,
        installer=cluster.installer,
    )


def from_config(cluster: Cluster, machine: MachineSpec, endpoint: str) -> EffectiveConfig:
    """The same, read from the generated and patched config. Raises PatchError for a patch that cannot be merged."""
    from provisioner.talos import machineconfig, patches

    documents, schema = machineconfig.before_patches(
        cluster, machine, machineconfig.NO_SECRETS, cluster.endpoint or endpoint or UNKNOWN_ENDPOINT
    )
    for patch in patches_for(cluster, machine):
        documents = patches.apply(documents, patch, schema)
    return of_documents(documents)


def of_documents(documents: Sequence[Mapping[str, Any]]) -> EffectiveConfig:
    """The values of decoded documents."""
    config = legacy_of(documents) or {}

    def value(place: str, default: Any = "") -> Any:
        return at(config, *place.split(".")) or default

    hostname = str(value("machine.network.hostname")).removesuffix(".").lower()
    short = hostname.split(".")[0]
    node_name = hostname if value("machine.kubelet.registerWithFQDN") else short
    endpoint = str(value("cluster.controlPlane.endpoint"))
    version = _VERSION.search(str(value("machine.kubelet.image")))
    install = value("machine.install", {})
    devices = list(_devices(config))
    return EffectiveConfig(
        install_disk="" if install.get("diskSelector") is not None else install.get("disk") or "",
        hostname=short,
        node_name=value("machine.kubelet.extraArgs.hostname-override", node_name),
        addresses=tuple(_addresses(devices)),
        vip=next((vip for device in devices if (vip := at(device, "vip", "ip"))), ""),
        endpoint="" if endpoint == UNKNOWN_ENDPOINT else endpoint,
        pod_subnets=tuple(value("cluster.network.podSubnets", _DEFAULTS.pod_subnets)),
        service_subnets=tuple(value("cluster.network.serviceSubnets", _DEFAULTS.service_subnets)),
        cni=value("cluster.network.cni.name", "flannel"),
        proxy=not value("cluster.proxy.disabled"),
        core_dns=not value("cluster.coreDNS.disabled"),
        controller_manager=not value("machine.controlPlane.controllerManager.disabled"),
        scheduler=not value("machine.controlPlane.scheduler.disabled"),
        registers_node=not value("machine.kubelet.skipNodeRegistration"),
        kubernetes=version[1] if version else "",
        installer=install.get("image") or "",
    )


def _devices(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Adapters that Talos sets up, and their VLANs."""
    for _, device in each(config, "machine.network.interfaces[]"):
        if not device.get("ignore"):
            yield device
            yield from (vlan for _, vlan in each(device, "vlans[]"))


def _addresses(devices: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for device in devices:
        given = (*(device.get("addresses") or ()), device.get("cidr"))
        yield from (address.split("/")[0] for address in given if address)
