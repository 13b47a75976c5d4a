"""The checker finds each impossible world. A sound one is bent in one place, and exactly that is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provisioner.lab.world.build import FOREIGN_VM_ID
from provisioner.lab.world.state import (
    DvdDrive,
    EtcdData,
    Guest,
    HardDrive,
    HostFile,
    InstalledSystem,
    KubeCluster,
    State,
    Vhd,
    Vm,
    VmNic,
)
from tests.lab.world.checker import check
from tests.lab.world.helpers import GIB, with_switch

DISK = "D:\\VMs\\cp-1\\cp-1.vhdx"


@pytest.fixture
def state() -> State:
    """A host with a running Talos machine from its disk."""
    world = with_switch()
    vm = world.hyperv.vms.new_vm("cp-1", generation=2, path="D:\\VMs", switch_name="LAB", memory_bytes=4 * GIB)
    world.hyperv.disks.new_vhd(DISK, 20 * GIB)
    world.hyperv.disks.add_hard_drive(vm.id, DISK)
    world.hyperv.adapters.set_mac(vm.id, "02155D000011")
    world.hyperv.power.start_vm(vm.id)
    file = world.storage.find(DISK)
    assert file is not None
    assert file.vhd is not None
    file.vhd.system = InstalledSystem("v1.11.5", b"config", EtcdData("c", 7, "cp-1"))
    world.state.guests[vm.id] = Guest(
        owner=vm.id,
        booted_from="disk",
        version="v1.11.5",
        boot_id="b",
        booted=1.0,
        mac="02155D000011",
        uuid=vm.vm.bios_uuid,
        stage="running",
        address="192.0.2.101",
        api="apid",
        config=b"config",
    )
    assert check(world.state) == []
    return world.state


def cp(state: State) -> Vm:
    return next(vm for vm in state.host.vms.values() if vm.name == "cp-1")


def guest(state: State) -> Guest:
    return state.guests[cp(state).id]


def foreign(state: State) -> Vm:
    return state.host.vms[FOREIGN_VM_ID]


def a_second_disk_with_the_same_etcd(state: State) -> None:
    system = InstalledSystem("v1.11.5", b"", EtcdData("c", 7, "cp-1"))
    state.host.files["d:\\copy.vhdx"] = HostFile("D:\\copy.vhdx", 0, 0.0, vhd=Vhd(GIB, system=system))


BENT: list[tuple[Callable[[State], object], str]] = [
    (lambda s: setattr(cp(s), "state", "Hovering"), "'Hovering'"),
    (lambda s: setattr(cp(s), "cpus", 99), "99 CPUs"),
    (lambda s: setattr(cp(s), "generation", 3), "generation 3"),
    (lambda s: setattr(foreign(s), "bios_uuid", cp(s).bios_uuid), "belongs to two VMs"),
    (lambda s: setattr(s.host, "hypervisor_present", False), "without a hypervisor"),
    (lambda s: cp(s).boot_order.append("dvd:0:9"), "would boot from dvd:0:9"),
    (lambda s: cp(s).boot_order.append("network:0"), "twice"),
    (lambda s: cp(s).dvd_drives.append(DvdDrive(0, 0)), "two drives at 0:0"),
    (lambda s: setattr(cp(s).nics[0], "switch_id", "none"), "switch that does not exist"),
    (lambda s: setattr(cp(s).nics[0], "vlan_id", 5000), "VLAN 5000"),
    (lambda s: cp(s).dvd_drives.append(DvdDrive(0, 5, "D:\\none.iso")), "is not on the host"),
    (lambda s: foreign(s).hard_drives.append(HardDrive(0, 5, DISK)), "two running VMs have the disk"),
    (lambda s: setattr(cp(s), "memory_bytes", 100 * GIB), "bytes of memory are in use"),
    (lambda s: setattr(cp(s).nics[0], "mac", foreign(s).nics[0].mac), "have the MAC address"),
    (lambda s: setattr(cp(s).nics[0], "mac", "02-15-5D"), "as a MAC address"),
    (lambda s: cp(s).nics.append(VmNic("second")), "has no MAC address"),
    (
        lambda s: setattr(s.host.switches[0], "adapter_guid", s.host.adapters[1].guid),
        "Internal switch Default Switch is bound",
    ),
    (lambda s: setattr(s.host.switches[1], "adapter_guid", s.host.adapters[0].guid), "is bound to two switches"),
    (lambda s: s.host.adapters[0].addresses.append("192.0.2.11/24"), "carries addresses of its own"),
    (lambda s: setattr(s.host.switches[2], "allow_management_os", False), "which is not shared with it"),
    (lambda s: s.host.files.update({"e:\\x": HostFile("E:\\x", 1, 0.0)}), "lies on no volume"),
    (lambda s: s.host.files.update({"d:\\y": HostFile("D:\\x", 1, 0.0)}), "is kept under"),
    (lambda s: s.host.folders.add(DISK.lower()), "a file and a folder"),
    (lambda s: s.host.volumes.update({"D:": (GIB, 0)}), "bytes lie on D:"),
    (lambda s: setattr(s.host.files[DISK.lower()], "size_bytes", 30 * GIB), "more room than it can hold"),
    (lambda s: setattr(s.host.adapters[1], "name", "ETHERNET"), "are called ethernet"),
    (lambda s: setattr(s.host, "address", "192.0.2.99"), "reachable at 192.0.2.99"),
    (lambda s: setattr(cp(s), "state", "Off"), "which is Off"),
    (
        lambda s: vars(guest(s)).update(api="maintenance", stage="maintenance"),
        "in maintenance and has a config",
    ),
    (lambda s: setattr(s.host.files[DISK.lower()].vhd, "system", None), "no Talos"),
    (lambda s: setattr(guest(s), "uuid", "other"), "another UUID"),
    (lambda s: s.host.vms.pop(cp(s).id), "a VM that does not exist"),
    (lambda s: setattr(guest(s), "address", "192.0.2.10"), "the host's address"),
    (lambda s: setattr(guest(s), "address", "198.51.100.7"), "outside the LAN"),
    (lambda s: s.lan.leases.update({"A": "192.0.2.150", "B": "192.0.2.150"}), "lease 192.0.2.150"),
    (a_second_disk_with_the_same_etcd, "lies on two disks"),
    (lambda s: s.clusters.update(c=KubeCluster("c", "lab", 0.0, members={"a": 7, "b": 7})), "are the etcd member 7"),
]


@pytest.mark.parametrize(("bend", "reason"), BENT, ids=[reason for _, reason in BENT])
def test_it_names_what_cannot_be(state: State, bend: Callable[[State], object], reason: str) -> None:
    bend(state)
    assert any(reason in found for found in check(state)), check(state)


def test_two_guests_with_one_address(state: State) -> None:
    state.guests[FOREIGN_VM_ID] = Guest(
        "x", "iso", "v1.11.5", "b", 1.0, "00155D0A0B0C", foreign(state).bios_uuid, address="192.0.2.101"
    )
    assert check(state) == ["two guests have the address 192.0.2.101"]
    state.guests[FOREIGN_VM_ID].reachable = False
    assert check(state) == []
