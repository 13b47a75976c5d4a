"""Worlds for the cases: what a case says about its host, made."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

from provisioner.lab.world import faults
from provisioner.lab.world.build import ISO_BYTES, new_world
from provisioner.lab.world.clock import RunningClock
from provisioner.lab.world.interfaces import Guests
from provisioner.lab.world.state import Account, DvdDrive, HardDrive, HostFile, ScheduledTask, Vhd, Vm
from provisioner.lab.world.storage import key
from provisioner.lab.world.world import World
from tests.lab.world.hand import HandClock, NullGuests

GIB = 1024**3
ACCOUNTS = (
    Account("Administrator", ""),
    Account("kim", "", ["Hyper-V Administrators", "Remote Management Users"]),
    Account("guest", "", ["Remote Management Users"]),
)


class Obedient(NullGuests):
    """Guests that shut down when they are asked to, after 20 seconds, and have an address as soon as they run."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._world = world

    def shut_down(self, vm: Vm) -> bool:
        self._kernel.after(20.0, "guest shuts down", lambda: self._world.hyperv.power.powered_off(vm.id))
        return True

    def stations(self) -> list[tuple[str, str]]:
        running = [
            vm
            for vm in self._kernel.state.host.vms.values()
            if vm.state == "Running" and self._world.hyperv.power.lan_up(vm)
        ]
        return [(vm.nics[0].mac, f"192.0.2.{150 + number}") for number, vm in enumerate(running)]


def make_world(case: dict[str, Any]) -> World:
    said = dict(case.get("world", {}))
    rate = said.pop("rate", None)
    guests: Callable[[World], Guests] = Obedient if said.pop("guests", "silent") == "obedient" else NullGuests
    clock = HandClock() if rate is None else RunningClock(float(rate))
    world = new_world(clock=clock, guests=guests, accounts=ACCOUNTS, **said)
    if rate is None:
        world.kernel.spend(1.0)  # the foreign VM comes up
    else:
        world.start()
    for item in case.get("set_up", []):
        set_up(world, item)
    return world


def set_up(world: World, item: dict[str, Any]) -> None:
    """One thing that is so before, or happens between, the calls of a case."""
    [(what, said)] = item.items()
    with world.kernel.lock:
        _SET_UP[what](world, said)


def _iso(world: World, path: str) -> None:
    file = HostFile(
        path=path,
        size_bytes=ISO_BYTES,
        modified=0.0,
        sha256=hashlib.sha256(path.encode()).hexdigest(),
        talos_iso="v1.11.5",
    )
    _put(world, file)


def _file(world: World, said: dict[str, Any]) -> None:
    content = said.get("text", "").encode()
    written = world.kernel.now() - said["age_s"] if "age_s" in said else 0.0
    file = HostFile(path=said["path"], size_bytes=len(content), modified=written, content=content)
    if "disk_gib" in said:
        taken = said.get("written_mib", 8) * 1024**2  # 8: a dynamic disk that nothing was written to
        file = HostFile(path=said["path"], size_bytes=taken, modified=0.0, vhd=Vhd(size_bytes=said["disk_gib"] * GIB))
    _put(world, file)


def _put(world: World, file: HostFile) -> None:
    world.storage.make_folder(file.path.rpartition("\\")[0])
    world.storage.put(file)


def _write_disk(world: World, said: dict[str, Any]) -> None:
    """The guest wrote to its disk."""
    world.storage.grow(said["path"], said["mib"] * 1024**2)


def _delete(world: World, path: str) -> None:
    del world.state.host.files[key(path)]
    world.kernel.changed("file", path)


def _fault(world: World, said: dict[str, Any]) -> None:
    faults.inject(world, said["name"], said.get("place", ""), said.get("times", 1), said.get("value"))


