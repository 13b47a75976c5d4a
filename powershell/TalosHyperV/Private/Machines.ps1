function Find-TalosVM {
    # The VM of an id in a list, or nothing. The list is all VMs: Get-VM -Id fails in the same way for a VM that is gone, one that the caller
    # may not see, and a service that is down.
    [CmdletBinding()]
    param(
        [object[]]$VM,
        [string]$Id
    )
    $wanted = ConvertTo-TalosId -Id $Id
    foreach ($one in $VM) {
        if ((ConvertTo-TalosId -Id $one.Id) -eq $wanted) {
            return $one
        }
    }
}

function Resolve-TalosVM {
    # The VM of an id. Ends with VMNotFound where a good list of all VMs does not have it.
    [CmdletBinding()]
    param(
        [string]$Id,
        [object[]]$VM = @(Hyper-V\Get-VM)
    )
    $found = Find-TalosVM -VM $VM -Id $Id
    if ($null -eq $found) {
        throw (New-TalosError -Id 'VMNotFound' -Category ObjectNotFound -Target $Id -Message "There is no VM with the id $Id.")
    }
    $found
}

function Get-TalosFolderMark {
    # The mark in the provision.json of a VM's folder, or empty. A file that names another VM says nothing about this one.
    [CmdletBinding()]
    param(
        [string]$Folder,
        [string]$VMId
    )
    $kept = Read-TalosJson -Path (Join-TalosPath -Parent $Folder -Child 'provision.json')
    $keptId = Get-TalosMember -InputObject $kept -Name 'vmId'
    if ($keptId -ne '' -and $VMId -ne '' -and $keptId -ne (ConvertTo-TalosId -Id $VMId)) {
        return ''
    }
    Find-TalosMark -Text (Get-TalosMember -InputObject $kept -Name 'mark')
}

function Get-TalosVMMark {
    # The mark of a VM: of its Notes, or else of its folder, where a kill left it half-made.
    [CmdletBinding()]
    param([object]$VM)
    $mark = Find-TalosMark -Text $VM.Notes
    if ($mark -eq '') {
        $mark = Get-TalosFolderMark -Folder $VM.Path -VMId $VM.Id
    }
    $mark
}

function Assert-TalosVMOurs {
    # Ends with VMNotOurs unless the VM bears this mark.
    [CmdletBinding()]
    param(
        [object]$VM,
        [string]$Mark,
        [string]$Target
    )
    if ((Get-TalosVMMark -VM $VM) -cne $Mark) {
        throw (New-TalosError -Id 'VMNotOurs' -Category ResourceExists -Target $Target -Message "The VM '$($VM.Name)' does not bear the mark '$Mark'.")
    }
}

function ConvertTo-TalosBootKind {
    # An entry of a boot order as disk, dvd, network, file or unknown. The Description is the same for all SCSI devices.
    [CmdletBinding()]
    param([object]$Source)
    switch ("$($Source.BootType)") {
        'Network' { return 'network' }
        'File' { return 'file' }
        'Drive' {
            if ($null -ne $Source.Device) {
                if ($Source.Device.GetType().Name -eq 'DvdDrive') { return 'dvd' }
                return 'disk'
            }
        }
    }
    'unknown'
}

function Get-TalosVMDrive {
    # The drives of a VM as plain tables, disks first. -Disk maps lower-case paths to what Get-TalosDisk tells of them.
    [CmdletBinding()]
    param(
        [object]$VM,
        [System.Collections.IDictionary]$Disk
    )
    foreach ($drive in @($VM.HardDrives)) {
        $seen = $Disk["$($drive.Path)".ToLowerInvariant()]
        [ordered]@{
            Kind               = 'disk'
            Path               = "$($drive.Path)"
            ControllerNumber   = $drive.ControllerNumber
            ControllerLocation = $drive.ControllerLocation
            SizeBytes          = if ($null -eq $seen) { [int64]0 } else { [int64]$seen.Size }
            FileBytes          = if ($null -eq $seen) { [int64]0 } else { [int64]$seen.FileSize }
            Exists             = ($null -ne $seen) -or -not (Test-TalosGone -Path "$($drive.Path)")
        }
    }
    foreach ($drive in @($VM.DVDDrives)) {
        [ordered]@{
            Kind               = 'dvd'
            Path               = "$($drive.Path)"
            ControllerNumber   = $drive.ControllerNumber
            ControllerLocation = $drive.ControllerLocation
            SizeBytes          = [int64]0
        }
    }
}

function Get-TalosDisk {
    # Lower-case path -> virtual size, and size on the volume, of all disks of these VMs, by one call. A disk that cannot be read is left out.
    [CmdletBinding()]
    param([object[]]$VM)
    $paths = @(foreach ($one in $VM) { foreach ($drive in @($one.HardDrives)) { if ("$($drive.Path)" -ne '') { "$($drive.Path)" } } })
    $found = @{}
    if ($paths.Count -gt 0) {
        foreach ($disk in (Hyper-V\Get-VHD -Path $paths -ErrorAction SilentlyContinue)) {
            $found["$($disk.Path)".ToLowerInvariant()] = @{ Size = $disk.Size; FileSize = $disk.FileSize }
        }
    }
    $found
}

