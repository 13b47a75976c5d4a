"""Virtual disks, hard disk and DVD drives, the SCSI controller, firmware."""

from __future__ import annotations

import ntpath
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.hyperv.service import VmView
from provisioner.lab.world.state import DvdDrive, HardDrive
from tests.engine import hyperv as engine_hyperv
from tests.engine.cmdlets import objects
from tests.engine.cmdlets.behaviours import Environment, behaviour
from tests.engine.cmdlets.behaviours.vms import owners, selected
from tests.engine.cmdlets.call import Call

_Drive = TypeVar("_Drive", HardDrive, DvdDrive)

# -- files


@behaviour("New-VHD", "Path SizeBytes Dynamic Fixed BlockSizeBytes LogicalSectorSizeBytes PhysicalSectorSizeBytes")
def new_vhd(call: Call, around: Environment) -> None:
    def make(path: str) -> None:
        where = around.files.windows_path(path)
        if call.should(where):
            view = around.hyperv_of(call).disks.new_vhd(
                where,
                call.get("SizeBytes"),
                fixed=call.switch("Fixed"),
                block_bytes=call.get("BlockSizeBytes", 32 * objects.MIB),
            )
            call.out("VirtualHardDisk", objects.vhd_object(view))

    call.each(call.items("Path"), make)


@behaviour("Get-VHD", "Path VMId")
def get_vhd(call: Call, around: Environment) -> None:
    hyperv = around.hyperv_of(call)

    def show(path: str) -> None:
        call.out("VirtualHardDisk", objects.vhd_object(hyperv.disks.get_vhd(around.files.windows_path(path))))

    def of_vm(vm_id: str) -> None:
        call.each([drive.path for drive in hyperv.vms.get_vm(vm_id).vm.hard_drives], show)

    if "VMId" in call:
        call.each(call.items("VMId"), of_vm)
    else:
        call.each(call.items("Path"), show)


@behaviour("Resize-VHD", "Path SizeBytes Passthru")
def resize_vhd(call: Call, around: Environment) -> None:
    def resize(path: str) -> None:
        where = around.files.windows_path(path)
        if call.should(where):
            view = around.hyperv_of(call).disks.resize_vhd(where, call.get("SizeBytes"))
            if call.switch("Passthru"):
                call.out("VirtualHardDisk", objects.vhd_object(view))

    call.each(call.items("Path"), resize)


# -- drives


def _owners(call: Call, around: Environment) -> list[VmView]:
    """VMs by -VM, -VMName, or the controller that was given."""
    return (
        owners(call, around, "VMDriveController") if "VMDriveController" in call else selected(call, around, "VMName")
    )


def _wanted(call: Call, drive: HardDrive | DvdDrive) -> bool:
    number, location = call.get("ControllerNumber"), call.get("ControllerLocation")
    return number in (None, drive.controller_number) and location in (None, drive.controller_location)


@behaviour("Get-VMScsiController", "VM VMName VMSnapshot ControllerNumber")
def get_vm_scsi_controller(call: Call, around: Environment) -> None:
    for view in selected(call, around, "VMName"):
        if view.vm.generation != 1 and call.get("ControllerNumber", 0) == 0:
            call.out("VMScsiController", objects.controller_object(view.vm, 0))


@behaviour(
    "Get-VMHardDiskDrive", "VM VMName VMSnapshot VMDriveController ControllerNumber ControllerLocation ControllerType"
)
def get_vm_hard_disk_drive(call: Call, around: Environment) -> None:
    for view in _owners(call, around):
        for drive in view.vm.hard_drives:
            shown = objects.hard_drive_object(view.vm, drive)
            if _wanted(call, drive) and call.get("ControllerType", shown["ControllerType"]) == shown["ControllerType"]:
                call.out("HardDiskDrive", shown)


@behaviour(
    "Add-VMHardDiskDrive",
    "VM VMName VMDriveController ControllerType ControllerNumber ControllerLocation Path Passthru",
)
def add_vm_hard_disk_drive(call: Call, around: Environment) -> None:
    def add(view: VmView) -> None:
        if view.vm.generation != 1 and call.get("ControllerType") == "IDE":
            raise refused.bad_argument("A Generation 2 virtual machine has no IDE controller.", view.name)
        if not call.get("Path"):
            raise refused.bad_argument("A hard disk drive needs the path of a virtual disk.", view.name)
        if call.should(view.name):
            drive = around.hyperv_of(call).disks.add_hard_drive(
                view.id,
                around.files.windows_path(call.text("Path")),
                number=_controller(call),
                location=call.get("ControllerLocation"),
            )
            if call.switch("Passthru"):
                call.out("HardDiskDrive", objects.hard_drive_object(view.vm, drive))

    call.each(_owners(call, around), add)