def _job(world: World, said: dict[str, Any]) -> None:
    """The record of an earlier job of the switch LAB, and its task where it still runs."""
    record = {
        "Id": "0b0a6c3e-1f4b-4a3e-8a52-0c1f7d1f2a11",
        "Kind": "New",
        "State": said["state"],
        "ErrorId": "",
        "Message": "",
        "StartedUtc": "2026-01-01T00:00:00Z",
        "EndedUtc": "",
    }
    _file(world, {"path": "C:\\Program Files\\TalosHyperV\\jobs\\LAB.json", "text": json.dumps(record)})
    if said.get("runs"):
        for name in ("TalosHyperV switch LAB", "\\TalosHyperV\\Switch LAB"):
            task = ScheduledTask(name=name, command="powershell.exe", arguments="", last_result=267009)
            world.state.host.tasks[name.lower()] = task


def _twin(world: World, vm_name: str) -> None:
    """A second VM of the same name, which Hyper-V allows."""
    twin = copy.deepcopy(_vm(world, vm_name))
    twin.id, twin.hard_drives, twin.nics = "7f3b1c1e-2a54-4f0e-8a0b-0c1d2e3f4a5c", [], []
    twin.boot_order = []
    twin.state = "Off"
    world.state.host.vms[twin.id] = twin


def _edit_vm(world: World, said: dict[str, Any]) -> None:
    """What somebody at the host's own console did to a VM."""
    vm = _vm(world, said["name"])
    for field, value in said.items():
        if field != "name":
            assert hasattr(vm, field), field
            setattr(vm, field, value)
    world.kernel.changed("vm", vm.id)


def _forget_vm(world: World, name: str) -> None:
    """Hyper-V knows the VM no more; its files are left."""
    del world.state.host.vms[_vm(world, name).id]
    world.kernel.changed("vm")


def _edit_nic(world: World, said: dict[str, Any]) -> None:
    """The same for its first network adapter."""
    vm = _vm(world, said["name"])
    for field, value in said.items():
        if field != "name":
            assert hasattr(vm.nics[0], field), field
            setattr(vm.nics[0], field, value)
    world.kernel.changed("vm", vm.id)


def _edit_disk(world: World, said: dict[str, str]) -> None:
    """Its first disk is another file."""
    vm = _vm(world, said["name"])
    vm.hard_drives[0].path = said["path"]
    world.kernel.changed("vm", vm.id)


def _vm(world: World, name: str) -> Vm:
    return next(vm for vm in world.state.host.vms.values() if vm.name == name)


def _neighbor(world: World, said: dict[str, str]) -> None:
    world.state.host.neighbors[said["address"]] = (said["mac"], said["state"])


def _switch_notes(world: World, said: dict[str, str]) -> None:
    switch = next(switch for switch in world.state.host.switches if switch.name == said["name"])
    switch.notes = said["notes"]


def _share_disk(world: World, said: dict[str, str]) -> None:
    """A VM that is Off has a disk of another one, as a copy without files of its own has."""
    vm = _vm(world, said["name"])
    vm.state = "Off"
    vm.hard_drives.append(HardDrive(0, 5, said["path"]))


_SET_UP: dict[str, Callable[[World, Any], None]] = {
    "iso": _iso,
    "file": _file,
    "folder": lambda world, path: world.storage.make_folder(path),
    "delete": _delete,
    "write_disk": _write_disk,
    "fault": _fault,
    "job": _job,
    "twin": _twin,
    "edit_vm": _edit_vm,
    "edit_disk": _edit_disk,
    "edit_nic": _edit_nic,
    "forget_vm": _forget_vm,
    "neighbor": _neighbor,
    "switch_notes": _switch_notes,
    "share_disk": _share_disk,
    "two_dvds": lambda world, name: _vm(world, name).dvd_drives.append(DvdDrive(0, 2, "C:\\iso\\other.iso")),
}


def durable(world: World) -> dict[str, Any]:
    """What a call with -WhatIf must leave as it is."""
    with world.kernel.lock:
        host = world.state.host
        files = {path: (file.size_bytes, file.sha256, file.content) for path, file in host.files.items()}
        return copy.deepcopy(
            {"vms": host.vms, "switches": host.switches, "files": files, "tasks": host.tasks, "adapters": host.adapters}
        )
