"""What the cmdlets do to the world, and how PowerShell's own ways work with them: -WhatIf, pipelines, progress, stop."""

from __future__ import annotations

import time

import pytest

from provisioner.lab.world.build import RELEASES, new_world
from provisioner.lab.world.faults import inject
from provisioner.lab.world.state import HostFile
from provisioner.lab.world.world import World
from tests.lab.cmdlets.helpers import Engine
from tests.lab.world.hand import NullGuests, hand_world

ISO = "C:\\ProgramData\\talos.iso"
MAKE = "$vm = New-VM cp-1 -Generation 2 -MemoryStartupBytes 2GB -Path D:\\VMs -NoVHD\n"


@pytest.fixture
def iso(world: World) -> str:
    file = HostFile(path=ISO, size_bytes=300 * 1024**2, modified=0.0, sha256="ab" * 32, talos_iso="v1.11.5")
    return world.storage.put(file).path


def test_a_machine_as_the_module_makes_it(engine: Engine, world: World, iso: str) -> None:
    ran = engine.run(
        MAKE
        + f"""
        $vm | Set-VM -StaticMemory -ProcessorCount 2 -CheckpointType Disabled -AutomaticCheckpointsEnabled $false -Notes 'mine'
        $null = New-VHD D:\\VMs\\cp-1\\cp-1.vhdx 20GB -Dynamic
        $vm | Add-VMHardDiskDrive -ControllerType SCSI -ControllerNumber 0 -ControllerLocation 0 -Path D:\\VMs\\cp-1\\cp-1.vhdx
        $vm | Add-VMDvdDrive -ControllerNumber 0 -ControllerLocation 1 -Path {iso}
        $nic = $vm | Get-VMNetworkAdapter
        $nic | Connect-VMNetworkAdapter -SwitchName office
        $nic | Set-VMNetworkAdapter -StaticMacAddress 02-15-5d-00-00-11
        $nic | Set-VMNetworkAdapterVlan -Access -VlanId 7
        $old = (Get-VMFirmware -VM $vm).BootOrder
        Set-VMFirmware -VM $vm -EnableSecureBoot Off -BootOrder @($old[1], $old[2], $old[0])
        Start-VM -VM $vm -Passthru | ForEach-Object {{ "$($_.State)" }}
        """
    )
    assert ran.one == "Running"
    [vm] = [vm for vm in world.state.host.vms.values() if vm.name == "cp-1"]
    assert (vm.cpus, vm.memory_bytes, vm.notes, vm.secure_boot, vm.generation) == (2, 2 * 1024**3, "mine", False, 2)
    assert (vm.checkpoint_type, vm.automatic_checkpoints, vm.dynamic_memory) == ("Disabled", False, False)
    assert vm.boot_order == ["disk:0:0", "dvd:0:1", "network:0"]
    assert (vm.nics[0].mac, vm.nics[0].static_mac, vm.nics[0].vlan_id) == ("02155D000011", True, 7)
    assert vm.hard_drives[0].path == "D:\\VMs\\cp-1\\cp-1.vhdx"
    assert vm.dvd_drives[0].path == ISO


def test_eject(engine: Engine, world: World, iso: str) -> None:
    """A null path empties the drive, without a path nothing happens; without numbers every drive is meant (fact 10)."""
    setup = MAKE + f"$vm | Add-VMDvdDrive -Path {iso}; $vm | Add-VMDvdDrive -Path {iso}\n"
    paths = 'Get-VMDvdDrive -VM $vm | ForEach-Object { "$($_.DvdMediaType) $($_.Path)" }'
    assert engine.run(setup + "Set-VMDvdDrive cp-1\n" + paths).good == [f"ISO {ISO}"] * 2
    ran = engine.run(
        "$vm = Get-VM cp-1; Get-VMDvdDrive -VM $vm | Select-Object -First 1 | Set-VMDvdDrive -Path $null\n" + paths
    )
    assert ran.good == ["None ", f"ISO {ISO}"]
    assert engine.run("$vm = Get-VM cp-1; Set-VMDvdDrive cp-1 -Path $null\n" + paths).good == ["None ", "None "]


