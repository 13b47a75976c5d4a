"""What a machine's resources say at this moment, as YAML-shaped values by kind and id. Read under the world's lock."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

from provisioner.lab.machines import kinds
from provisioner.lab.world.guests import clusters
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.guests.hardware import MODEL
from provisioner.lab.world.guests.machine import Machine

Spec = dict[str, Any]
Told = Iterator[tuple[str, str, Spec]]
"""(type, id, spec)"""

DIAGNOSTIC_DELAY = 30.0
ISO_BYTES = 110 * 2**20
_NO_CONFIG = b"machine: {}"
"""Defaults alone."""


def take(machine: Machine, kind: kinds.Kind) -> dict[str, Spec]:
    """All that the machine has of that kind, by id; nothing when no Talos runs on it."""
    if kind.type in META:
        return META[kind.type]
    if machine.guest is None:
        return {}
    told = {
        name: {**kind.usual, **spec}
        for tell in _TELL.get(kind.namespace, ())
        for found, name, spec in tell(machine)
        if found == kind.type
    }
    return {**kind.always, **told}


def _definitions() -> Iterator[tuple[str, Spec]]:
    for kind in kinds.ALL.values():
        spec: Spec = {
            "type": kind.type,
            "displayType": kind.singular,
            "defaultNamespace": kind.namespace,
            "aliases": kind.short_aliases(),
            "allAliases": kind.all_aliases(),
            "printColumns": [{"name": name, "jsonPath": path} for name, path in kind.columns.items()],
        }
        if kind.sensitive:
            spec["sensitivity"] = "sensitive"
        yield kind.id, spec


META: dict[str, dict[str, Spec]] = {
    "ResourceDefinitions.meta.cosi.dev": dict(_definitions()),
    "Namespaces.meta.cosi.dev": {name: {"description": f"{name} resources"} for name in kinds.NAMESPACES},
}
"""The same on every machine, for its whole life."""


def link_name(machine: Machine) -> str:
    """A vmbus adapter has neither slot nor path: the predictable name is made of the MAC."""
    return f"enx{machine.hardware.mac.lower()}"


def _colons(mac: str) -> str:
    return ":".join(mac[i : i + 2] for i in range(0, len(mac), 2)).lower()


def _runtime(machine: Machine) -> Told:
    talos = machine.talos
    unmet = [{"name": name, "reason": reason} for name, reason in talos.unmet]
    status: Spec = {"ready": talos.ready, "unmetConditions": unmet}
    yield "MachineStatuses.runtime.talos.dev", "machine", {"stage": talos.stage, "status": status}
    yield "Versions.runtime.talos.dev", "version", {"version": talos.version}
    yield "KernelCmdlines.runtime.talos.dev", "cmdline", {"cmdline": talos.cmdline}
    time = {
        "synced": talos.time_synced,
        "epoch": 0,
        "syncDisabled": bool(machine.config and machine.config.time_disabled),
    }
    yield "TimeStatuses.v1alpha1.talos.dev", "node", time
    for name, service in talos.services.items():
        running = service.state == "Running"
        spec = {"running": running, "healthy": service.healthy, "unknown": service.unknown}
        yield "Services.v1alpha1.talos.dev", name, spec


def _system_information(machine: Machine) -> Told:
    hardware = machine.hardware
    yield (
        "SystemInformations.hardware.talos.dev",
        "systeminformation",
        {
            "manufacturer": hardware.manufacturer,
            "productName": hardware.product,
            "serialnumber": "-".join(f"{int(hardware.uuid[i : i + 4] or '0', 16) % 10000:04d}" for i in (0, 4, 9)),
            "uuid": hardware.uuid,
        },
    )


def _disks(machine: Machine) -> Told:
    hardware = machine.hardware
    for disk in hardware.disks():
        yield "Disks.block.talos.dev", disk.device, _disk(disk.device, disk.vhd.size_bytes, disk.bus_path, cdrom=False)
    for number, medium in enumerate(hardware.dvd_media()):
        size = ISO_BYTES if medium else 0
        yield "Disks.block.talos.dev", f"sr{number}", _disk(f"sr{number}", size, f"/vmbus/dvd{number}", cdrom=True)
    system = machine.system
    for disk in hardware.disks():
        if system is not None and disk.vhd.system is system:
            spec = {"diskID": disk.device, "devPath": f"/dev/{disk.device}"}
            yield "SystemDisks.block.talos.dev", "system-disk", spec


def _disk(device: str, size: int, bus_path: str, *, cdrom: bool) -> Spec:
    return {
        "size": size,
        "readonly": cdrom,
        "model": "Virtual DVD-ROM" if cdrom else MODEL,
        "modalias": "scsi:t-0x05" if cdrom else "scsi:t-0x00",
        "bus_path": bus_path,
        "cdrom": cdrom,
        "dev_path": f"/dev/{device}",
        "pretty_size": _pretty(size),
    }


def _pretty(size: int) -> str:
    return f"{size / 10**9:.0f} GB" if size >= 10**9 else f"{size / 10**6:.0f} MB"


def _network(machine: Machine) -> Told:
    talos, link = machine.talos, link_name(machine)
    up = machine.hardware.lan_up()
    mac = _colons(machine.hardware.mac)
    yield (
        "LinkStatuses.net.talos.dev",
        link,
        {
            "flags": "UP,BROADCAST,RUNNING,MULTICAST,LOWER_UP" if up else "UP,BROADCAST,MULTICAST",
            "hardwareAddr": mac,
            "permanentAddr": mac,
            "operationalState": "up" if up else "down",
            "linkState": up,
        },
    )
    yield "HardwareAddresses.net.talos.dev", "first", {"name": link, "hardwareAddr": mac}
    yield "HostnameStatuses.net.talos.dev", "hostname", {"hostname": talos.hostname, "domainname": talos.domainname}
    ready = bool(talos.address)
    yield (
        "NetworkStatuses.net.talos.dev",
        "status",
        {
            "addressReady": ready,
            "connectivityReady": ready and up,
            "hostnameReady": bool(talos.hostname),
            "etcFilesReady": bool(talos.hostname),
        },
    )
    config = machine.config or MachineConfig(_NO_CONFIG)
    yield "ResolverStatuses.net.talos.dev", "resolvers", {"dnsServers": config.nameservers}
    yield "TimeServerStatuses.net.talos.dev", "timeservers", {"timeServers": config.time_servers}
    prefixes = _prefixes(machine)
    for prefix in prefixes:
        yield "AddressStatuses.net.talos.dev", f"{link}/{prefix}", _address(prefix, link)
    for set_name in ("current", "routed", "accumulative", "default"):
        some = prefixes[:1] if set_name == "default" else prefixes
        for suffix in ("", "-k8s", "-no-k8s"):
            shown = [] if suffix == "-k8s" else some
            yield "NodeAddresses.net.talos.dev", f"{set_name}{suffix}", {"addresses": shown}


def _prefixes(machine: Machine) -> list[str]:
    """Its addresses with prefix length: the LAN's own, and /32 for a virtual one."""
    length = machine.kernel.state.lan.subnet.partition("/")[2]
    own = clusters.addresses(machine)
    return [f"{address}/{length if number == 0 else '32'}" for number, address in enumerate(own)]


