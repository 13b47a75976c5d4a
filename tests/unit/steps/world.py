"""Builds desired and observed values from the short forms of the case files: what a case does not say is as it should be."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from provisioner.errors import SourceLocation
from provisioner.model.cluster import Cluster, HostSpec, ImageSpec, MachineSpec, Role, SwitchSpec
from provisioner.model.facts import (
    AdapterFacts,
    ContextFacts,
    ContextState,
    DriveFacts,
    EtcdBegan,
    EtcdMemberFacts,
    FolderFacts,
    HostFacts,
    HostState,
    ImageFacts,
    MachineFacts,
    NodeFacts,
    Observed,
    PodFacts,
    SecretsFacts,
    SwitchFacts,
    SwitchJobFacts,
    UnmetFacts,
    VmFacts,
    VolumeFacts,
)
from provisioner.model.naming import Mark, computed_mac, find_mark

GIB = 1024**3
NOW = datetime(2026, 5, 23, 12, 0, tzinfo=UTC)
PLACE = SourceLocation(file="clusters/home.yaml", line=1, column=1)
CLUSTER_ID = "c0ffee"
HOST = "hv01"
ISO = "C:\\ProgramData\\TalosHyperV\\images\\talos-v1.11.5.iso"


def uuid_of(name: str) -> str:
    """The BIOS UUID of the VM of that name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def cluster_of(given: dict[str, Any]) -> Cluster:
    """`{workers: 1, adapter: Ethernet, sha256: ..., machine: {...for all...}, ...}`."""
    name = given.get("name", "home")
    roles = [Role.CONTROL_PLANE] * given.get("control_planes", 1) + [Role.WORKER] * given.get("workers", 1)
    counts = {Role.CONTROL_PLANE: 0, Role.WORKER: 0}
    machines = []
    for role in roles:
        counts[role] += 1
        word = "cp" if role is Role.CONTROL_PLANE else "worker"
        machine = f"{name}-{word}-{counts[role]}"
        values: dict[str, Any] = {"cpus": 2, "memory_mib": 4096, "disk_gib": 20, "mac": computed_mac(name, machine)}
        values |= given.get("machine", {}) | given.get("machines", {}).get(machine, {})
        machines.append(MachineSpec(name=machine, role=role, host=HOST, place=PLACE, **values))
    return Cluster(
        name=name,
        file=Path("clusters/home.yaml"),
        hosts={HOST: HostSpec(name=HOST, address="hv01.lan", user="provision")},
        switch=SwitchSpec(name="LAB", adapter=given.get("adapter", "Ethernet")),
        image=ImageSpec(
            url="https://example.com/metal-amd64.iso",
            sha256=given.get("sha256", ""),
            file_name="talos-v1.11.5.iso",
            path=given.get("image_path", ""),
        ),
        talos="v1.11.5",
        kubernetes="v1.34.1",
        machines=tuple(machines),
        folder=given.get("folder", ""),
    )


def observed_of(given: dict[str, Any], cluster: Cluster) -> Observed:
    """Every key is optional; `all: up` stands for a whole and healthy cluster."""
    up = given.get("all") == "up"
    secrets = SecretsFacts(exists=up, cluster_id=CLUSTER_ID if up else "", path="~/.provision/home/secrets.yaml")
    secrets = replace(secrets, **given.get("secrets", {}))
    state = HostState(
        host=host_of(given.get("host", {})),
        switch=switch_of(given["switch"]) if "switch" in given else (switch_of({}) if up else None),
        marked_switches=tuple(switch_of(each) for each in given.get("marked_switches", [])),
        images=tuple(image_of(i) for i in given.get("images", [{}] if up else [])),
        vms=tuple(vm_of(v, cluster) for v in _vms(given, cluster, up=up)),
        folders=tuple(folder_of(f) for f in _folders(given, cluster, up=up)),
        read_utc=NOW,
    )
    machines = {m.name: machine_of({}, m.name, cluster) for m in cluster.machines} if up else {}
    for name, values in given.get("machines", {}).items():
        if values is None:
            machines.pop(name, None)
        else:
            machines[name] = machine_of(values, name, cluster)
    etcd = given.get("etcd", [m.name for m in cluster.control_planes] if up else None)
    nodes = given.get("nodes", [{"name": m.name} for m in cluster.machines] if up else None)
    return Observed(
        hosts={HOST: state},
        secrets=secrets,
        image_pin=given.get("image_pin", ""),
        machines=machines,
        unread=given.get("unread", {}),
        etcd_began=None if given.get("etcd_began") is None else EtcdBegan(vms=tuple(given["etcd_began"])),
        etcd=None if etcd is None else tuple(EtcdMemberFacts(hostname=name) for name in etcd),
        nodes=None if nodes is None else tuple(NodeFacts(**({"ready": True} | node)) for node in nodes),
        lost_ids={name: tuple(machines) for name, machines in given.get("lost_ids", {}).items()},
        access=_access(given.get("access", {"talosconfig": "current", "kubeconfig": "current"} if up else {})),
        read_utc=NOW,
    )