def test_what_if_changes_nothing(engine: Engine, world: World) -> None:
    before = {vm_id: (vm.state, vm.notes) for vm_id, vm in world.state.host.vms.items()}
    script = """
        New-VM x -WhatIf; Set-VM fileserver -Notes mine -WhatIf; Stop-VM fileserver -TurnOff -WhatIf; Remove-VM fileserver -Force -WhatIf
        New-VHD D:\\VMs\\x.vhdx 1GB -WhatIf; New-VMSwitch x -SwitchType Private -WhatIf; Remove-Item D:\\VMs -Recurse -WhatIf
        $WhatIfPreference = $true; Remove-VMSwitch office
    """
    ran = engine.run(script)
    assert [error.id for error in ran.errors] == []
    assert {vm_id: (vm.state, vm.notes) for vm_id, vm in world.state.host.vms.items()} == before
    assert not world.storage.exists("D:\\VMs\\x.vhdx")
    assert world.storage.exists("D:\\VMs\\fileserver\\fileserver.vhdx")
    assert [switch.name for switch in world.state.host.switches] == ["Default Switch", "office"]


def test_what_is_already_so_is_a_warning(engine: Engine) -> None:
    ran = engine.run("Start-VM fileserver")
    assert ran.good == []
    assert len(ran.warnings) == 1


def test_a_pipeline_inside_the_answer(engine: Engine) -> None:
    """The next cmdlet of a pipeline asks on the same connection while the first one still has something to write."""
    script = '1..3 | ForEach-Object { $null = New-VM "vm-$_" -Generation 2 }; Get-VM | Get-VMProcessor | ForEach-Object { "$($_.VMName) $((Get-VM $_.VMName).Generation)" }'
    assert sorted(engine.run(script).good) == ["fileserver 2", "vm-1 2", "vm-2 2", "vm-3 2"]


def test_a_download_tells_its_progress_and_its_file_is_the_worlds(engine: Engine, world: World) -> None:
    url = f"{RELEASES}/v1.11.5/metal-amd64.iso"
    ran = engine.run(f"""
        Invoke-WebRequest -Uri {url} -OutFile C:\\ProgramData\\x.partial -UseBasicParsing
        Move-Item C:\\ProgramData\\x.partial C:\\ProgramData\\x.iso
        (Get-FileHash C:\\ProgramData\\x.iso).Hash
        (Get-Item C:\\ProgramData\\x.iso).Length
    """)
    resource = world.state.lan.internet[url]
    assert ran.good == [resource.sha256.upper(), resource.size_bytes]
    assert len(ran.progress) > 3
    file = world.storage.find("C:\\ProgramData\\x.iso")
    assert file is not None
    assert file.talos_iso == "v1.11.5"
    assert world.storage.find("C:\\ProgramData\\x.partial") is None


@pytest.mark.parametrize(
    ("fault", "value", "exception", "status"),
    [
        ("image-status", 503, "Microsoft.PowerShell.Commands.HttpResponseException", 503),
        ("image-unreachable", 0, "System.Net.Http.HttpRequestException", None),
    ],
)
def test_a_download_that_fails(
    engine: Engine, world: World, *, fault: str, value: float, exception: str, status: int | None
) -> None:
    inject(world, fault, value=value)
    ran = engine.run(f"""
        try {{ Invoke-WebRequest {RELEASES}/v1.11.5/metal-amd64.iso -OutFile C:\\ProgramData\\x.iso }}
        catch {{ $_.FullyQualifiedErrorId; $_.Exception.GetType().FullName; [int]$_.Exception.Response.StatusCode }}
    """)
    name = "WebCmdletWebResponseException,Microsoft.PowerShell.Commands.InvokeWebRequestCommand"
    assert ran.good == [name, exception, status or 0]


def test_time_is_the_worlds(engine: Engine, world: World) -> None:
    inject(world, "clock-skew", value=900)
    ran = engine.run(
        "$a = Get-Date; Start-Sleep -Seconds 90; $b = Get-Date; ($b - $a).TotalSeconds; $a.ToUniversalTime().ToString('s')"
    )
    assert ran.out[0] == pytest.approx(90)
    assert ran.out[1].startswith("2026-01-01T00:15")


def test_a_stop_gets_out_at_once_and_the_next_call_is_answered(engine: Engine) -> None:
    """The world runs in real time here: the sleep would take 1000 s."""
    engine.stand_on(started := new_world(guests=NullGuests, rate=1.0))
    started.start()
    try:
        ran = engine.run("""
            $other = [powershell]::Create()
            $null = $other.AddScript('. $env:LAB_INIT; Start-Sleep 1000')
            $running = $other.BeginInvoke()
            while ($other.InvocationStateInfo.State -ne 'Running' -or -not (Test-Path Variable:asked)) {
                [Threading.Thread]::Sleep(700); $asked = $true
            }
            $watch = [Diagnostics.Stopwatch]::StartNew()
            $other.Stop()
            $watch.ElapsedMilliseconds
            $other.Dispose()
            (Get-VM fileserver).Name
        """)
    finally:
        started.stop()
    assert ran.out[1] == "fileserver"
    assert ran.out[0] < 60_000, "milliseconds"


