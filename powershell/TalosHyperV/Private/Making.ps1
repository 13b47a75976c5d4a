function Assert-TalosVMParts {
    # What a new VM needs from the host must be there, and its MAC address free.
    [CmdletBinding()]
    param(
        [object[]]$VM,
        [string]$VMId,
        [string]$MacAddress,
        [string]$SwitchName,
        [string]$IsoPath
    )
    Assert-TalosSwitchPresent -Name $SwitchName
    Assert-TalosIsoPresent -Path $IsoPath
    Assert-TalosMacFree -VM $VM -VMId $VMId -MacAddress $MacAddress
}

function Assert-TalosSwitchPresent {
    # Ends with VMSwitchNotFound where there is no such switch.
    [CmdletBinding()]
    param([string]$Name)
    if ($null -eq (Find-TalosSwitch -Name $Name)) {
        throw (New-TalosError -Id 'VMSwitchNotFound' -Category ObjectNotFound -Target $Name -Message "There is no virtual switch '$Name'.")
    }
}

function Assert-TalosIsoPresent {
    # Ends with VMIsoNotFound where there is no such file.
    [CmdletBinding()]
    param([string]$Path)
    if (-not (Test-TalosFile -Path $Path)) {
        throw (New-TalosError -Id 'VMIsoNotFound' -Category ObjectNotFound -Target $Path -Message "There is no ISO '$Path'.")
    }
}

function Assert-TalosMacFree {
    # Ends with VMMacInUse where another VM has that MAC address.
    [CmdletBinding()]
    param(
        [object[]]$VM,
        [string]$VMId,
        [string]$MacAddress
    )
    $mac = ConvertTo-TalosMac -MacAddress $MacAddress
    foreach ($other in $VM) {
        foreach ($nic in @($other.NetworkAdapters)) {
            if ("$($other.Id)" -ne $VMId -and (ConvertTo-TalosMac -MacAddress $nic.MacAddress) -eq $mac) {
                throw (New-TalosError -Id 'VMMacInUse' -Category ResourceExists -Target $MacAddress -Message "The VM '$($other.Name)' has the MAC address $mac.")
            }
        }
    }
}

function Initialize-TalosVMFolder {
    # Makes the VM's folder with its provision.json, before there is a VM: a kill from here on leaves something that is known to be ours.
    # A disk that an earlier VM left in a folder of ours stays, and the new VM gets it; only one that was never written is replaced. Tells
    # whether such a disk stays.
    [CmdletBinding()]
    param(
        [string]$Folder,
        [string]$DiskPath,
        [string]$Mark,
        [object[]]$VM
    )
    $kept = $false
    if (Test-TalosFile -Path $DiskPath) {
        $used = @(foreach ($one in $VM) { foreach ($drive in @($one.HardDrives)) { if ("$($drive.Path)" -eq $DiskPath) { $one.Name } } })
        if ($used.Count -gt 0 -or (Get-TalosFolderMark -Folder $Folder) -cne $Mark) {
            throw (New-TalosError -Id 'VMDiskExists' -Category ResourceExists -Target $DiskPath -Message "The disk '$DiskPath' is there and is not of this machine.")
        }
        if ($null -ne (Get-ChildItem -LiteralPath $Folder -Filter '*.avhdx' -File -Recurse -Force | Select-Object -First 1)) {
            # Its last state lies in the checkpoint's file: without it the disk is an older one, and written to, the two never fit again.
            throw (New-TalosError -Id 'VMDiskExists' -Category ResourceExists -Target $DiskPath -Message "Beside the disk '$DiskPath' lie files of a checkpoint that was not merged.")
        }
        if (Test-TalosDiskEmpty -Path $DiskPath) {
            Remove-Item -LiteralPath $DiskPath -Force
        }
        else {
            $kept = $true
        }
    }
    elseif ((Test-Path -LiteralPath $Folder) -and (Get-TalosFolderMark -Folder $Folder) -cne $Mark) {
        # Remove-TalosVM deletes the whole folder: no one else's files may lie in it.
        if ($null -ne (Get-ChildItem -LiteralPath $Folder -File -Recurse -Force | Select-Object -First 1)) {
            throw (New-TalosError -Id 'VMFolderInvalid' -Category InvalidArgument -Target $Folder -Message "The folder '$Folder' holds files that are not of this machine.")
        }
    }
    try {
        Confirm-TalosFolder -Path $Folder
        Write-TalosVMFolderMark -Folder $Folder -Mark $Mark
    }
    catch {
        if (Test-TalosFailure -Failure $_ -HResult '80070070') {
            throw (ConvertTo-TalosSpaceError -Failure $_ -Target $Folder)
        }
        throw (New-TalosError -Id 'VMFolderInvalid' -Category InvalidArgument -Target $Folder -Message $_.Exception.Message -Cause $_.Exception)
    }
    $kept
}