def _access(given: dict[str, Any]) -> dict[str, ContextFacts]:
    """A state alone, or a mapping of facts."""
    named = {name: facts if isinstance(facts, dict) else {"state": facts} for name, facts in given.items()}
    return {
        name: ContextFacts(
            **facts | {"state": ContextState(facts["state"]), "wanted": facts.get("wanted", facts.get("name", ""))}
        )
        for name, facts in named.items()
    }


def _vms(given: dict[str, Any], cluster: Cluster, *, up: bool) -> list[dict[str, Any]]:
    vms = [{"name": m.name} for m in cluster.machines] if up else []
    changed = given.get("vms", [])
    names = {vm["name"] for vm in changed}
    return [vm for vm in vms if vm["name"] not in names] + [vm for vm in changed if not vm.get("gone")]


def _folders(given: dict[str, Any], cluster: Cluster, *, up: bool) -> list[dict[str, Any]]:
    """Of a whole cluster: one of each machine, and it names that machine's VM."""
    folders = [{"machine": m.name} for m in cluster.machines] if up else []
    changed = given.get("folders", [])
    names = {folder["machine"] for folder in changed}
    return [f for f in folders if f["machine"] not in names] + [f for f in changed if not f.get("gone")]


def folder_of(given: dict[str, Any]) -> FolderFacts:
    name = given["machine"]
    return FolderFacts(
        path=given.get("path", f"C:\\VMs\\{name}"),
        mark=Mark(cluster_id=given.get("cluster", CLUSTER_ID), machine=name),
        vm_id=given.get("vm_id", f"id-{name}"),
        disk_bytes=given.get("disk_bytes", given.get("disk_gib", 2) * GIB),
    )


def host_of(given: dict[str, Any]) -> HostFacts:
    values: dict[str, Any] = {
        "computer_name": "HV01",
        "ps_version": "5.1.26100.1",
        "module_version": "1.0.0",
        "language_mode": "FullLanguage",
        "hyperv_module": True,
        "hypervisor_present": True,
        "vmms_status": "Running",
        "is_administrator": True,
        "is_hyperv_administrator": True,
        "memory_total_bytes": 64 * GIB,
        "memory_free_bytes": 49 * GIB,
        "time_utc": NOW + timedelta(seconds=given.pop("clock_off_s", 0)),
        "disk_folder": "C:\\VMs",
        "image_folder": "C:\\ProgramData\\TalosHyperV\\images",
        "volumes": (VolumeFacts(root="C:\\", size_bytes=500 * GIB, free_bytes=given.pop("free_gib", 400) * GIB),),
        "adapters": tuple(
            adapter_of(a)
            for a in given.pop("adapters", [{"name": "Ethernet"}, {"name": "Wi-Fi", "media": "Native 802.11"}])
        ),
    }
    if "memory_free_gib" in given:
        given["memory_free_bytes"] = int(given.pop("memory_free_gib") * GIB)
    return HostFacts(**(values | given))


def adapter_of(given: dict[str, Any]) -> AdapterFacts:
    values = {
        "name": "Ethernet",
        "description": "Intel I226-V",
        "status": "Up",
        "media": "802.3",
        "link_speed": "2.5 Gbps",
    }
    return AdapterFacts(**(values | given))


