"""New-TalosVM: a machine whole, or finished where a kill left it half-made, or kept as it is."""

from __future__ import annotations

import ntpath
import re
from collections.abc import Iterator

from provisioner.lab.functions.api import Terminating
from provisioner.lab.functions.call import (
    Arguments,
    Call,
    Result,
    bare_id,
    bare_mac,
    compact,
    find_mark,
    record_of,
    refuse,
)
from provisioner.lab.functions.folders import delete_folder
from provisioner.lab.functions.isos import insert_iso
from provisioner.lab.functions.vms_change import (
    ACTIONS,
    check_mac,
    check_switch,
    no_pattern,
    start_one,
    wanted_boot_order,
    with_mark,
)
from provisioner.lab.functions.vms_get import RECORD, folder_mark, mark_of, vm_again
from provisioner.lab.world.hyperv import CmdletError
from provisioner.lab.world.hyperv.service import VmView
from provisioner.lab.world.storage import FileFault, key

UNDO_S = 5.0


def new_vm(call: Call, arguments: Arguments) -> Iterator[Result]:
    name, mark = arguments["Name"], arguments["Mark"]
    vms = call.vms()
    view = _same_name(call, vms, name, mark)
    whole = view is not None and find_mark(view.vm.notes) == mark
    changed = False
    if view is None or not whole:
        folder = view.vm.path if view else _new_folder(call, arguments)
        _check_parts(call, arguments, vms, view)
        if call.what_if:
            return
        view = _make(call, arguments, vms, view, folder)
        changed = True
    starts = arguments["Start"] and view.vm.state in ("Off", "Saved", "Paused")
    if starts and call.what_if:
        return
    if starts:
        start_one(call, view, name)
        changed = True
    yield vm_again(call, view.id, changed=changed)


def _same_name(call: Call, vms: list[VmView], name: str, mark: str) -> VmView | None:
    same = [view for view in vms if view.name.lower() == name.lower()]
    if len(same) > 1:
        raise refuse("VMNameTwice", "ResourceExists", f"{len(same)} VMs have the name '{name}'.", name)
    if same and mark_of(call, same[0]) != mark:
        raise refuse("VMNotOurs", "ResourceExists", f"The VM '{name}' does not bear the mark '{mark}'.", name)
    return same[0] if same else None


def _new_folder(call: Call, arguments: Arguments) -> str:
    parent: str = arguments["Path"] or call.world.state.host.disk_folder
    folder = parent.rstrip("\\") + f"\\{arguments['Name']}"
    name = arguments["Name"]
    if not re.match(r"[A-Za-z]:\\", parent) or re.search(r'[\\/:*?"<>|]', name) or re.fullmatch(r"\.+", name):
        text = f"'{folder}' is not a full path that this host can have."
        raise refuse("VMFolderInvalid", "InvalidArgument", text, folder)
    return folder


def _check_parts(call: Call, arguments: Arguments, vms: list[VmView], view: VmView | None) -> None:
    """What a new machine needs from the host must be there, and its MAC address free."""
    iso = arguments["IsoPath"]
    check_switch(call, arguments["SwitchName"])
    if call.storage.find(iso) is None:
        raise refuse("VMIsoNotFound", "ObjectNotFound", f"There is no ISO '{iso}'.", iso)
    check_mac(vms, arguments["MacAddress"], view.id if view else "")


def _make(call: Call, arguments: Arguments, vms: list[VmView], view: VmView | None, folder: str) -> VmView:
    """Folder and mark first, the mark in the Notes last: whatever lies between is known to be ours, and to be half-made."""
    disk = f"{folder}\\{arguments['Name']}.vhdx"
    made: VmView | None = None
    kept = False
    try:
        if view is None:
            kept = _prepare_folder(call, vms, folder, disk, arguments["Mark"])
            view = made = _new_vm(call, arguments, folder)
        _write_record(call, folder, arguments["Mark"], view.id)
        _equip(call, arguments, view.id, disk)
    except (Terminating, CmdletError, FileFault) as error:
        if made is not None:
            _undo(call, made, folder, keep_disk=kept)
        raise _explained(error, disk, folder) from error
    return call.hyperv.vms.get_vm(view.id)


def _prepare_folder(call: Call, vms: list[VmView], folder: str, disk: str, mark: str) -> bool:
    """The folder with its record, before there is a VM. Tells whether a disk of an earlier VM lies there and stays."""
    storage = call.storage
    ours = folder_mark(call, folder) == mark
    kept = storage.find(disk) is not None and _keeps_disk(call, vms, folder, disk, ours=ours)
    if not kept and not ours and storage.files_below(folder):
        text = f"The folder '{folder}' holds files that are not of this machine."
        raise refuse("VMFolderInvalid", "InvalidArgument", text, folder)
    try:
        storage.make_folder(folder)
    except FileFault as fault:
        if fault.kind == "no-space":
            raise
        raise refuse("VMFolderInvalid", "InvalidArgument", str(fault), folder) from fault
    _write_record(call, folder, mark, "")
    return kept


