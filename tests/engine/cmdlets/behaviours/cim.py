"""Get-CimInstance, Get-CimAssociatedInstance, Invoke-CimMethod: the classes of root/cimv2 and root/virtualization/v2 that matter here."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

from provisioner.lab.world.hyperv.service import VmView
from provisioner.lab.world.state import Vm
from tests.engine.cmdlets.behaviours import Environment, behaviour
from tests.engine.cmdlets.behaviours.reach import answers
from tests.engine.cmdlets.behaviours.system import services
from tests.engine.cmdlets.call import Call, Object, ShellError, made
from tests.engine.cmdlets.dates import host_now, iso
from tests.engine.cmdlets.wql import Condition, Query, parse_filter, parse_query
from tests.engine.hyperv import volumes

CIMV2, VIRTUALIZATION = "root/cimv2", "root/virtualization/v2"
REALIZED = "Microsoft:Hyper-V:System:Realized"
ENABLED_STATES = {"Running": 2, "Off": 3, "Saved": 6, "Paused": 9, "Starting": 10, "Stopping": 4}
WMI_JOB, WMI_FAILED = 4096, 32768
SHUTDOWN_GUID = "9F8233AC-BE49-4C79-8EE3-E7E1985B2077"

Rows = Callable[[Call, Environment, Condition | None], list[Object]]


def _error(code: str, category: str, text: str, target: str = "") -> ShellError:
    return ShellError(f"HRESULT 0x{code}", category, text, target)


# -- root/cimv2


def _operating_system(_call: Call, around: Environment, _where: Condition | None) -> list[Object]:
    host = around.host
    said = {
        "CSName": host.name.split(".")[0].upper(),
        "Caption": host.os_caption,
        "Version": f"10.0.{host.os_build}",
        "BuildNumber": host.os_build,
        "ProductType": 3 if host.is_server else 1,
        "OSArchitecture": "64-bit",
        "TotalVisibleMemorySize": host.memory_bytes // 1024,
        "FreePhysicalMemory": max(0, around.world.hyperv.service.memory_free_bytes()) // 1024,
        "LocalDateTime": host_now(around).isoformat(),
        "LastBootUpTime": iso(around, host.booted),
        "SystemDrive": "C:",
        "WindowsDirectory": "C:\\Windows",
    }
    return [made("Win32_OperatingSystem", said)]


def _computer_system(_call: Call, around: Environment, _where: Condition | None) -> list[Object]:
    host = around.host
    name = host.name.split(".")[0].upper()
    said = {
        "Name": name,
        "DNSHostName": host.name.split(".")[0],
        "Domain": "WORKGROUP",
        "Manufacturer": "Lab",
        "Model": "Lab host",
        "NumberOfProcessors": 1,
        "NumberOfLogicalProcessors": host.processors,
        "TotalPhysicalMemory": host.memory_bytes,
        "HypervisorPresent": host.hypervisor_present,
    }
    return [made("Win32_ComputerSystem", said)]


def _services(_call: Call, around: Environment, _where: Condition | None) -> list[Object]:
    return [
        made(
            "Win32_Service",
            {
                "Name": service.name,
                "DisplayName": service.display_name,
                "State": service.status,
                "Status": "OK",
                "StartMode": "Auto" if service.start_type == "Automatic" else service.start_type,
                "Started": service.status == "Running",
            },
        )
        for service in services(around)
    ]


def _logical_disks(_call: Call, around: Environment, _where: Condition | None) -> list[Object]:
    return [
        made(
            "Win32_LogicalDisk",
            {
                "DeviceID": volume.root,
                "DriveType": 3,
                "FileSystem": "NTFS",
                "VolumeName": "",
                "Size": volume.size_bytes,
                "FreeSpace": volume.free_bytes,
            },
        )
        for volume in volumes(around.world)
    ]


PING_TIMEOUT_MS = 4000


def _pings(call: Call, around: Environment, where: Condition | None) -> list[Object]:
    """One ping after the other for every address in the filter; one that nobody answers takes the whole Timeout."""
    if where is None or not (addresses := where.values("Address")):
        raise _error("80041017", "InvalidArgument", "Invalid query: Win32_PingStatus needs an Address.")
    timeout_ms = int(next(iter(where.values("Timeout")), PING_TIMEOUT_MS))
    reached = answers(around, addresses)
    call.spend((len(addresses) - len(reached)) * timeout_ms / 1000)
    return [
        made(
            "Win32_PingStatus",
            {
                "Address": address,
                "ProtocolAddress": address if address in reached else "",
                "Timeout": timeout_ms,
                "StatusCode": 0 if address in reached else 11010,
                "ResponseTime": 1 if address in reached else None,
            },
        )
        for address in addresses
    ]


# -- root/virtualization/v2


def _vms(call: Call, around: Environment) -> list[VmView]:
    """Who may not see VMs gets none here, without a word: so does WMI."""
    if not call.caller.may_use_hyperv or around.host.vmms != "Running":
        return []
    return around.world.hyperv.vms.get_vms()


def _computer_systems(call: Call, around: Environment, _where: Condition | None) -> list[Object]:
    own = {"Caption": "Hosting Computer System", "EnabledState": 2, "HealthState": 5}
    found = [made("Msvm_ComputerSystem", {**own, "Name": around.host.name, "ElementName": around.host.name})]
    return [*found, *(_computer_system_of(view) for view in _vms(call, around))]


def _computer_system_of(view: VmView) -> Object:
    said = {
        "Name": view.id.upper(),
        "ElementName": view.name,
        "Caption": "Virtual Machine",
        "EnabledState": ENABLED_STATES.get(view.vm.state, 5),
        "HealthState": 5,
        "OnTimeInMilliseconds": int(view.uptime_s * 1000),
    }
    return made("Msvm_ComputerSystem", said)


def _settings(call: Call, around: Environment, _where: Condition | None) -> list[Object]:
    return [_settings_of(view.vm) for view in _vms(call, around)]


def _settings_of(vm: Vm) -> Object:
    said = {
        "InstanceID": f"Microsoft:{vm.id.upper()}",
        "ElementName": vm.name,
        "VirtualSystemType": REALIZED,
        "VirtualSystemIdentifier": vm.id.upper(),
        "VirtualSystemSubType": f"Microsoft:Hyper-V:SubType:{vm.generation}",
        "BIOSGUID": f"{{{vm.bios_uuid.upper()}}}",
        "Notes": [vm.notes],
    }
    return made("Msvm_VirtualSystemSettingData", said)


def _management_service(_call: Call, around: Environment, _where: Condition | None) -> list[Object]:
    if around.host.vmms != "Running":
        return []
    name = "Hyper-V Virtual System Management Service"
    return [made("Msvm_VirtualSystemManagementService", {"Name": "vmms", "ElementName": name, "Caption": name})]


def _shutdown_components(call: Call, around: Environment, _where: Condition | None) -> list[Object]:
    """There is one while the VM runs and its shutdown service is not disabled."""
    return [
        made(
            "Msvm_ShutdownComponent",
            {
                "SystemName": view.id.upper(),
                "DeviceID": f"Microsoft:{view.id.upper()}\\{SHUTDOWN_GUID}",
                "ElementName": "Shutdown",
                "EnabledState": 2,
            },
        )
        for view in _vms(call, around)
        if view.vm.state == "Running" and "Shutdown" not in view.vm.disabled_services
    ]


CLASSES: dict[tuple[str, str], Rows] = {
    (CIMV2, "win32_operatingsystem"): _operating_system,
    (CIMV2, "win32_computersystem"): _computer_system,
    (CIMV2, "win32_service"): _services,
    (CIMV2, "win32_logicaldisk"): _logical_disks,
    (CIMV2, "win32_pingstatus"): _pings,
    (VIRTUALIZATION, "msvm_computersystem"): _computer_systems,
    (VIRTUALIZATION, "msvm_virtualsystemsettingdata"): _settings,
    (VIRTUALIZATION, "msvm_virtualsystemmanagementservice"): _management_service,
    (VIRTUALIZATION, "msvm_shutdowncomponent"): _shutdown_components,
}


def _instances(call: Call, around: Environment, query: Query) -> list[Object]:
    namespace = re.sub(r"[\\/]+", "/", call.text("Namespace", CIMV2)).lower()
    known = {place for place, _name in CLASSES}
    if namespace not in known or (namespace == VIRTUALIZATION and around.host.vmms == "NotInstalled"):
        raise _error("8004100e", "ObjectNotFound", "Invalid namespace.", call.text("Namespace"))
    rows = CLASSES.get((namespace, query.class_name.lower()))
    if rows is None:
        raise _error("80041010", "MetadataError", "Invalid class.", f"{namespace}:{query.class_name}")
    found = rows(call, around, query.where)
    if query.where is None or query.class_name.lower() == "win32_pingstatus":
        return found
    return [row for row in found if query.where.fits(row)]


@behaviour("Get-CimInstance", "ClassName Namespace Filter Property Query QueryDialect InputObject OperationTimeoutSec")
def get_cim_instance(call: Call, around: Environment) -> None:
    if "InputObject" in call:
        said = call.get("InputObject")
        name = _class_of(said)
        place = next((place for place, known in CLASSES if known == name.lower()), "")
        rows = CLASSES[place, name.lower()](call, around, None) if place else []
        for row in rows:
            if all(row.get(key) == said.get(key) for key in ("Name", "InstanceID", "DeviceID") if key in row):
                call.wire.say("out", row)
        return
    try:
        where = parse_filter(call.text("Filter")) if call.get("Filter") else None
        query = parse_query(call.text("Query")) if "Query" in call else Query(call.text("ClassName"), where)
    except ValueError as problem:
        raise _error("80041017", "InvalidArgument", f"Invalid query: {problem}") from problem
    wanted = {str(name).lower() for name in call.items("Property")}
    for row in _instances(call, around, query):
        call.wire.say("out", {key: row[key] for key in row if not wanted or key == "#" or key.lower() in wanted})


@behaviour("Get-CimAssociatedInstance", "InputObject Association ResultClassName Namespace")
def get_cim_associated_instance(call: Call, around: Environment) -> None:
    """Between a VM's system and its settings, both ways."""
    said, wanted = call.get("InputObject"), call.text("ResultClassName").lower()
    if call.get("Association", "Msvm_SettingsDefineState") != "Msvm_SettingsDefineState":
        return
    for view in _vms(call, around):
        ids = (f"Microsoft:{view.id.upper()}", view.id.upper())
        if _class_of(said) == "Msvm_ComputerSystem" and said.get("Name") == ids[1]:
            row = _settings_of(view.vm)
        elif _class_of(said) == "Msvm_VirtualSystemSettingData" and said.get("InstanceID") == ids[0]:
            row = _computer_system_of(view)
        else:
            continue
        if not wanted or _class_of(row).lower() == wanted:
            call.wire.say("out", row)


