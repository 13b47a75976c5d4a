"""Set-TalosVM, Start-TalosVM, Stop-TalosVM."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from provisioner.lab.functions.api import ErrorRecord, Terminating
from provisioner.lab.functions.call import (
    Arguments,
    Call,
    Result,
    bare_mac,
    by_id,
    find_mark,
    record_of,
    refuse,
)
from provisioner.lab.functions.vms_get import mark_of, vm_again
from provisioner.lab.world.hyperv import CmdletError
from provisioner.lab.world.hyperv.devices import boot_entry
from provisioner.lab.world.hyperv.service import VmView
from provisioner.lab.world.hyperv.vms import VmSettings

SHUTDOWN_BOUND_S = 120.0
ACTIONS = VmSettings(
    start_action="Start", stop_action="ShutDown", checkpoint_type="Disabled", automatic_checkpoints=False
)
"""What Hyper-V does by itself with a VM of ours."""
BOOT_RANK = {"file": 0, "disk": 1, "dvd": 2, "network": 3, "unknown": 4}
"""What an installed system put in front stays there; an empty disk falls through to the DVD."""


# --- Set-TalosVM ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Change:
    parameter: str
    needs_off: bool
    apply: Callable[[], object]


def set_vm(call: Call, arguments: Arguments) -> Iterator[Result]:
    vms = call.vms()
    view = by_id(vms, arguments["Id"])
    if view is None:
        raise refuse("VMNotFound", "ObjectNotFound", f"There is no VM with the id {arguments['Id']}.", arguments["Id"])
    if mark_of(call, view) != arguments["Mark"]:
        text = f"The VM '{view.name}' does not bear the mark '{arguments['Mark']}'."
        raise refuse("VMNotOurs", "ResourceExists", text, arguments["Id"])
    changes = _changes(call, arguments, view, vms)
    for change in changes:
        if change.needs_off and view.vm.state != "Off":
            text = f"{change.parameter} of '{view.name}' can be changed only while it is Off; it is {view.vm.state}."
            raise refuse("VMMustBeOff", "InvalidOperation", text, change.parameter)
    if changes and call.what_if:
        return
    try:
        for change in changes:
            change.apply()
    except CmdletError as error:
        if "0x80070070" in error.message:
            raise refuse("VMNoSpace", "ResourceUnavailable", error.message, arguments["Id"]) from error
        raise
    yield vm_again(call, view.id, changed=bool(changes))


def _changes(call: Call, arguments: Arguments, view: VmView, vms: list[VmView]) -> list[_Change]:
    """What differs from what is asked for, in the order in which it is done. Refuses what cannot be done."""
    vm, hyperv, asked = view.vm, call.hyperv, arguments.get
    set_vm, set_firmware = partial(hyperv.vms.set_vm, vm.id), partial(hyperv.firmware.set_firmware, vm.id)
    boot_order, vlan = wanted_boot_order(view), vm.nics[0].vlan_id if vm.nics else 0
    has_actions = all(getattr(vm, field) == value for field, value in ACTIONS.items())
    notes = vm.notes if find_mark(vm.notes) == arguments["Mark"] else with_mark(vm.notes, arguments["Mark"])
    rows: list[tuple[str, bool, bool, Callable[[], object]]] = [
        ("SwitchName", False, _moves(call, arguments, view), lambda: _connect(call, vm.id, arguments["SwitchName"])),
        ("Cpus", True, asked("Cpus") != vm.cpus, lambda: set_vm(cpus=arguments["Cpus"])),
        (
            "MemoryBytes",
            True,
            asked("MemoryBytes") != vm.memory_bytes,
            lambda: set_vm(memory_bytes=arguments["MemoryBytes"]),
        ),
        ("StaticMemory", True, vm.dynamic_memory, lambda: set_vm(dynamic_memory=False)),
        (
            "MacAddress",
            True,
            _readdresses(arguments, view, vms),
            lambda: _set_mac(call, vm.id, arguments["MacAddress"]),
        ),
        ("SecureBootOff", True, vm.generation != 1 and vm.secure_boot, lambda: set_firmware(secure_boot=False)),
        (
            "FixBootOrder",
            True,
            _kinds(view, boot_order) != _kinds(view, vm.boot_order),
            lambda: set_firmware(boot_order=boot_order),
        ),
        ("VlanId", False, asked("VlanId") != vlan, lambda: hyperv.adapters.set_vlan(vm.id, arguments["VlanId"])),
        (
            "StartDelaySeconds",
            False,
            asked("StartDelaySeconds") != vm.start_delay_s,
            lambda: set_vm(start_delay_s=arguments["StartDelaySeconds"]),
        ),
        ("FixActions", False, not has_actions, lambda: set_vm(**ACTIONS)),
        ("FixNotes", False, notes != vm.notes, lambda: set_vm(notes=notes)),
        ("DiskBytes", False, _grows(call, arguments, view), lambda: _grow(call, view, arguments["DiskBytes"])),
    ]
    given = {name for name, value in arguments.items() if value is not False}
    return [_Change(name, off, apply) for name, off, differs, apply in rows if differs and name in given]


def _readdresses(arguments: Arguments, view: VmView, vms: list[VmView]) -> bool:
    """Whether the VM gets another MAC address, which must be free, or a static one."""
    if "MacAddress" not in arguments:
        return False
    nic, mac = view.vm.nics[0] if view.vm.nics else None, arguments["MacAddress"]
    if nic is not None and nic.mac == bare_mac(mac) and nic.static_mac:
        return False
    check_mac(vms, mac, view.id)
    return True


def _moves(call: Call, arguments: Arguments, view: VmView) -> bool:
    """Whether the VM comes to another switch, which must be there."""
    if "SwitchName" not in arguments:
        return False
    nic, name = view.vm.nics[0] if view.vm.nics else None, arguments["SwitchName"]
    if nic is not None and view.switch_names.get(nic.switch_id, "").lower() == name.lower():
        return False
    check_switch(call, name)
    return True


def _connect(call: Call, vm_id: str, name: str) -> None:
    _with_adapter(call, vm_id)
    call.hyperv.adapters.connect_adapter(vm_id, no_pattern(name))


def _set_mac(call: Call, vm_id: str, mac: str) -> None:
    _with_adapter(call, vm_id)
    call.hyperv.adapters.set_mac(vm_id, bare_mac(mac))


def _with_adapter(call: Call, vm_id: str) -> None:
    """A VM has a network adapter afterwards."""
    if not call.hyperv.vms.get_vm(vm_id).vm.nics:
        call.hyperv.adapters.add_adapter(vm_id)


def check_switch(call: Call, name: str) -> None:
    if not any(other.name.lower() == name.lower() for other in call.hyperv.switches.get_switches()):
        raise refuse("VMSwitchNotFound", "ObjectNotFound", f"There is no virtual switch '{name}'.", name)


def check_mac(vms: list[VmView], given: str, own_id: str) -> None:
    """No other VM has that MAC address."""
    mac = bare_mac(given)
    for other in vms:
        if other.id != own_id and any(nic.mac == mac for nic in other.vm.nics):
            text = f"The VM '{other.name}' has the MAC address {mac}."
            raise refuse("VMMacInUse", "ResourceExists", text, given)


def no_pattern(name: str) -> str:
    """A name as an argument of a cmdlet that would take it as a pattern."""
    return re.sub(r"([*?[])", r"[\1]", name)


def with_mark(notes: str, mark: str) -> str:
    """The Notes with the mark, below what is there."""
    return f"{notes.rstrip()}\n{mark}".lstrip()


def _grows(call: Call, arguments: Arguments, view: VmView) -> bool:
    """Whether the first disk is to be larger; smaller it cannot be."""
    if "DiskBytes" not in arguments or not view.vm.hard_drives:
        return False
    size, now = arguments["DiskBytes"], call.hyperv.disks.get_vhd(view.vm.hard_drives[0].path).size_bytes
    if size < now:
        text = f"The disk of '{view.name}' has {now} bytes and cannot be made smaller."
        raise refuse("VMDiskShrink", "InvalidArgument", text, arguments["Id"])
    return bool(size > now)


def _grow(call: Call, view: VmView, size: int) -> None:
    call.hyperv.disks.resize_vhd(view.vm.hard_drives[0].path, size)


def wanted_boot_order(view: VmView) -> list[str]:
    return sorted(view.vm.boot_order, key=lambda entry: BOOT_RANK[boot_entry(view.vm, entry).kind])


def _kinds(view: VmView, entries: list[str]) -> list[str]:
    return [boot_entry(view.vm, entry).kind for entry in entries]


# --- Start-TalosVM --------------------------------------------------------------------------------------------------


def start_vm(call: Call, arguments: Arguments) -> Iterator[Result]:
    def work(vm_id: str) -> Iterator[Result]:
        view = call.vm(vm_id)
        stopped = view.vm.state not in ("Running", "Starting")
        if stopped and call.what_if:
            return
        if stopped:
            start_one(call, view, vm_id)
        yield vm_again(call, view.id, changed=stopped)

    yield from call.each(arguments["Id"], work)


def start_one(call: Call, view: VmView, target: str) -> None:
    """Starts a VM, or lets a paused one go on, and says what it lacks where it does not start."""
    try:
        if view.vm.state == "Paused":
            call.hyperv.power.resume_vm(view.id)
        else:
            call.hyperv.power.start_vm(view.id)
    except CmdletError as error:
        if error.id == "OutOfMemory" or "0x800705AA" in error.message:
            raise refuse("VMNoMemory", "ResourceUnavailable", error.message, target) from error
        for drive in view.vm.dvd_drives:
            if drive.path and call.storage.find(drive.path) is None:
                text = f"The mounted '{drive.path}' is not there."
                raise refuse("VMIsoNotFound", "ObjectNotFound", text, target) from error
        raise


# --- Stop-TalosVM ---------------------------------------------------------------------------------------------------


@dataclass
class _Asked:
    vm_id: str
    view: VmView | None = None
    changed: bool = False
    failure: ErrorRecord | None = None


def stop_vm(call: Call, arguments: Arguments) -> Iterator[Result]:
    """All are asked before the first is waited for, so that they shut down side by side; the bound is one for all."""
    asked = [_ask(call, vm_id, turn_off=arguments["TurnOff"]) for vm_id in arguments["Id"]]
    until = call.kernel.now() + SHUTDOWN_BOUND_S
    for item in asked:
        if call.streams.stopping.is_set():
            return
        if item.failure is not None or item.view is None:
            if item.failure is not None:
                call.streams.error(item.failure)
            continue
        if item.changed and not _is_off(call, item.view.id, until):
            text = f"The guest of '{item.view.name}' did not shut down within {SHUTDOWN_BOUND_S:.0f} s."
            call.streams.error(refuse("VMStopTimeout", "OperationTimeout", text, item.vm_id).record)
            continue
        yield from call.each([item.vm_id], partial(_stopped, call, item.changed))


def _stopped(call: Call, changed: bool, vm_id: str) -> Iterator[Result]:
    yield vm_again(call, vm_id, changed=changed)


def _ask(call: Call, vm_id: str, *, turn_off: bool) -> _Asked:
    item = _Asked(vm_id)
    try:
        item.view = view = call.vm(vm_id)
        if view.vm.state == "Off":
            return item
        if call.what_if:
            item.view = None
            return item
        item.changed = True
        if turn_off:
            call.hyperv.power.turn_off(view.id)
        elif view.vm.state != "Stopping" and not call.hyperv.power.request_shutdown(view.id):
            text = f"The guest of '{view.name}' does not answer to a request to shut down."
            raise refuse("VMStopTimeout", "OperationTimeout", text, vm_id)
    except (Terminating, CmdletError) as error:
        item.failure = record_of(error, vm_id)
    return item


def _is_off(call: Call, vm_id: str, until: float) -> bool:
    kernel = call.kernel

    def off() -> bool:
        vm = kernel.state.host.vms.get(vm_id)
        return vm is None or vm.state == "Off" or call.streams.stopping.is_set()

    return kernel.wait_for(off, until - kernel.now())