def _controller(call: Call) -> int | None:
    controllers = call.items("VMDriveController")
    number = controllers[0]["ControllerNumber"] if controllers else call.get("ControllerNumber")
    return None if number is None else int(number)


@behaviour(
    "Set-VMHardDiskDrive", "VMHardDiskDrive VMName ControllerType ControllerNumber ControllerLocation Path Passthru"
)
def set_vm_hard_disk_drive(call: Call, around: Environment) -> None:
    """Another file at the same place, while the VM is Off; a drive that moves is not modelled."""
    hyperv, path = around.hyperv_of(call), around.files.windows_path(call.text("Path"))

    def change(view: VmView, drive: HardDrive) -> None:
        if path:
            hyperv.disks.get_vhd(path)
        if view.vm.state != "Off":
            raise refused.wrong_state(view.name)
        if not call.should(view.name):
            return
        with around.kernel.lock:
            for other in around.host.vms[view.id].hard_drives:
                if path and (other.controller_number, other.controller_location) == _place(drive):
                    other.path = path
            around.kernel.changed("vm", view.id)
        if call.switch("Passthru"):
            shown = HardDrive(*_place(drive), path or drive.path)
            call.out("HardDiskDrive", objects.hard_drive_object(view.vm, shown))

    def by_object(said: Mapping[str, Any]) -> None:
        view = hyperv.vms.get_vm(str(said["VMId"]))
        change(view, _at(view.vm.hard_drives, said, view))

    def by_place(view: VmView) -> None:
        for drive in view.vm.hard_drives:
            if _wanted(call, drive):
                change(view, drive)

    if "VMHardDiskDrive" in call:
        call.each(call.items("VMHardDiskDrive"), by_object)
    else:
        call.each(selected(call, around, "VMName"), by_place)


@behaviour(
    "Remove-VMHardDiskDrive", "VMHardDiskDrive VMName ControllerType ControllerNumber ControllerLocation Passthru"
)
def remove_vm_hard_disk_drive(call: Call, around: Environment) -> None:
    def remove(view: VmView, number: int, location: int) -> None:
        place = {"ControllerNumber": number, "ControllerLocation": location}
        drive = _at(view.vm.hard_drives, place, view)
        if call.should(view.name):
            engine_hyperv.remove_hard_drive(around.hyperv_of(call), view.id, number, location)
            if call.switch("Passthru"):
                call.out("HardDiskDrive", objects.hard_drive_object(view.vm, drive))

    _each_place(call, around, "VMHardDiskDrive", remove)


@behaviour("Get-VMDvdDrive", "VM VMName VMSnapshot VMDriveController ControllerNumber ControllerLocation")
def get_vm_dvd_drive(call: Call, around: Environment) -> None:
    for view in _owners(call, around):
        for drive in view.vm.dvd_drives:
            if _wanted(call, drive):
                call.out("DvdDrive", objects.dvd_object(view.vm, drive))


@behaviour("Add-VMDvdDrive", "VM VMName VMDriveController ControllerNumber ControllerLocation Path Passthru")
def add_vm_dvd_drive(call: Call, around: Environment) -> None:
    def add(view: VmView) -> None:
        if call.should(view.name):
            drive = around.hyperv_of(call).disks.add_dvd(
                view.id,
                around.files.windows_path(call.text("Path")),
                number=_controller(call),
                location=call.get("ControllerLocation"),
            )
            if call.switch("Passthru"):
                call.out("DvdDrive", objects.dvd_object(view.vm, drive))

    call.each(_owners(call, around), add)


@behaviour("Set-VMDvdDrive", "VMDvdDrive VMName ControllerNumber ControllerLocation Path Passthru")
def set_vm_dvd_drive(call: Call, around: Environment) -> None:
    """With -Path another medium, or none for a null or an empty text; without it nothing. A drive that moves is not modelled."""
    hyperv, path = around.hyperv_of(call), around.files.windows_path(call.text("Path"))

    def change(view: VmView, number: int | None, location: int | None) -> None:
        if not call.should(view.name):
            return
        drives = view.vm.dvd_drives
        if "Path" in call:
            drives = hyperv.disks.set_dvd(view.id, path, number=number, location=location)
        if call.switch("Passthru"):
            for drive in drives:
                call.out("DvdDrive", objects.dvd_object(view.vm, drive))

    def by_object(said: Mapping[str, Any]) -> None:
        change(hyperv.vms.get_vm(str(said["VMId"])), said["ControllerNumber"], said["ControllerLocation"])

    def by_name(view: VmView) -> None:
        number, location = call.get("ControllerNumber"), call.get("ControllerLocation")
        if number is None and location is None:
            change(view, None, None)  # every drive of the VM (fact 10)
            return
        for drive in view.vm.dvd_drives:
            if _wanted(call, drive):
                change(view, *_place(drive))

    if "VMDvdDrive" in call:
        call.each(call.items("VMDvdDrive"), by_object)
    else:
        call.each(selected(call, around, "VMName"), by_name)


