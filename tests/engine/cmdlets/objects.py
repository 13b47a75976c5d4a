"""The world's data as objects of the Hyper-V module. All are copies, as the cmdlets' own are."""

from __future__ import annotations

import ntpath
from typing import Any

from provisioner.lab.world.hyperv.devices import BootEntry
from provisioner.lab.world.hyperv.disks import VhdView
from provisioner.lab.world.hyperv.service import VmView
from provisioner.lab.world.state import DvdDrive, HardDrive, NetAdapter, VirtualSwitch, Vm, VmNic, WindowsHost
from tests.engine.cmdlets.call import Object, made
from tests.engine.hyperv import Firmware, ServiceView

MIB = 1024**2
TIB = 1024**4
UEFI_TEMPLATES = {
    "MicrosoftWindows": "1734c6e8-3154-4dda-ba5f-a874cc483422",
    "MicrosoftUEFICertificateAuthority": "272e7447-90a4-4563-a4b9-8e4ab00526ce",
    "OpenSourceShieldedVM": "4292ae2b-ee2c-42b5-a969-dd8f8689f6f3",
}


def on_off(value: bool) -> str:
    return "On" if value else "Off"


def vm_object(view: VmView, services: list[ServiceView], host: WindowsHost, created: str) -> Object:
    """A VirtualMachine. `created` is the date of its making, ISO 8601."""
    vm = view.vm
    running = vm.state not in ("Off", "Saved")
    return made(
        "VirtualMachine",
        {
            "ComputerName": host.name,
            "Name": vm.name,
            "VMName": vm.name,
            "Id": vm.id,
            "VMId": vm.id,
            "State": vm.state,
            "Generation": vm.generation,
            "VirtualMachineSubType": f"Generation{vm.generation}",
            "Version": vm.version,
            "Path": vm.path,
            "ConfigurationLocation": vm.path,
            "SnapshotFileLocation": vm.path,
            "CheckpointFileLocation": vm.path,
            "SmartPagingFilePath": vm.path,
            "CreationTime": created,
            "Notes": vm.notes,
            "ProcessorCount": vm.cpus,
            "MemoryStartup": vm.memory_bytes,
            "MemoryMinimum": min(512 * MIB, vm.memory_bytes),
            "MemoryMaximum": TIB,
            "MemoryAssigned": view.memory_assigned,
            "MemoryDemand": view.memory_assigned,
            "MemoryStatus": "OK" if running else "",
            "DynamicMemoryEnabled": vm.dynamic_memory,
            "Heartbeat": view.heartbeat or None,
            "Uptime": view.uptime_s,
            "Status": "Operating normally",
            "PrimaryStatusDescription": "Operating normally",
            "StatusDescriptions": ["Operating normally"],
            "OperationalStatus": ["Ok"],
            "PrimaryOperationalStatus": "Ok",
            "AutomaticStartAction": vm.start_action,
            "AutomaticStartDelay": vm.start_delay_s,
            "AutomaticStopAction": vm.stop_action,
            "AutomaticCriticalErrorAction": "Pause",
            "AutomaticCriticalErrorActionTimeout": 30,
            "AutomaticCheckpointsEnabled": vm.automatic_checkpoints,
            "CheckpointType": vm.checkpoint_type,
            "HardDrives": [hard_drive_object(vm, drive) for drive in vm.hard_drives],
            "DVDDrives": [dvd_object(vm, drive) for drive in vm.dvd_drives],
            "NetworkAdapters": [nic_object(view, nic) for nic in vm.nics],
            "VMIntegrationService": [service_object(view, service) for service in services],
        },
    )


def drive_place(vm: Vm, drive: HardDrive | DvdDrive) -> dict[str, Any]:
    number, location = drive.controller_number, drive.controller_location
    return {
        "VMId": vm.id,
        "VMName": vm.name,
        "ControllerType": "IDE" if vm.generation == 1 else "SCSI",
        "ControllerNumber": number,
        "ControllerLocation": location,
        "PoolName": "Primordial",
        "Path": drive.path,
    }


def hard_drive_object(vm: Vm, drive: HardDrive) -> Object:
    place = drive_place(vm, drive)
    kind, number, location = place["ControllerType"], place["ControllerNumber"], place["ControllerLocation"]
    return made(
        "HardDiskDrive",
        {
            **place,
            "Name": f"Hard Drive on {kind} controller number {number} at location {location}",
            "Id": f"Microsoft:{vm.id.upper()}\\{number}\\{location}\\D",
            "MaximumIOPS": 0,
            "MinimumIOPS": 0,
            "SupportPersistentReservations": False,
        },
    )


def dvd_object(vm: Vm, drive: DvdDrive) -> Object:
    place = drive_place(vm, drive)
    kind, number, location = place["ControllerType"], place["ControllerNumber"], place["ControllerLocation"]
    return made(
        "DvdDrive",
        {
            **place,
            "Path": drive.path or None,
            "Name": f"DVD Drive on {kind} controller number {number} at location {location}",
            "Id": f"Microsoft:{vm.id.upper()}\\{number}\\{location}\\D",
            "DvdMediaType": "ISO" if drive.path else "None",
        },
    )