def test_neighbours_are_learned_by_pings(engine: Engine, world: World) -> None:
    """One query pings many addresses; who answers is in the table after it."""
    foreign = "192.0.2.44"
    script = f"(Get-CimInstance Win32_PingStatus -Filter \"(Address='192.0.2.1' OR Address='{foreign}') AND Timeout=10\").StatusCode"
    assert engine.run(script).good == [0, 11010]
    rows = engine.run(
        'Get-NetNeighbor -AddressFamily IPv4 -State Permanent, Reachable | ForEach-Object { "$($_.IPAddress) $($_.LinkLayerAddress)" }'
    )
    assert "192.0.2.1 02-A1-B2-C3-D4-E5" in rows.good


def test_the_screen(engine: Engine) -> None:
    script = """
        $settings = Get-CimInstance -Namespace root\\virtualization\\v2 -Query "SELECT * FROM Msvm_VirtualSystemSettingData WHERE ElementName='fileserver'"
        $service = Get-CimInstance -Namespace root/virtualization/v2 -ClassName Msvm_VirtualSystemManagementService
        $answer = Invoke-CimMethod -InputObject $service -MethodName GetVirtualSystemThumbnailImage -Arguments @{ TargetSystem = $settings; WidthPixels = [uint16]320; HeightPixels = [uint16]240 }
        $answer.ReturnValue; $answer.ImageData.GetType().Name; $answer.ImageData.Length
        (Get-CimAssociatedInstance -InputObject $settings -ResultClassName Msvm_ComputerSystem).EnabledState
        "$($settings.BIOSGUID)"
    """
    assert engine.run(script).good == [0, "Byte[]", 153604, 2, "{3C1F7A52-9B0E-4A3C-8F3E-55AA66BB77CC}"]


def test_facts_of_the_host(engine: Engine) -> None:
    script = """
        $os = Get-CimInstance Win32_OperatingSystem; $os.ProductType; $os.TotalVisibleMemorySize; $os.LocalDateTime.Kind.ToString()
        (Get-CimInstance Win32_ComputerSystem).NumberOfLogicalProcessors
        (Get-CimInstance Win32_Service -Filter "Name='vmms'").State
        (Get-Service vmms).Status.ToString()
        (Get-Volume -FilePath D:\\VMs).DriveLetter
        (Get-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V).State.ToString()
        Test-NetConnection 192.0.2.1 -InformationLevel Quiet
    """
    assert engine.run(script).good == [1, 64 * 1024**2, "Local", 16, "Running", "Running", "D", "Enabled", True]


def test_the_switch_moves_the_hosts_address(engine: Engine, world: World) -> None:
    script = """
        $switch = New-VMSwitch LAB -NetAdapterName Ethernet -AllowManagementOS $true -Notes mine
        "$($switch.SwitchType) $($switch.NetAdapterInterfaceDescription)"
        $own = Get-VMNetworkAdapter -ManagementOS -SwitchName LAB
        $adapter = Get-NetAdapter | Where-Object InterfaceGuid -EQ $own.DeviceId
        "$($adapter.Name) $($adapter.HardwareInterface)"
        (Get-NetIPAddress -InterfaceIndex $adapter.ifIndex -AddressFamily IPv4).IPAddress
        (Get-NetRoute -DestinationPrefix 0.0.0.0/0).InterfaceAlias
        "$((Get-NetConnectionProfile -InterfaceAlias $adapter.Name).NetworkCategory)"
        @(Get-NetIPAddress | Where-Object InterfaceAlias -EQ Ethernet).Count
        (Get-NetAdapterBinding Ethernet -ComponentID vms_pp).Enabled
    """
    assert engine.run(script).good == [
        "External Intel(R) Ethernet Controller I225-V",
        "vEthernet (LAB) False",
        "192.0.2.10",
        "vEthernet (LAB)",
        "Private",
        0,
        True,
    ]