def _class_of(said: dict[str, Any]) -> str:
    return str(said["#"]).rpartition(".")[2]


# -- methods


@behaviour("Invoke-CimMethod", "ClassName Namespace Query InputObject MethodName Arguments OperationTimeoutSec")
def invoke_cim_method(call: Call, around: Environment) -> None:
    method = call.text("MethodName")
    if "InputObject" in call:
        targets: list[dict[str, Any]] = [call.get("InputObject")]
    else:
        query = parse_query(call.text("Query")) if "Query" in call else Query(call.text("ClassName"))
        targets = _instances(call, around, query)
    for target in targets:
        act = METHODS.get((_class_of(target), method.lower()))
        if act is None:
            raise _error("8004102f", "MetadataError", "Invalid method.", method)
        if call.should(_class_of(target), method):
            act(call, around, target)


def _thumbnail(call: Call, around: Environment, _target: dict[str, Any]) -> None:
    arguments = call.get("Arguments", {})
    settings = arguments.get("TargetSystem")
    if not isinstance(settings, dict) or _class_of(settings) != "Msvm_VirtualSystemSettingData":
        raise _error("80041008", "InvalidArgument", "Invalid parameter: TargetSystem is the realized settings object.")
    vm_id = str(settings["VirtualSystemIdentifier"]).lower()
    width, height = int(arguments["WidthPixels"]), int(arguments["HeightPixels"])
    value, pixels = around.hyperv_of(call).console.thumbnail(vm_id, width, height)
    call.out("ThumbnailResult", {"ReturnValue": value, "ImageData": base64.b64encode(pixels).decode()})


def _initiate_shutdown(call: Call, around: Environment, target: dict[str, Any]) -> None:
    """A job does it where the guest takes it."""
    taken = around.hyperv_of(call).power.request_shutdown(str(target["SystemName"]))
    call.out("CimMethodResult", {"ReturnValue": WMI_JOB if taken else WMI_FAILED})


METHODS: dict[tuple[str, str], Callable[[Call, Environment, dict[str, Any]], None]] = {
    ("Msvm_VirtualSystemManagementService", "getvirtualsystemthumbnailimage"): _thumbnail,
    ("Msvm_ShutdownComponent", "initiateshutdown"): _initiate_shutdown,
}