function Test-TalosDiskEmpty {
    # Whether nothing was ever written to a virtual disk: a dynamic VHDX takes its first block from the volume with the first write. One
    # that cannot be read counts as written.
    [CmdletBinding()]
    param([string]$Path)
    try {
        $disk = Hyper-V\Get-VHD -Path $Path
    }
    catch {
        Write-Verbose -Message "$Path cannot be read: $_"
        return $false
    }
    "$($disk.VhdType)" -eq 'Dynamic' -and $disk.FileSize -lt $disk.BlockSize
}

function Write-TalosVMFolderMark {
    [CmdletBinding()]
    param(
        [string]$Folder,
        [string]$Mark,
        [string]$VMId = ''
    )
    Write-TalosJson -Path (Join-TalosPath -Parent $Folder -Child 'provision.json') -Value ([ordered]@{ mark = $Mark; vmId = ConvertTo-TalosId -Id $VMId })
}

function Set-TalosVMBasics {
    # Memory, processors and what Hyper-V does by itself: static memory since ballooning ends in killed pods, no checkpoints since their
    # merges lock the disk, and an ordered shutdown since a saved etcd wakes up with a jumped clock.
    [CmdletBinding()]
    param(
        [object]$VM,
        [int64]$MemoryBytes,
        [int32]$Cpus,
        [int32]$StartDelaySeconds
    )
    $settings = Get-TalosVMAction
    Hyper-V\Set-VM -VM $VM -StaticMemory -MemoryStartupBytes $MemoryBytes -ProcessorCount $Cpus -AutomaticStartDelay $StartDelaySeconds @settings
}

function Get-TalosVMAction {
    # What Hyper-V does by itself with a VM of ours, as settings of Set-VM.
    [CmdletBinding()]
    param()
    $settings = @{ AutomaticStartAction = 'Start'; AutomaticStopAction = 'ShutDown'; CheckpointType = 'Disabled' }
    if ((Get-Command -Name 'Hyper-V\Set-VM').Parameters.ContainsKey('AutomaticCheckpointsEnabled')) {
        $settings.AutomaticCheckpointsEnabled = $false
    }
    $settings
}

function Add-TalosVMDisk {
    # The disk at SCSI 0:0, made where it is missing.
    [CmdletBinding()]
    param(
        [object]$VM,
        [string]$DiskPath,
        [int64]$DiskBytes
    )
    if (@($VM.HardDrives).Count -gt 0) {
        return
    }
    if (-not (Test-TalosFile -Path $DiskPath)) {
        try {
            $null = Hyper-V\New-VHD -Path $DiskPath -SizeBytes $DiskBytes -Dynamic
        }
        catch {
            throw (ConvertTo-TalosSpaceError -Failure $_ -Target $DiskPath)
        }
    }
    Hyper-V\Add-VMHardDiskDrive -VM $VM -ControllerType SCSI -ControllerNumber 0 -ControllerLocation 0 -Path $DiskPath
}

function Set-TalosVMIso {
    # The ISO in the VM's DVD drive, which is made at SCSI 0:1 where there is none. Tells whether that changed anything.
    [CmdletBinding()]
    param(
        [object]$VM,
        [string]$IsoPath
    )
    $drives = @(Hyper-V\Get-VMDvdDrive -VM $VM)
    foreach ($drive in $drives) {
        if ("$($drive.Path)" -eq $IsoPath) {
            return $false
        }
    }
    if ($drives.Count -eq 0) {
        Hyper-V\Add-VMDvdDrive -VM $VM -ControllerNumber 0 -ControllerLocation 1 -Path $IsoPath
    }
    else {
        Hyper-V\Set-VMDvdDrive -VMDvdDrive $drives[0] -Path $IsoPath
    }
    $true
}

function Set-TalosVMNetwork {
    # The first network adapter on its switch, with its own MAC address and VLAN. It is made where there is none.
    [CmdletBinding()]
    param(
        [object]$VM,
        [string]$SwitchName,
        [string]$MacAddress,
        [int32]$VlanId
    )
    Set-TalosVMSwitch -VM $VM -SwitchName $SwitchName
    Set-TalosVMMac -VM $VM -MacAddress $MacAddress
    Set-TalosVMVlan -VM $VM -VlanId $VlanId
}

function Get-TalosVMAdapter {
    # The first network adapter, made where there is none.
    [CmdletBinding()]
    param([object]$VM)
    $nics = @(Hyper-V\Get-VMNetworkAdapter -VM $VM)
    if ($nics.Count -eq 0) {
        $nics = @(Hyper-V\Add-VMNetworkAdapter -VM $VM -Passthru)
    }
    $nics[0]
}

