"""Get-TalosVM and Get-TalosConsole, and what a VM looks like as a result of any function."""

from __future__ import annotations

import base64
import ntpath
from collections.abc import Iterator

from provisioner.lab.functions.call import (
    Arguments,
    Call,
    Result,
    by_id,
    cluster_of,
    compact,
    find_mark,
    json_file,
    refuse,
)
from provisioner.lab.world.hyperv.devices import boot_entry
from provisioner.lab.world.hyperv.service import VmView
from provisioner.lab.world.state import DvdDrive, HardDrive

RECORD = "provision.json"
"""Lies in a VM's folder before there is a VM, and carries its mark."""


def get_vm(call: Call, arguments: Arguments) -> Iterator[Result]:
    vms = call.vms()
    if "Id" in arguments:
        vms = [view for vm_id in arguments["Id"] if (view := by_id(vms, vm_id)) is not None]
    cluster = arguments.get("ClusterId", "")
    for view in vms:
        if not cluster or cluster_of(mark_of(call, view)) == cluster:
            yield vm_result(call, view, changed=False)


def vm_again(call: Call, vm_id: str, *, changed: bool) -> Result:
    """The VM, read again after a change."""
    return vm_result(call, call.hyperv.vms.get_vm(vm_id), changed=changed)


def vm_result(call: Call, view: VmView, *, changed: bool) -> Result:
    vm = view.vm
    nic = vm.nics[0] if vm.nics else None
    mark = mark_of(call, view)
    return {
        "Id": vm.id,
        "Name": vm.name,
        "State": vm.state,
        "Generation": vm.generation,
        "Cpus": vm.cpus,
        "MemoryBytes": vm.memory_bytes,
        "DynamicMemory": vm.dynamic_memory,
        "MacAddress": nic.mac if nic else "",
        "StaticMac": bool(nic and nic.static_mac),
        "Switch": view.switch_names.get(nic.switch_id, "") if nic else "",
        "VlanId": nic.vlan_id if nic else 0,
        "Connected": bool(nic and nic.switch_id),
        "Addresses": list(view.addresses),
        "Drives": compact(drive_rows(call, view)),
        "BootOrder": [boot_entry(vm, entry).kind for entry in vm.boot_order] if vm.generation != 1 else [],
        "SecureBoot": vm.generation != 1 and vm.secure_boot,
        "AutomaticCheckpoints": vm.automatic_checkpoints,
        "CheckpointType": vm.checkpoint_type,
        "StartAction": vm.start_action,
        "StopAction": vm.stop_action,
        "StartDelaySeconds": vm.start_delay_s,
        "Heartbeat": view.heartbeat,
        "UptimeSeconds": int(view.uptime_s),
        "BiosUuid": vm.bios_uuid,
        "Notes": vm.notes,
        "Mark": mark,
        "Folder": vm.path,
        "Complete": bool(find_mark(vm.notes)) or not mark,
        "Changed": changed,
    }


def mark_of(call: Call, view: VmView) -> str:
    """The mark of the Notes, or else of the folder, where a kill left the VM half-made."""
    return find_mark(view.vm.notes) or folder_mark(call, view.vm.path, view.id)


def folder_mark(call: Call, folder: str, vm_id: str = "") -> str:
    """The mark in a folder's provision.json, or empty. One that names another VM says nothing about this one."""
    record = folder_record(call, folder)
    if vm_id and record.get("vmId") and record["vmId"] != vm_id:
        return ""
    return find_mark(record.get("mark", ""))


def folder_record(call: Call, folder: str) -> dict[str, str]:
    """provision.json of a folder."""
    return json_file(call.storage, ntpath.join(folder, RECORD))


def drive_rows(call: Call, view: VmView) -> list[Result]:
    """The drives as plain tables, disks first."""
    disks = [_disk_row(call, drive) for drive in view.vm.hard_drives]
    return disks + [_drive_row("dvd", drive, 0) for drive in view.vm.dvd_drives]


def _disk_row(call: Call, drive: HardDrive) -> Result:
    storage = call.storage
    file = storage.find(drive.path)
    vhd = file.vhd if file is not None else None
    row = _drive_row("disk", drive, vhd.size_bytes if vhd else 0)
    return {
        **row,
        "FileBytes": file.size_bytes if file is not None and vhd is not None else 0,
        "Exists": file is not None or not storage.has_volume(drive.path),
    }


def _drive_row(kind: str, drive: HardDrive | DvdDrive, size: int) -> Result:
    return {
        "Kind": kind,
        "Path": drive.path,
        "ControllerNumber": drive.controller_number,
        "ControllerLocation": drive.controller_location,
        "SizeBytes": size,
    }


def get_console(call: Call, arguments: Arguments) -> Iterator[Result]:
    """The screen of a running VM."""
    vm_id, width, height = arguments["Id"], arguments["Width"], arguments["Height"]
    if not call.caller.administrator:
        text = "To read the screen of a VM takes an administrator of this host."
        raise refuse("NotAdministrator", "PermissionDenied", text, vm_id)
    view = call.vm(vm_id)
    if view.vm.state != "Running":
        raise refuse("VMNotRunning", "InvalidOperation", f"The VM '{view.name}' is {view.vm.state}.", vm_id)
    answer, image = call.hyperv.console.thumbnail(view.id, width, height)
    if answer != 0:
        text = f"Hyper-V gives no picture of '{view.name}': {answer}."
        raise refuse(f"HyperV.{answer}", "InvalidResult", text, vm_id)
    pixels = image[-width * height * 2 :]  # some builds put the total length in front, in four bytes
    yield {
        "Id": view.id,
        "Name": view.name,
        "Width": width,
        "Height": height,
        "Pixels": base64.b64encode(pixels).decode(),
    }