def _keeps_disk(call: Call, vms: list[VmView], folder: str, disk: str, *, ours: bool) -> bool:
    """Whether the disk of an earlier VM stays; one to which nothing was written is deleted. Refuses those of others, and checkpoints."""
    if not ours or any(key(drive.path) == key(disk) for view in vms for drive in view.vm.hard_drives):
        raise refuse("VMDiskExists", "ResourceExists", f"The disk '{disk}' is there and is not of this machine.", disk)
    if any(file.path.lower().endswith(".avhdx") for file in call.storage.files_below(folder)):
        text = f"Beside the disk '{disk}' lie files of a checkpoint that was not merged."
        raise refuse("VMDiskExists", "ResourceExists", text, disk)
    if _never_written(call, disk):
        call.storage.delete(disk)
        return False
    return True


def _never_written(call: Call, disk: str) -> bool:
    """A dynamic disk takes its first block from the volume with the first write. One that cannot be read counts as written."""
    try:
        seen = call.hyperv.disks.get_vhd(disk)
    except CmdletError:
        return False
    return seen.kind == "Dynamic" and seen.file_bytes < seen.block_bytes


def _write_record(call: Call, folder: str, mark: str, vm_id: str) -> None:
    text = compact({"mark": mark, "vmId": bare_id(vm_id)})
    call.storage.write(ntpath.join(folder, RECORD), text.encode())


def _new_vm(call: Call, arguments: Arguments, folder: str) -> VmView:
    try:
        return call.hyperv.vms.new_vm(
            arguments["Name"],
            generation=2,
            memory_bytes=arguments["MemoryBytes"],
            path=ntpath.dirname(folder),
            switch_name=no_pattern(arguments["SwitchName"]),
        )
    except CmdletError as error:
        if "0x80070002" in error.message or "0x80070003" in error.message:
            raise refuse("VMFolderInvalid", "InvalidArgument", error.message, folder) from error
        raise


def _equip(call: Call, arguments: Arguments, vm_id: str, disk: str) -> None:
    hyperv, view = call.hyperv, call.hyperv.vms.get_vm(vm_id)
    hyperv.vms.set_vm(
        vm_id,
        dynamic_memory=False,
        memory_bytes=arguments["MemoryBytes"],
        cpus=arguments["Cpus"],
        start_delay_s=arguments["StartDelaySeconds"],
    )
    hyperv.vms.set_vm(vm_id, **ACTIONS)
    if not view.vm.hard_drives:
        if call.storage.find(disk) is None:
            hyperv.disks.new_vhd(disk, arguments["DiskBytes"])
        hyperv.disks.add_hard_drive(vm_id, disk, number=0, location=0)
    insert_iso(call, view, arguments["IsoPath"])
    hyperv.adapters.connect_adapter(vm_id, no_pattern(arguments["SwitchName"]))
    hyperv.adapters.set_mac(vm_id, bare_mac(arguments["MacAddress"]))
    hyperv.adapters.set_vlan(vm_id, arguments["VlanId"])
    hyperv.firmware.set_firmware(vm_id, secure_boot=False, boot_order=wanted_boot_order(hyperv.vms.get_vm(vm_id)))
    hyperv.vms.set_vm(vm_id, notes=with_mark(view.vm.notes, arguments["Mark"]))


def _undo(call: Call, made: VmView, folder: str, *, keep_disk: bool) -> None:
    """Best effort: the failure that led here is the one to tell. A disk that was there before stays, in a folder of ours."""
    try:
        call.hyperv.vms.remove_vm(made.id)
        if not keep_disk:
            delete_folder(call, folder, UNDO_S)
    except (CmdletError, FileFault) as error:
        call.streams.warning(f"What was made of the VM '{made.name}' could not be taken back: {error}")


def _explained(error: Exception, disk: str, folder: str) -> Terminating:
    if isinstance(error, FileFault) and error.kind == "no-space":
        return refuse("VMNoSpace", "ResourceUnavailable", str(error), folder)
    if isinstance(error, CmdletError) and "0x80070070" in error.message:
        return refuse("VMNoSpace", "ResourceUnavailable", error.message, disk)
    return Terminating(record_of(error, ntpath.basename(folder)))
