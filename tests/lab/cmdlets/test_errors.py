"""Errors as on Windows: ids with the class of the cmdlet, categories, and whether the cmdlet goes on (facts on Hyper-V, section 7)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provisioner.lab.world.faults import inject
from provisioner.lab.world.hyperv.service import Caller
from provisioner.lab.world.world import World
from tests.lab.cmdlets.helpers import HYPERV, Engine

VHD = "Microsoft.Vhd.PowerShell.Cmdlets."
CIM = "Microsoft.Management.Infrastructure.CimCmdlets."
POWERSHELL = "Microsoft.PowerShell.Commands."

NOWHERE = "11111111-1111-1111-1111-111111111111"
ISO = "C:\\ProgramData\\talos.iso"
HERE = "Get-VM fileserver | "

CASES = [
    ("Get-VM nobody", f"InvalidParameter,{HYPERV}GetVM", "InvalidArgument"),
    (f"Get-VM -Id {NOWHERE}", f"ObjectNotFound,{HYPERV}GetVM", "ObjectNotFound"),
    ("Get-VMSwitch nowhere", f"InvalidParameter,{HYPERV}GetVMSwitch", "InvalidArgument"),
    ("New-VM x -SwitchName nowhere", f"InvalidParameter,{HYPERV}NewVM", "InvalidArgument"),
    ("New-VM x -Path Q:\\VMs", f"ObjectNotFound,{HYPERV}NewVM", "ObjectNotFound"),
    ("New-VM x -Generation 2 -BootDevice Floppy", f"InvalidParameter,{HYPERV}NewVM", "InvalidArgument"),
    ("New-VHD D:\\VMs\\fileserver\\fileserver.vhdx 1GB", f"OperationFailed,{VHD}NewVhd", "NotSpecified"),
    ("New-VHD D:\\VMs\\odd.vhdx 2000000001", f"InvalidParameter,{VHD}NewVhd", "InvalidArgument"),
    ("Get-VHD D:\\VMs\\none.vhdx", f"ObjectNotFound,{VHD}GetVhd", "ObjectNotFound"),
    ("Resize-VHD D:\\VMs\\fileserver\\fileserver.vhdx 1GB", f"InvalidParameter,{VHD}ResizeVhd", "InvalidArgument"),
    (HERE + "Set-VM -ProcessorCount 3", f"InvalidState,{HYPERV}SetVM", "InvalidOperation"),
    (HERE + "Set-VMProcessor -Count 3", f"InvalidState,{HYPERV}SetVMProcessor", "InvalidOperation"),
    (HERE + "Set-VMMemory -StartupBytes 1GB", f"InvalidState,{HYPERV}SetVMMemory", "InvalidOperation"),
    (HERE + "Set-VMFirmware -EnableSecureBoot Off", f"InvalidState,{HYPERV}SetVMFirmware", "InvalidOperation"),
    (
        HERE + "Set-VMNetworkAdapter -StaticMacAddress 02155D000011",
        f"InvalidState,{HYPERV}SetVMNetworkAdapter",
        "InvalidOperation",
    ),
    (HERE + "Remove-VM -Force", f"InvalidState,{HYPERV}RemoveVM", "InvalidOperation"),
    ("Remove-VM nobody", f"ObjectNotFound,{HYPERV}RemoveVM", "ObjectNotFound"),
    (HERE + "Stop-VM", f"InvalidOperation,{HYPERV}StopVM", "InvalidOperation"),
    (HERE + "Stop-VM -Confirm:$false", f"InvalidOperation,{HYPERV}StopVM", "InvalidOperation"),
    (HERE + "Stop-VM -Save -TurnOff", f"InvalidParameter,{HYPERV}StopVM", "InvalidArgument"),
    (HERE + f"Add-VMDvdDrive -Path {ISO}", f"ObjectNotFound,{HYPERV}AddVMDvdDrive", "ObjectNotFound"),
    (HERE + "Add-VMDvdDrive -Path \\\\nas\\talos.iso", f"AccessDenied,{HYPERV}AddVMDvdDrive", "PermissionDenied"),
    (HERE + "Add-VMDvdDrive -Path C:\\talos.img", f"InvalidParameter,{HYPERV}AddVMDvdDrive", "InvalidArgument"),
    (
        f"Add-VMDvdDrive fileserver; Set-VMDvdDrive fileserver -Path {ISO}",
        f"ObjectNotFound,{HYPERV}SetVMDvdDrive",
        "ObjectNotFound",
    ),
    ("Remove-VMDvdDrive fileserver 0 5", f"ObjectNotFound,{HYPERV}RemoveVMDvdDrive", "ObjectNotFound"),
    (
        HERE + "Add-VMHardDiskDrive -Path D:\\VMs\\fileserver\\fileserver.vhdx",
        f"OperationFailed,{HYPERV}AddVMHardDiskDrive",
        "ResourceBusy",
    ),
    (
        HERE + "Get-VMNetworkAdapter -Name Nothing",
        f"ObjectNotFound,{HYPERV}GetVMNetworkAdapter",
        "ObjectNotFound",
    ),
    (
        "Connect-VMNetworkAdapter fileserver -SwitchName nowhere",
        f"InvalidParameter,{HYPERV}ConnectVMNetworkAdapter",
        "InvalidArgument",
    ),
    (
        HERE + "Set-VMNetworkAdapterVlan -Access -VlanId 0",
        f"InvalidParameter,{HYPERV}SetVMNetworkAdapterVlan",
        "InvalidArgument",
    ),
    ("New-VM one -Generation 1 | Get-VMFirmware", f"InvalidOperation,{HYPERV}GetVMFirmware", "InvalidOperation"),
    ("New-VMSwitch x -NetAdapterName Nothing", f"Unspecified,{HYPERV}NewVMSwitch", "NotSpecified"),
    ("New-VMSwitch x -NetAdapterName Wi-Fi", f"ObjectNotFound,{HYPERV}NewVMSwitch", "ObjectNotFound"),
    ("Remove-VMSwitch office", f"OperationFailed,{HYPERV}RemoveVMSwitch", "NotSpecified"),
    ("Remove-VMSwitch 'Default Switch'", f"InvalidParameter,{HYPERV}RemoveVMSwitch", "InvalidArgument"),
    ("Set-VMSwitch office", f"InvalidParameter,{HYPERV}SetVMSwitch", "InvalidArgument"),
    ("Get-NetAdapter Nothing", "CmdletizationQuery_NotFound_Name,Get-NetAdapter", "ObjectNotFound"),
    ("Get-NetNeighbor 192.0.2.77", "CmdletizationQuery_NotFound_IPAddress,Get-NetNeighbor", "ObjectNotFound"),
    (
        "Get-NetNeighbor -State Probe -InterfaceIndex 7",
        "CmdletizationQuery_NotFound,Get-NetNeighbor",
        "ObjectNotFound",
    ),
    ("Get-Volume Q", "CmdletizationQuery_NotFound_DriveLetter,Get-Volume", "ObjectNotFound"),
    ("Get-CimInstance Win32_Nothing", f"HRESULT 0x80041010,{CIM}GetCimInstanceCommand", "MetadataError"),
    ("Get-CimInstance X -Namespace root/none", f"HRESULT 0x8004100e,{CIM}GetCimInstanceCommand", "ObjectNotFound"),
    ("Get-Service nothing", f"NoServiceFoundForGivenName,{POWERSHELL}GetServiceCommand", "ObjectNotFound"),
    (
        "Get-ScheduledTaskInfo -TaskName nothing",
        "HRESULT 0x80070002,Get-ScheduledTaskInfo",
        "ObjectNotFound",
    ),
    (
        "Get-ScheduledTask -TaskName nothing",
        "CmdletizationQuery_NotFound_TaskName,Get-ScheduledTask",
        "ObjectNotFound",
    ),
    ("Remove-Item D:\\none", f"PathNotFound,{POWERSHELL}RemoveItemCommand", "ObjectNotFound"),
    ("Get-FileHash D:\\none", f"FileNotFound,{POWERSHELL}GetFileHashCommand", "ObjectNotFound"),
    (
        "Remove-Item D:\\VMs\\fileserver\\fileserver.vhdx",
        f"RemoveFileSystemItemIOError,{POWERSHELL}RemoveItemCommand",
        "WriteError",
    ),
    (
        "Start-BitsTransfer https://example.com/x D:\\x",
        "StartBitsTransferCOMException,Microsoft.BackgroundIntelligentTransfer.Management.NewBitsTransferCommand",
        "InvalidOperation",
    ),
]


@pytest.mark.parametrize(("script", "id", "category"), CASES, ids=[case[0] for case in CASES])
def test_an_error_that_does_not_end_the_script(engine: Engine, script: str, id: str, category: str) -> None:
    ran = engine.run(f"{script}\n'went on'")
    assert ran.fatal is None
    assert ran.out[-1] == "went on"
    assert [(error.id, error.category) for error in ran.errors] == [(id, category)]


def test_stop_makes_it_terminating_and_keeps_the_id(engine: Engine) -> None:
    script = "try { Get-VM nobody -ErrorAction Stop } catch { $_.FullyQualifiedErrorId }"
    assert engine.run(script).one == f"InvalidParameter,{HYPERV}GetVM"


def test_the_preference_of_the_calling_function_counts(engine: Engine) -> None:
    """The stubs are script themselves: the preference must not be that of their own module."""
    script = "function Test-Preference { $ErrorActionPreference = 'Stop'; Get-VM nobody; 'went on' }\nTest-Preference"
    ran = engine.run(script)
    assert ran.fatal is not None
    assert ran.fatal.id == f"InvalidParameter,{HYPERV}GetVM"
    quiet = "function Test-Preference { $ErrorActionPreference = 'Ignore'; Get-VM nobody; 'went on' }\nTest-Preference"
    assert engine.run(quiet).one == "went on"


def test_exceptions_have_the_types_and_codes_that_callers_look_at(engine: Engine) -> None:
    [missing] = engine.run("Get-VM nobody").errors
    assert missing.exception == "Microsoft.HyperV.PowerShell.VirtualizationException"
    assert missing.target == "nobody"
    [exists] = engine.run("New-VHD D:\\VMs\\fileserver\\fileserver.vhdx 1GB").errors
    assert "0x80070050" in exists.message
    [held] = engine.run("Remove-Item D:\\VMs\\fileserver\\fileserver.vhdx").errors
    assert (held.exception, held.hresult & 0xFFFFFFFF) == ("System.IO.IOException", 0x80070020)
    [cim] = engine.run("Get-NetAdapter Nothing").errors
    assert cim.exception == "Microsoft.Management.Infrastructure.CimException"


def test_one_missing_name_does_not_keep_the_others(engine: Engine) -> None:
    ran = engine.run("Get-VM nobody, fileserver, nowhere | ForEach-Object Name")
    assert ran.out == ["fileserver"]
    assert [error.target for error in ran.errors] == ["nobody", "nowhere"]


@pytest.mark.parametrize(
    ("caller", "script", "id"),
    [
        (Caller("LAB\\guest", administrator=False), "Get-VM", f"Unspecified,{HYPERV}GetVM"),
        (
            Caller("LAB\\kim", administrator=False, hyperv_administrator=True),
            "New-VMSwitch x -NetAdapterName Ethernet",
            f"Unspecified,{HYPERV}NewVMSwitch",
        ),
        (
            Caller("LAB\\kim", administrator=False, hyperv_administrator=True),
            "Set-NetConnectionProfile -InterfaceAlias Ethernet -NetworkCategory Public",
            "Windows System Error 5,Set-NetConnectionProfile",
        ),
    ],
)
def test_rights(engine: Engine, caller: Caller, script: str, id: str) -> None:
    engine.act_for(caller)
    assert [error.id for error in engine.run(script).errors] == [id]


def test_who_is_administrator_is_in_the_token(engine: Engine) -> None:
    script = (
        "whoami.exe /groups /fo csv /nh | ConvertFrom-Csv -Header Group, Type, Sid, Attributes | ForEach-Object Sid"
    )
    assert {"S-1-5-32-544", "S-1-16-12288"} <= set(engine.run(script).good)
    engine.act_for(Caller("LAB\\kim", administrator=False, hyperv_administrator=True))
    sids = engine.run(script).good
    assert "S-1-5-32-578" in sids
    assert "S-1-5-32-544" not in sids


@pytest.mark.parametrize(
    ("break_it", "script", "id", "category"),
    [
        (lambda world: inject(world, "vmms-stopped"), "Get-VM", f"ObjectNotFound,{HYPERV}GetVM", "ObjectNotFound"),
        (
            lambda world: inject(world, "no-memory", "fileserver"),
            "Stop-VM fileserver -TurnOff; Start-VM fileserver",
            f"OutOfMemory,{HYPERV}StartVM",
            "FromStdErr",
        ),
        (
            lambda world: inject(world, "disk-full", "D:"),
            "New-VHD D:\\VMs\\new.vhdx 1GB",
            f"OperationFailed,{VHD}NewVhd",
            "NotSpecified",
        ),
    ],
)
def test_bad_days(
    engine: Engine, world: World, *, break_it: Callable[[World], None], script: str, id: str, category: str
) -> None:
    break_it(world)
    assert [(error.id, error.category) for error in engine.run(script).errors] == [(id, category)]


def test_what_the_lab_does_not_model_is_said(engine: Engine) -> None:
    ran = engine.run("New-VMSwitch x -SwitchType Private -EnableIov $true")
    assert ran.fatal is not None or ran.errors
    failure = ran.fatal or ran.errors[0]
    assert (failure.id, failure.category) == (f"NotModelled,{HYPERV}NewVMSwitch", "NotImplemented")
    assert "EnableIov" in failure.message