def controller_object(vm: Vm, number: int) -> Object:
    drives = [hard_drive_object(vm, d) for d in vm.hard_drives if d.controller_number == number]
    dvds = [dvd_object(vm, d) for d in vm.dvd_drives if d.controller_number == number]
    return made(
        "VMScsiController",
        {
            "VMId": vm.id,
            "VMName": vm.name,
            "ControllerNumber": number,
            "Name": "SCSI Controller",
            "Id": f"Microsoft:{vm.id.upper()}\\{number}",
            "Drives": [*drives, *dvds],
        },
    )


def nic_id(vm: Vm, nic: VmNic) -> str:
    index = next(i for i, other in enumerate(vm.nics) if other is nic or other == nic)
    return f"Microsoft:{vm.id.upper()}\\{index}"


def nic_object(view: VmView, nic: VmNic) -> Object:
    vm = view.vm
    return made(
        "VMNetworkAdapter",
        {
            "VMId": vm.id,
            "VMName": vm.name,
            "Name": nic.name,
            "Id": nic_id(vm, nic),
            "AdapterId": nic_id(vm, nic),
            "MacAddress": nic.mac,
            "DynamicMacAddressEnabled": not nic.static_mac,
            "IsSynthetic": True,
            "Connected": bool(nic.switch_id),
            "SwitchName": view.switch_names.get(nic.switch_id, ""),
            "SwitchId": nic.switch_id or None,
            "IPAddresses": view.addresses,
            "Status": ["Ok"] if vm.state == "Running" else [],
            "StatusDescription": ["OK"] if vm.state == "Running" else [],
            "MacAddressSpoofing": "Off",
            "DhcpGuard": "Off",
            "RouterGuard": "Off",
            "IeeePriorityTag": "Off",
            "AllowTeaming": "Off",
            "FixSpeed10G": "Off",
            "DeviceNaming": "Off",
            "ClusterMonitored": True,
            "PoolName": "",
            "VMQWeight": 100,
            "VlanSetting": vlan_object(nic.vlan_id),
        },
    )


def management_nic_object(switch: VirtualSwitch, adapter: NetAdapter, host: WindowsHost) -> Object:
    """The host's own adapter on a switch, as Get-VMNetworkAdapter -ManagementOS shows it."""
    return made(
        "VMInternalNetworkAdapter",
        {
            "ComputerName": host.name,
            "Name": switch.name,
            "Id": f"Microsoft:{adapter.guid.strip('{}')}",
            "AdapterId": adapter.guid,
            "DeviceId": adapter.guid,
            "MacAddress": adapter.mac,
            "IsManagementOs": True,
            "SwitchName": switch.name,
            "SwitchId": switch.id,
            "Status": ["Ok"],
            "StatusDescription": ["OK"],
            "MacAddressSpoofing": "Off",
            "DhcpGuard": "Off",
            "RouterGuard": "Off",
            "IeeePriorityTag": "Off",
            "AllowTeaming": "Off",
            "FixSpeed10G": "Off",
            "VlanSetting": vlan_object(switch.vlan_id),
        },
    )


def vlan_object(vlan_id: int) -> Object:
    return made(
        "VMNetworkAdapterVlanSetting",
        {
            "OperationMode": "Access" if vlan_id else "Untagged",
            "AccessVlanId": vlan_id,
            "AllowedVlanIdList": [],
            "AllowedVlanIdListString": "",
            "SecondaryVlanIdList": [],
            "SecondaryVlanIdListString": "",
        },
    )


def service_object(view: VmView, service: ServiceView) -> Object:
    status = [service.status] if view.heartbeat else []  # nothing is known of a VM that is off
    texts = ["OK" if service.status == "Ok" else "No Contact"] if status else []
    return made(
        "VMIntegrationComponent",
        {
            "VMId": view.id,
            "VMName": view.name,
            "Name": service.name,
            "Id": f"Microsoft:{view.id.upper()}\\{service.guid}",
            "Enabled": service.enabled,
            "OperationalStatus": status,
            "PrimaryOperationalStatus": status[0] if status else None,
            "StatusDescription": texts,
            "PrimaryStatusDescription": texts[0] if texts else "",
        },
    )


def processor_object(view: VmView) -> Object:
    vm = view.vm
    return made(
        "VMProcessor",
        {
            "VMId": vm.id,
            "VMName": vm.name,
            "Name": "Processor",
            "Id": f"Microsoft:{vm.id.upper()}\\Processor",
            "Count": vm.cpus,
            "Maximum": 100,
            "RelativeWeight": 100,
            "HwThreadCountPerCore": 0,
            "StatusDescription": [],
            "ResourcePoolName": "Primordial",
        },
    )