def test_lost_settings_are_put_back(engine: Engine, world: World) -> None:
    for fault in ("switch-offline", "switch-dns", "switch-public"):
        inject(world, fault, "LAB")
    script = """
        $null = New-VMSwitch LAB -NetAdapterName Ethernet
        $name = 'vEthernet (LAB)'
        $null = New-NetIPAddress 192.0.2.10 -InterfaceAlias $name -PrefixLength 24
        $null = New-NetRoute 0.0.0.0/0 -InterfaceAlias $name -NextHop 192.0.2.1
        Set-DnsClientServerAddress -InterfaceAlias $name -ServerAddresses 192.0.2.1
        Set-NetConnectionProfile -InterfaceAlias $name -NetworkCategory Private
        $all = Get-NetIPConfiguration -InterfaceAlias $name
        "$($all.IPv4Address.IPAddress) $($all.IPv4DefaultGateway.NextHop) $(@($all.DNSServer.ServerAddresses)) $($all.NetProfile.NetworkCategory)"
    """
    assert engine.run(script).one == "192.0.2.10 192.0.2.1 192.0.2.1 Private"
    assert world.state.lan.link.up


def test_a_task_runs_in_an_engine_of_its_own(engine: Engine) -> None:
    engine.stand_on(running := new_world(guests=NullGuests, rate=100.0))
    running.start()
    try:
        ran = engine.run("""
            $null = New-Item -ItemType Directory 'C:\\Program Files\\Jobs' -Force
            Set-Content 'C:\\Program Files\\Jobs\\job.ps1' 'param($Name) Set-Content C:\\ProgramData\\out.txt "$Name $((Get-VM).Name) $env:USERNAME"'
            function Wait-Task($name) {
                do { Start-Sleep 40; $info = Get-ScheduledTaskInfo -TaskName $name -TaskPath \\Jobs\\ } while ($info.LastTaskResult -eq 267009)
                $info.LastTaskResult
            }
            $argument = '-NoProfile -File "C:\\Program Files\\Jobs\\job.ps1" -Name "two words"'
            foreach ($program in 'powershell.exe', 'nothing.exe') {
                $action = New-ScheduledTaskAction -Execute $program -Argument $argument
                $task = Register-ScheduledTask $program -TaskPath \\Jobs\\ -Action $action -Principal (New-ScheduledTaskPrincipal SYSTEM -RunLevel Highest)
                (Get-ScheduledTaskInfo -InputObject $task).LastTaskResult
                $task | Start-ScheduledTask
                Wait-Task $task.TaskName
            }
            Get-Content C:\\ProgramData\\out.txt
            Unregister-ScheduledTask nothing.exe -TaskPath \\Jobs\\ -Confirm:$false
            @(Get-ScheduledTask -TaskPath \\Jobs\\).Count
        """)
        assert ran.good == [267011, 0, 267011, 1, "two words fileserver SYSTEM", 1]
        content = running.storage.read("C:\\ProgramData\\out.txt")
        assert content.decode().strip() == "two words fileserver SYSTEM"
        ran = engine.run("""
            $action = New-ScheduledTaskAction powershell.exe '-Command "Start-Sleep 100000"'
            $null = Register-ScheduledTask Long -Action $action -User SYSTEM
            Start-ScheduledTask Long; (Get-ScheduledTaskInfo Long).LastTaskResult
            Stop-ScheduledTask Long; (Get-ScheduledTaskInfo Long).LastTaskResult
        """)
        assert ran.good == [267009, 267014]
    finally:
        engine.home.stop()
        running.stop()
        engine.stand_on(hand_world())


def test_waits_end_within_seconds_of_this_computer(engine: Engine) -> None:
    began = time.monotonic()
    assert engine.run("Start-Sleep 3600; 'done'").one == "done"
    assert time.monotonic() - began < 30


def test_a_folder_with_a_locked_file(engine: Engine, world: World) -> None:
    """Files go by name up to the locked one; without -ErrorAction Stop the later ones too."""
    make = "'a', 'z' | ForEach-Object { Set-Content \"D:\\VMs\\fileserver\\$_.txt\" x }\n"
    script = (
        make
        + "try { Remove-Item D:\\VMs\\fileserver -Recurse -Force -ErrorAction Stop } catch { '{0:X}' -f $_.Exception.HResult }"
    )
    assert engine.run(script).one == "80070020"
    names = [path.rpartition("\\")[2] for path in world.storage.children("D:\\VMs\\fileserver")]
    assert names == ["fileserver.vhdx", "z.txt"]
    ran = engine.run("Remove-Item D:\\VMs\\fileserver -Recurse -Force")
    assert [error.id.split(",")[0] for error in ran.errors] == ["RemoveFileSystemItemIOError", "DirectoryNotEmpty"]
    assert len(world.storage.children("D:\\VMs\\fileserver")) == 1
    assert (
        engine.run(
            "Stop-VM fileserver -TurnOff; Remove-Item D:\\VMs\\fileserver -Recurse; Test-Path D:\\VMs\\fileserver"
        ).one
        is False
    )
    assert not world.storage.exists("D:\\VMs\\fileserver")
