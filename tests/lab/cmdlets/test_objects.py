"""What the cmdlets write: real .NET objects with the types, enums and properties of Windows' (facts on Hyper-V, sections 2 and 3)."""

from __future__ import annotations

import pytest

from tests.engine.cmdlets.description import description
from tests.lab.cmdlets.helpers import Engine

NAMESPACE = "Microsoft.HyperV.PowerShell."


@pytest.mark.parametrize(
    ("enum", "values"),
    [
        ("OnOffState", {"On": 0, "Off": 1}),
        (
            "VMState",
            {"Running": 2, "Off": 3, "Saved": 6, "Starting": 10, "ForceShutdown": 32781, "RunningCritical": 32785},
        ),
        ("StartAction", {"Nothing": 2, "StartIfRunning": 3, "Start": 4}),
        ("StopAction", {"TurnOff": 2, "Save": 3, "ShutDown": 4}),
        ("CheckpointType", {"Disabled": 2, "Production": 3, "ProductionOnly": 4, "Standard": 5}),
        ("VMHeartbeatStatus", {"NoContact": 2, "OkApplicationsUnknown": 5, "OkApplicationsHealthy": 6}),
        ("DvdMediaType", {"None": 0, "ISO": 1, "PassThrough": 2}),
        ("VMSwitchType", {"Private": 0, "Internal": 1, "External": 2}),
        ("VMNetworkAdapterVlanMode", {"Untagged": 0, "Access": 1, "Trunk": 2, "Private": 3}),
    ],
)
def test_enums_have_their_numbers(engine: Engine, enum: str, values: dict[str, int]) -> None:
    engine.run("$null = Get-VMHost")
    script = "\n".join(f"[int][{NAMESPACE}{enum}]::{name}" for name in values)
    assert engine.run(script).good == list(values.values())


def test_words_and_numbers_of_an_enum_compare(engine: Engine) -> None:
    script = "$vm = Get-VM fileserver; $vm.State -eq 'Running'; [int]$vm.State; \"$($vm.State)\"; $vm.State.GetType().FullName"
    assert engine.run(script).good == [True, 2, "Running", NAMESPACE + "VMState"]


def test_a_vm(engine: Engine) -> None:
    vm = engine.run("""
        $vm = Get-VM fileserver
        @{
            type = $vm.GetType().FullName; names = @($vm.psobject.Properties.Name); id = $vm.Id.GetType().FullName
            memory = $vm.MemoryStartup.GetType().FullName; uptime = $vm.Uptime.GetType().FullName; heartbeat = "$($vm.Heartbeat)"
            nic = $vm.NetworkAdapters[0].GetType().FullName; list = $vm.NetworkAdapters.GetType().Name; count = $vm.HardDrives.Count
            disk = $vm.HardDrives[0].Path; services = $vm.VMIntegrationService.Count; created = $vm.CreationTime.Kind
        }
    """).one
    expected = set(description().properties_of(NAMESPACE + "VirtualMachine"))
    assert set(vm.pop("names")) == expected
    assert vm == {
        "type": NAMESPACE + "VirtualMachine",
        "id": "System.Guid",
        "memory": "System.Int64",
        "uptime": "System.TimeSpan",
        "heartbeat": "NoContact",
        "nic": NAMESPACE + "VMNetworkAdapter",
        "list": "List`1",
        "count": 1,
        "disk": "D:\\VMs\\fileserver\\fileserver.vhdx",
        "services": 6,
        "created": "Local",
    }


def test_objects_are_copies_and_cannot_be_changed(engine: Engine) -> None:
    ran = engine.run(
        '$vm = Get-VM fileserver; Stop-VM fileserver -TurnOff; "$($vm.State)"; "$((Get-VM fileserver).State)"'
    )
    assert ran.good == ["Running", "Off"]
    ran = engine.run("$vm = Get-VM fileserver; $vm.Notes = 'mine'")
    assert (ran.fatal or ran.errors[0]).id == "PropertyAssignmentException"


def test_values_while_off(engine: Engine) -> None:
    ran = engine.run(
        "Stop-VM fileserver -TurnOff; $vm = Get-VM fileserver; $null -eq $vm.Heartbeat; $vm.MemoryAssigned; $vm.Uptime.Ticks"
    )
    assert ran.good == [True, 0, 0]


def test_defaults_of_a_new_vm(engine: Engine) -> None:
    """Section 5.1: what New-VM leaves behind when nothing else is said."""
    script = """
        $vm = New-VM plain
        "$($vm.Generation) $($vm.ProcessorCount) $($vm.MemoryStartup / 1MB) $($vm.AutomaticStartAction) $($vm.AutomaticStopAction)"
        "$($vm.CheckpointType) $($vm.AutomaticCheckpointsEnabled) $($vm.State) [$($vm.Notes)] $($vm.Status)"
        "$($vm.NetworkAdapters[0].Name) $($vm.NetworkAdapters[0].MacAddress) $($vm.NetworkAdapters[0].Connected)"
        @($vm.VMIntegrationService | Where-Object Enabled -EQ $false | ForEach-Object Name) -join ','
    """
    assert engine.run(script).good == [
        "1 1 512 StartIfRunning Save",
        "Production True Off [] Operating normally",
        "Network Adapter 000000000000 False",
        "Guest Service Interface",
    ]


@pytest.mark.parametrize(
    ("how", "order"),
    [
        ("-NoVHD", ["NIC"]),
        ("-NewVHDPath d.vhdx -NewVHDSizeBytes 1GB", ["NIC", "HardDiskDrive"]),
        ("-NewVHDPath d.vhdx -NewVHDSizeBytes 1GB -BootDevice VHD", ["HardDiskDrive", "NIC"]),
        ("-NoVHD -BootDevice CD", ["DvdDrive", "NIC"]),
    ],
)
def test_first_boot_orders(engine: Engine, how: str, order: list[str]) -> None:
    """Section 5.2."""
    script = f"New-VM v -Generation 2 -Path D:\\VMs {how} | Get-VMFirmware | ForEach-Object BootOrder | ForEach-Object {{ $_.Device.GetType().Name }}"
    assert engine.run(script).good == ["VMNetworkAdapter" if name == "NIC" else name for name in order]


def test_cim_objects_bear_the_names_of_their_classes(engine: Engine) -> None:
    prefix = "Microsoft.Management.Infrastructure.CimInstance#"
    ran = engine.run(
        "(Get-NetAdapter Ethernet).psobject.TypeNames[0]; (Get-CimInstance Win32_ComputerSystem).psobject.TypeNames[0]"
    )
    assert ran.good == [f"{prefix}ROOT/StandardCimv2/MSFT_NetAdapter", f"{prefix}root/cimv2/Win32_ComputerSystem"]


def test_a_list_of_one_stays_a_list(engine: Engine) -> None:
    script = "$s = Get-VMSwitch 'Default Switch'; $s.NetAdapterInterfaceGuid.GetType().Name; (Get-VM fileserver).HardDrives.GetType().Name"
    assert engine.run(script).good == ["Guid[]", "HardDiskDrive[]"]


def test_types_are_one_in_all_runspaces(engine: Engine) -> None:
    """A VM of one runspace is one for the cmdlets of another."""
    script = """
        $other = [powershell]::Create()
        $null = $other.AddScript('. $env:LAB_INIT; Get-VM fileserver').Invoke()
        $vm = $other.AddScript('Get-VM fileserver').Invoke()[-1]
        $other.Dispose()
        ($vm | Get-VMProcessor).Count
    """
    assert engine.run(script).one == 2