def switch_of(given: dict[str, Any]) -> SwitchFacts:
    given = dict(given)
    job = given.pop("job", None)
    mark = given.pop("mark", None)
    values: dict[str, Any] = {
        "name": "LAB",
        "exists": True,
        "kind": "External",
        "adapter": "Ethernet",
        "adapter_description": "Intel I226-V",
        "allow_management_os": True,
        "addresses": ("192.168.1.10",),
        "vm_names": tuple(given.pop("vm_names", ())),
        "mark": find_mark(mark) if mark else None,
        "job": SwitchJobFacts(**({"id": "j1", "kind": "New"} | job)) if job else None,
    }
    return SwitchFacts(**(values | given))


def image_of(given: dict[str, Any]) -> ImageFacts:
    values: dict[str, Any] = {"path": ISO, "exists": True, "size_bytes": 318_767_104, "sha256": "a" * 64, "ours": True}
    return ImageFacts(**(values | given | {"vm_names": tuple(given.get("vm_names", ()))}))


def vm_of(given: dict[str, Any], cluster: Cluster) -> VmFacts:
    given = dict(given)
    name = given["name"]
    spec = next((m for m in cluster.machines if m.name == name), None)
    mark = given.pop("mark", f"provision/1 cluster={CLUSTER_ID} machine={name}" if spec else "")
    iso = given.pop("iso", "")
    disk_gib = given.pop("disk_gib", 20)
    disk = {key: given.pop(key) for key in ("exists", "file_bytes") if key in given}
    no_disk = given.pop("no_disk", False)
    disk_path = given.pop("disk_path", f"C:\\VMs\\{name}\\{name}.vhdx")
    values: dict[str, Any] = {
        "id": f"id-{name}",
        "name": name,
        "state": "Running",
        "generation": 2,
        "cpus": 2,
        "memory_mib": 4096,
        "dynamic_memory": False,
        "mac": spec.mac if spec else "00155D000001",
        "static_mac": True,
        "switch": "LAB",
        "vlan": None,
        "drives": (
            DriveFacts(
                kind="disk",
                path=disk_path,
                size_bytes=disk_gib * GIB,
                **disk,
            ),
            DriveFacts(kind="dvd", path=iso),
        ),
        "boot_order": ("disk", "dvd", "network"),
        "secure_boot": False,
        "automatic_checkpoints": False,
        "checkpoint_type": "Disabled",
        "start_action": "Start",
        "stop_action": "ShutDown",
        "start_delay_s": 20 if spec and spec.role is Role.WORKER else 0,
        "heartbeat": "OkApplicationsUnknown",
        "uptime_s": 600,
        "bios_uuid": uuid_of(name),
        "notes": mark,
        "mark": find_mark(mark) if mark else None,
        "folder": f"C:\\VMs\\{name}",
        "complete": True,
    }
    if no_disk:
        values["drives"] = tuple(drive for drive in values["drives"] if drive.kind != "disk")
    return VmFacts(**(values | given))


def machine_of(given: dict[str, Any], name: str, cluster: Cluster) -> MachineFacts:
    given = dict(given)
    number = next(i for i, m in enumerate(cluster.machines, start=1) if m.name == name)
    unmet = tuple(UnmetFacts(**u) for u in given.pop("unmet", []))
    values: dict[str, Any] = {
        "address": f"192.168.1.{100 + number}",
        "mode": "secure",
        "stage": "running",
        "ready": not unmet,
        "unmet": unmet,
        "uuid": uuid_of(name),
        "macs": (cluster.machine(name).mac,),
        "hostname": name,
        "fingerprint": f"key of {name}",
        "talos": "v1.11.5",
        "system_disk": "/dev/sda",
        "cmdline": "talos.platform=metal",
    }
    return MachineFacts(**(values | given))


def pods_of(cluster: Cluster) -> tuple[PodFacts, ...]:
    """What a healthy cluster has in kube-system."""
    of_node = [
        (f"{component}-{machine.name}", machine.name, component)
        for machine in cluster.control_planes
        for component in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ]
    of_node += [(f"kube-proxy-{n}", machine.name, "kube-proxy") for n, machine in enumerate(cluster.machines)]
    of_node += [(f"coredns-{n}", cluster.machines[-1].name, "kube-dns") for n in range(2)]
    return tuple(
        PodFacts(namespace="kube-system", name=name, node=node, ready=True, app=app) for name, node, app in of_node
    )


def mark(machine: str, cluster_id: str = CLUSTER_ID) -> Mark:
    return Mark(cluster_id=cluster_id, machine=machine)