def _address(prefix: str, link: str) -> Spec:
    interface = ipaddress.ip_interface(prefix)
    return {
        "address": prefix,
        "local": str(interface.ip),
        "broadcast": str(interface.network.broadcast_address),
        "linkName": link,
        "family": "inet4" if interface.version == 4 else "inet6",
    }


def _configured(machine: Machine) -> Told:
    if machine.config is None:
        return
    config = machine.config
    machine_type = "controlplane" if config.control_plane else "worker"
    yield "MachineConfigs.config.talos.dev", "v1alpha1", {"data": config.data}
    if machine.system is not None and machine.system.config:
        yield "MachineConfigs.config.talos.dev", "persistent", {"data": machine.system.config}
    yield "MachineTypes.config.talos.dev", "machine-type", {"type": machine_type}


def _cluster(machine: Machine) -> Told:
    if machine.config is None:
        return
    config = machine.config
    yield "Identities.cluster.talos.dev", "local", {"nodeId": machine.node_id}
    info = {"clusterId": config.cluster_id, "clusterName": config.cluster_name}
    yield "Infos.cluster.talos.dev", "current", info
    if config.discovery:
        for other in (machine, *clusters.peers(machine)):
            if other.running_config.discovery and other.talos.address:
                yield "Members.cluster.talos.dev", other.talos.nodename, _member(other)