@behaviour("Remove-VMDvdDrive", "VMDvdDrive VMName ControllerNumber ControllerLocation Passthru")
def remove_vm_dvd_drive(call: Call, around: Environment) -> None:
    def remove(view: VmView, number: int, location: int) -> None:
        place = {"ControllerNumber": number, "ControllerLocation": location}
        drive = _at(view.vm.dvd_drives, place, view)
        if call.should(view.name):
            engine_hyperv.remove_dvd(around.hyperv_of(call), view.id, number, location)
            if call.switch("Passthru"):
                call.out("DvdDrive", objects.dvd_object(view.vm, drive))

    _each_place(call, around, "VMDvdDrive", remove)


def _each_place(call: Call, around: Environment, parameter: str, act: Callable[[VmView, int, int], None]) -> None:
    """Each drive that was given as an object, or the one at the numbers given."""
    hyperv = around.hyperv_of(call)

    def by_object(said: Mapping[str, Any]) -> None:
        act(hyperv.vms.get_vm(str(said["VMId"])), said["ControllerNumber"], said["ControllerLocation"])

    if parameter in call:
        call.each(call.items(parameter), by_object)
    else:
        number, location = call.get("ControllerNumber"), call.get("ControllerLocation")
        call.each(selected(call, around, "VMName"), lambda view: act(view, number, location))


def _place(drive: HardDrive | DvdDrive) -> tuple[int, int]:
    return drive.controller_number, drive.controller_location


def _at(drives: list[_Drive], said: Mapping[str, Any], view: VmView) -> _Drive:
    wanted = (said["ControllerNumber"], said["ControllerLocation"])
    found = next((drive for drive in drives if _place(drive) == wanted), None)
    if found is None:
        raise refused.no_device(f"a drive of '{view.name}' at {wanted[0]}:{wanted[1]}", view.name)
    return found


# -- firmware


@behaviour("Get-VMFirmware", "VM VMName VMSnapshot")
def get_vm_firmware(call: Call, around: Environment) -> None:
    def show(view: VmView) -> None:
        call.out("VMFirmware", objects.firmware_object(view, around.hyperv_of(call).firmware.get_firmware(view.id)))

    call.each(selected(call, around, "VMName"), show)


@behaviour(
    "Set-VMFirmware", "VM VMName VMFirmware BootOrder FirstBootDevice EnableSecureBoot SecureBootTemplate Passthru"
)
def set_vm_firmware(call: Call, around: Environment) -> None:
    hyperv = around.hyperv_of(call)

    def change(view: VmView) -> None:
        if not call.should(view.name):
            return
        secure = call.get("EnableSecureBoot")
        hyperv.firmware.set_firmware(
            view.id,
            boot_order=[_entry(source, view) for source in call.items("BootOrder")] if "BootOrder" in call else None,
            first=_entry(call.get("FirstBootDevice"), view) if call.get("FirstBootDevice") else None,
            secure_boot=None if secure is None else secure == "On",
            template=call.get("SecureBootTemplate"),
        )
        if call.switch("Passthru"):
            call.out(
                "VMFirmware", objects.firmware_object(hyperv.vms.get_vm(view.id), hyperv.firmware.get_firmware(view.id))
            )

    call.each(owners(call, around, "VMFirmware") if "VMFirmware" in call else selected(call, around, "VMName"), change)


def _entry(source: Mapping[str, Any], view: VmView) -> str:
    """The world's spelling of a boot source, a drive or a network adapter."""
    kind = str(source["#"]).rpartition(".")[2]
    if kind == "VMBootSource":
        return str(source["FirmwarePath"])
    if kind in ("HardDiskDrive", "DvdDrive"):
        prefix = "disk" if kind == "HardDiskDrive" else "dvd"
        return f"{prefix}:{source['ControllerNumber']}:{source['ControllerLocation']}"
    if kind == "VMNetworkAdapter":
        return f"network:{ntpath.basename(str(source['Id']))}"
    raise refused.bad_argument("This is no boot device.", view.name)