def memory_object(view: VmView) -> Object:
    vm = view.vm
    return made(
        "VMMemory",
        {
            "VMId": vm.id,
            "VMName": vm.name,
            "Name": "Memory",
            "Id": f"Microsoft:{vm.id.upper()}\\Memory",
            "Startup": vm.memory_bytes,
            "DynamicMemoryEnabled": vm.dynamic_memory,
            "Minimum": 512 * MIB,
            "Maximum": TIB,
            "Buffer": 20,
            "Priority": 50,
            "ResourcePoolName": "Primordial",
        },
    )


def firmware_object(view: VmView, firmware: Firmware) -> Object:
    return made(
        "VMFirmware",
        {
            "VMId": view.id,
            "VMName": view.name,
            "BootOrder": [boot_source(view, entry) for entry in firmware.boot_order],
            "SecureBoot": on_off(firmware.secure_boot),
            "SecureBootTemplate": firmware.secure_boot_template,
            "SecureBootTemplateId": UEFI_TEMPLATES.get(firmware.secure_boot_template),
            "PreferredNetworkBootProtocol": "IPv4",
            "ConsoleMode": "Default",
            "PauseAfterBootFailure": "Off",
        },
    )


BOOT_TYPES = {"disk": "Drive", "dvd": "Drive", "network": "Network", "file": "File"}
BOOT_TEXTS = {"Drive": "EFI SCSI Device", "Network": "EFI Network", "File": "Talos Linux UKI"}


def boot_source(view: VmView, entry: BootEntry) -> Object:
    """An entry of the boot order. Device is null for a file and for what is gone; all SCSI devices have the same description."""
    vm = view.vm
    device: Object | None = None
    if entry.kind == "disk":
        device = next((hard_drive_object(vm, drive) for drive in vm.hard_drives if _is_at(drive, entry)), None)
    elif entry.kind == "dvd":
        device = next((dvd_object(vm, drive) for drive in vm.dvd_drives if _is_at(drive, entry)), None)
    elif entry.kind == "network" and entry.number < len(vm.nics):
        device = nic_object(view, vm.nics[entry.number])
    boot_type = BOOT_TYPES.get(entry.kind, "Unknown")
    return made(
        "VMBootSource",
        {
            "VMId": vm.id,
            "VMName": vm.name,
            "BootType": boot_type,
            "Description": BOOT_TEXTS.get(boot_type, ""),
            "FirmwarePath": firmware_path(entry),
            "Device": device,
        },
    )


def firmware_path(entry: BootEntry) -> str:
    """The world's own spelling of a boot entry, by which it comes back in a -BootOrder."""
    if entry.kind in ("disk", "dvd"):
        return f"{entry.kind}:{entry.number}:{entry.location}"
    return f"network:{entry.number}" if entry.kind == "network" else entry.kind


def _is_at(drive: HardDrive | DvdDrive, entry: BootEntry) -> bool:
    return (drive.controller_number, drive.controller_location) == (entry.number, entry.location)


def vhd_object(view: VhdView) -> Object:
    return made(
        "VirtualHardDisk",
        {
            "Path": view.path,
            "VhdFormat": "VHDX" if ntpath.splitext(view.path)[1].lower() == ".vhdx" else "VHD",
            "VhdType": view.kind,
            "FileSize": view.file_bytes,
            "Size": view.size_bytes,
            "LogicalSectorSize": 512,
            "PhysicalSectorSize": 4096,
            "BlockSize": view.block_bytes,
            "ParentPath": "",
            "Attached": view.attached,
            "FragmentationPercentage": 0,
            "Alignment": 1,
        },
    )


def switch_object(switch: VirtualSwitch, adapter: NetAdapter | None, host: WindowsHost) -> Object:
    """A VMSwitch; `adapter` is the physical one it is bound to."""
    return made(
        "VMSwitch",
        {
            "ComputerName": host.name,
            "Name": switch.name,
            "Id": switch.id,
            "Notes": switch.notes,
            "SwitchType": switch.kind,
            "AllowManagementOS": switch.allow_management_os,
            "NetAdapterInterfaceDescription": adapter.description if adapter else "",
            "NetAdapterInterfaceDescriptions": [adapter.description] if adapter else [],
            "NetAdapterInterfaceGuid": [adapter.guid] if adapter else [],
            "BandwidthReservationMode": "Absolute",
            "EmbeddedTeamingEnabled": False,
            "SoftwareRscEnabled": True,
        },
    )


def host_object(host: WindowsHost, memory_bytes: int) -> Object:
    return made(
        "VMHost",
        {
            "ComputerName": host.name,
            "Name": host.name,
            "FullyQualifiedDomainName": host.name,
            "LogicalProcessorCount": host.processors,
            "MemoryCapacity": memory_bytes,
            "VirtualHardDiskPath": host.disk_folder,
            "VirtualMachinePath": host.vm_folder,
            "MacAddressMinimum": "00155D010000",
            "MacAddressMaximum": "00155D0100FF",
            "NumaSpanningEnabled": True,
            "EnableEnhancedSessionMode": not host.is_server,
            "SupportedVmVersions": ["8.0", "9.0", "10.0", "11.0", "12.0"],
            "MaximumStorageMigrations": 2,
            "MaximumVirtualMachineMigrations": 2,
        },
    )