def _kubernetes(machine: Machine) -> Told:
    if machine.config is None:
        return
    config, talos, kube = machine.config, machine.talos, machine.environment.kube
    yield "Nodenames.kubernetes.talos.dev", "nodename", {"nodename": talos.nodename}
    if talos.address:
        yield "NodeIPs.kubernetes.talos.dev", "kubelet", {"addresses": [talos.address]}
    for key, value in config.node_labels.items():
        yield "NodeLabelSpecs.k8s.talos.dev", key, {"key": key, "value": value}
    for key, value in config.node_annotations.items():
        yield "NodeAnnotationSpecs.k8s.talos.dev", key, {"key": key, "value": value}
    for key, (value, effect) in config.node_taints.items():
        yield "NodeTaintSpecs.k8s.talos.dev", key, {"key": key, "effect": effect, "value": value}
    if machine.kubelet_in and config.registers_node:
        spec = {"nodename": talos.nodename, "nodeReady": kube.node_ready(talos), "unschedulable": machine.cordoned}
        yield "NodeStatuses.kubernetes.talos.dev", talos.nodename, spec
    for component in config.static_pods if machine.etcd_running else ():
        status = _pod_status(ready=kube.static_pods_ready(talos))
        yield "StaticPodStatuses.kubernetes.talos.dev", f"kube-system/{component}-{talos.nodename}", status


def _etcd(machine: Machine) -> Told:
    if machine.etcd_running:
        yield "EtcdMembers.etcd.talos.dev", "local", {"memberID": f"{clusters.member_id(machine):016x}"}


def _member(machine: Machine) -> Spec:
    spec: Spec = {
        "nodeId": machine.node_id,
        "addresses": clusters.addresses(machine),
        "hostname": ".".join(filter(None, (machine.talos.hostname, machine.talos.domainname))),
        "machineType": "controlplane" if machine.control_plane else "worker",
        "operatingSystem": f"Talos ({machine.talos.version})",
    }
    return {**spec, "controlPlane": {"port": 6443}} if machine.control_plane else spec


def _pod_status(*, ready: bool) -> Spec:
    return {
        "phase": "Running" if ready else "Pending",
        "conditions": [
            {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": "True" if ready else "False"},
            {"type": "ContainersReady", "status": "True" if ready else "False"},
            {"type": "PodScheduled", "status": "True"},
        ],
    }


def _diagnostics(machine: Machine) -> Told:
    """Pod or service networks that overlap the LAN, told once it held for about 30 s."""
    config = machine.config
    if config is None or machine.kernel.now() - machine.talos.booted < DIAGNOSTIC_DELAY:
        return
    lan = ipaddress.ip_network(machine.kernel.state.lan.subnet)
    own = [
        *(config.get("cluster", "network", "podSubnets") or []),
        *(config.get("cluster", "network", "serviceSubnets") or []),
    ]
    overlaps = [
        str(subnet) for subnet in own if ":" not in str(subnet) and ipaddress.ip_network(str(subnet)).overlaps(lan)
    ]
    if overlaps:
        message = "host and Kubernetes pod/service CIDR addresses overlap"
        details = [f"host network {lan} overlaps {', '.join(overlaps)}"]
        yield "Diagnostics.runtime.talos.dev", "address-overlap", {"message": message, "details": details}


_TELL: dict[str, tuple[Callable[[Machine], Told], ...]] = {
    "runtime": (_runtime, _disks, _diagnostics),
    "hardware": (_system_information,),
    "network": (_network,),
    "config": (_configured,),
    "cluster": (_cluster,),
    "k8s": (_kubernetes,),
    "etcd": (_etcd,),
}
"""By namespace, who tells of it: a look at one kind does not make all others."""