function ConvertTo-TalosVM {
    # VMs of Hyper-V as results of this module, in their order.
    [CmdletBinding()]
    param(
        [object[]]$VM,
        [bool]$Changed
    )
    if ($VM.Count -eq 0) {
        return
    }
    $uuids = @{}
    $realized = "VirtualSystemType='Microsoft:Hyper-V:System:Realized'"
    foreach ($settings in (Get-CimInstance -Namespace 'root/virtualization/v2' -ClassName Msvm_VirtualSystemSettingData -Filter $realized)) {
        $uuids[(ConvertTo-TalosId -Id $settings.VirtualSystemIdentifier)] = ConvertTo-TalosId -Id $settings.BIOSGUID
    }
    $firmware = @{}
    $second = @($VM | Where-Object -FilterScript { $_.Generation -eq 2 })
    if ($second.Count -gt 0) {
        foreach ($one in (Hyper-V\Get-VMFirmware -VM $second)) {
            $firmware[(ConvertTo-TalosId -Id $one.VMId)] = $one
        }
    }
    $disks = Get-TalosDisk -VM $VM

    foreach ($one in $VM) {
        $id = ConvertTo-TalosId -Id $one.Id
        $nic = @($one.NetworkAdapters) | Select-Object -First 1
        $vlan = 0
        if ($null -ne $nic -and "$($nic.VlanSetting.OperationMode)" -eq 'Access') {
            $vlan = [int32]$nic.VlanSetting.AccessVlanId
        }
        $inNotes = Find-TalosMark -Text $one.Notes
        $mark = Get-TalosVMMark -VM $one
        $automatic = $one.PSObject.Properties['AutomaticCheckpointsEnabled']  # not there before Windows 10 1709 and Server 2019
        [pscustomobject]@{
            PSTypeName           = 'TalosHyperV.VM'
            Id                   = $id
            Name                 = [string]$one.Name
            State                = "$($one.State)"
            Generation           = [int32]$one.Generation
            Cpus                 = [int32]$one.ProcessorCount
            MemoryBytes          = [int64]$one.MemoryStartup
            DynamicMemory        = [bool]$one.DynamicMemoryEnabled
            MacAddress           = if ($null -eq $nic) { '' } else { ConvertTo-TalosMac -MacAddress $nic.MacAddress }
            StaticMac            = ($null -ne $nic) -and -not $nic.DynamicMacAddressEnabled
            Switch               = if ($null -eq $nic) { '' } else { [string]$nic.SwitchName }
            VlanId               = $vlan
            Connected            = ($null -ne $nic) -and [bool]$nic.Connected
            Addresses            = [string[]]@(if ($null -ne $nic) { $nic.IPAddresses })
            Drives               = ConvertTo-TalosJson -Item @(Get-TalosVMDrive -VM $one -Disk $disks)
            BootOrder            = [string[]]@(if ($firmware.ContainsKey($id)) { foreach ($entry in @($firmware[$id].BootOrder)) { ConvertTo-TalosBootKind -Source $entry } })
            SecureBoot           = $firmware.ContainsKey($id) -and "$($firmware[$id].SecureBoot)" -eq 'On'
            AutomaticCheckpoints = ($null -ne $automatic) -and [bool]$automatic.Value
            CheckpointType       = "$($one.CheckpointType)"
            StartAction          = "$($one.AutomaticStartAction)"
            StopAction           = "$($one.AutomaticStopAction)"
            StartDelaySeconds    = [int32]$one.AutomaticStartDelay
            Heartbeat            = "$($one.Heartbeat)"
            UptimeSeconds        = [int64][System.Math]::Floor($one.Uptime.TotalSeconds)
            BiosUuid             = [string]$uuids[$id]
            Notes                = [string]$one.Notes
            Mark                 = $mark
            Folder               = [string]$one.Path
            Complete             = ($inNotes -ne '') -or ($mark -eq '')
            Changed              = $Changed
        }
    }
}

function Get-TalosVMResult {
    # One VM, read again: objects of Hyper-V keep what they saw first.
    [CmdletBinding()]
    param(
        [object]$VM,
        [bool]$Changed
    )
    ConvertTo-TalosVM -VM @(Hyper-V\Get-VM -Id $VM.Id) -Changed $Changed
}

function Start-TalosOneVM {
    # Starts a VM, or lets a paused one go on, and says what it lacks where it does not start.
    [CmdletBinding()]
    param(
        [object]$VM,
        [string]$Target
    )
    try {
        if ("$($VM.State)" -eq 'Paused') {
            Hyper-V\Resume-VM -VM $VM -Confirm:$false
        }
        else {
            Hyper-V\Start-VM -VM $VM -Confirm:$false
        }
    }
    catch {
        # 0x8007000E and 0x800705AA: out of memory, by the hypervisor and by Windows.
        if ((Get-TalosFailureId -Failure $_) -eq 'OutOfMemory' -or (Test-TalosFailure -Failure $_ -HResult '8007000E', '800705AA')) {
            throw (New-TalosError -Id 'VMNoMemory' -Category ResourceUnavailable -Target $Target -Message $_.Exception.Message -Cause $_.Exception)
        }
        foreach ($drive in @($VM.DVDDrives)) {
            if ("$($drive.Path)" -ne '' -and -not (Test-TalosFile -Path $drive.Path)) {
                throw (New-TalosError -Id 'VMIsoNotFound' -Category ObjectNotFound -Target $Target -Message "The mounted '$($drive.Path)' is not there." -Cause $_.Exception)
            }
        }
        throw
    }
}