function Set-TalosVMSwitch {
    [CmdletBinding()]
    param(
        [object]$VM,
        [string]$SwitchName
    )
    $nic = Get-TalosVMAdapter -VM $VM
    if ($nic.SwitchName -ne $SwitchName) {
        Hyper-V\Connect-VMNetworkAdapter -VMNetworkAdapter $nic -VMSwitch (Find-TalosSwitch -Name $SwitchName)
    }
}

function Set-TalosVMMac {
    [CmdletBinding()]
    param(
        [object]$VM,
        [string]$MacAddress
    )
    Hyper-V\Set-VMNetworkAdapter -VMNetworkAdapter (Get-TalosVMAdapter -VM $VM) -StaticMacAddress (ConvertTo-TalosMac -MacAddress $MacAddress)
}

function Set-TalosVMNote {
    # The mark into the Notes, below whatever else is written there.
    [CmdletBinding()]
    param(
        [object]$VM,
        [string]$Mark
    )
    Hyper-V\Set-VM -VM $VM -Notes ("$($VM.Notes)".TrimEnd() + "`n$Mark").TrimStart()
}

function Set-TalosVMVlan {
    # VLAN of the first network adapter; 0 is untagged, which -VlanId 0 would not be.
    [CmdletBinding()]
    param(
        [object]$VM,
        [int32]$VlanId
    )
    $nic = Get-TalosVMAdapter -VM $VM
    if ($VlanId -eq 0) {
        Hyper-V\Set-VMNetworkAdapterVlan -VMNetworkAdapter $nic -Untagged
    }
    else {
        Hyper-V\Set-VMNetworkAdapterVlan -VMNetworkAdapter $nic -Access -VlanId $VlanId
    }
}

function Get-TalosBootOrder {
    # The boot order as it should be: what the installed system put in front stays there, then disk, DVD, network. An empty disk falls
    # through to the DVD, and once Talos is on it the disk wins, so nothing needs to be changed after the installation.
    [CmdletBinding()]
    param([object]$VM)
    $rank = @{ file = 0; disk = 1; dvd = 2; network = 3; unknown = 4 }
    $entries = @((Hyper-V\Get-VMFirmware -VM $VM).BootOrder)
    foreach ($kind in ($rank.Keys | Sort-Object -Property { $rank[$_] })) {
        foreach ($entry in $entries) {
            if ((ConvertTo-TalosBootKind -Source $entry) -eq $kind) {
                $entry
            }
        }
    }
}

function Test-TalosBootOrder {
    # Whether the boot order is already as it should be.
    [CmdletBinding()]
    param([object]$VM)
    $now = @((Hyper-V\Get-VMFirmware -VM $VM).BootOrder | ForEach-Object -Process { ConvertTo-TalosBootKind -Source $_ }) -join ','
    $wanted = @(Get-TalosBootOrder -VM $VM | ForEach-Object -Process { ConvertTo-TalosBootKind -Source $_ }) -join ','
    $now -eq $wanted
}

function Undo-TalosNewVM {
    # Takes back what a failed New-TalosVM made, and nothing else: a disk that was there before stays, in a folder that is still known as
    # ours. Best effort: the failure that led here is the one to tell.
    [CmdletBinding()]
    param(
        [object]$VM,
        [string]$Folder,
        [bool]$KeepDisk
    )
    try {
        Hyper-V\Remove-VM -VM $VM -Force
        if (-not $KeepDisk) {
            $null = Remove-TalosVMFolder -Folder $Folder -Seconds 5
        }
    }
    catch {
        Write-Warning -Message "What was made of the VM '$($VM.Name)' could not be taken back: $_"
    }
}

function Remove-TalosVMFolder {
    # Deletes a folder with all in it, or a file. A merge or a virus scanner holds files for a while: it is tried again each second. The mark goes
    # last, so that what stays is still known as ours, or not at all. Tells whether all else is gone.
    [CmdletBinding()]
    param(
        [string]$Folder,
        [int32]$Seconds,
        [bool]$KeepMark
    )
    for ($second = 0; Test-Path -LiteralPath $Folder; $second++) {
        try {
            if (Test-Path -LiteralPath $Folder -PathType Container) {
                $locked = $null
                foreach ($child in @(Get-ChildItem -LiteralPath $Folder -Force | Where-Object -FilterScript { $_.Name -ne 'provision.json' })) {
                    try {
                        Remove-Item -LiteralPath (Join-TalosPath -Parent $Folder -Child $child.Name) -Recurse -Force
                    }
                    catch {
                        $locked = $_  # the others go all the same: one of them may hold the machine's keys
                    }
                }
                if ($null -ne $locked) {
                    throw $locked
                }
                if ($KeepMark) {
                    return $true
                }
            }
            Remove-Item -LiteralPath $Folder -Recurse -Force
        }
        catch {
            if ($second -ge $Seconds) {
                return $false
            }
            Start-Sleep -Seconds 1
        }
    }
    $true
}
