function Request-TalosShutdown {
    # Asks a guest to shut down, by Hyper-V's shutdown service, and returns at once. Plain Stop-VM would wait for it without a bound, and would
    # prompt that no one answers. Tells whether the guest took it.
    [CmdletBinding()]
    param([object]$VM)
    $system = ([string]$VM.Id).ToUpperInvariant()
    $component = Get-CimInstance -Namespace 'root/virtualization/v2' -ClassName Msvm_ShutdownComponent -Filter "SystemName='$system'"
    if ($null -eq $component) {
        return $false
    }
    $answer = Invoke-CimMethod -InputObject $component -MethodName InitiateShutdown -Arguments @{ Force = $false; Reason = 'Stop-TalosVM' }
    # 0: done; 4096: a job does it.
    $answer.ReturnValue -in 0, 4096
}

function Wait-TalosVMOff {
    # Waits until a VM is Off, at most that long. Gives the seconds that are left, or -1 where it is still on.
    [CmdletBinding()]
    param(
        [object]$VM,
        [int32]$Seconds
    )
    for ($left = $Seconds; $left -ge 0; $left--) {
        if ("$((Hyper-V\Get-VM -Id $VM.Id).State)" -eq 'Off') {
            return $left
        }
        if ($left -gt 0) {
            Start-Sleep -Seconds 1
        }
    }
    -1
}

function Stop-TalosPower {
    # Cuts the power of a VM that has it.
    [CmdletBinding()]
    param([object]$VM)
    if ("$($VM.State)" -ne 'Off') {
        Hyper-V\Stop-VM -VM $VM -TurnOff -Force -Confirm:$false
    }
}

function Remove-TalosVMFile {
    # Deletes what a removed VM left: its folder where provision.json in it bears the cluster's mark and no other VM lives there or has a disk
    # there; else the disks of its own that lie in that folder and that no other VM has. -Folder and -DiskPath are as read before the VM was
    # removed.
    [CmdletBinding()]
    param(
        [string]$VMId,
        [string]$ClusterId,
        [string]$Folder,
        [string[]]$DiskPath,
        [bool]$KeepMark
    )
    $inside = "$Folder\"
    $others = @(Hyper-V\Get-VM | Where-Object -FilterScript { "$($_.Id)" -ne $VMId })
    $gone = $true
    if (@(Get-TalosFolderUser -Folder $Folder -VM $others).Count -eq 0 -and (Get-TalosMarkCluster -Mark (Get-TalosFolderMark -Folder $Folder -VMId $VMId)) -ceq $ClusterId) {
        $gone = Remove-TalosVMFolder -Folder $Folder -Seconds 30 -KeepMark $KeepMark
    }
    else {
        $used = @(foreach ($one in $others) { foreach ($drive in @($one.HardDrives)) { "$($drive.Path)" } })
        foreach ($path in $DiskPath) {
            if ($path.StartsWith($inside, [System.StringComparison]::OrdinalIgnoreCase) -and $used -notcontains $path) {
                $gone = (Remove-TalosVMFolder -Folder $path -Seconds 30) -and $gone
            }
        }
    }
    if (-not $gone) {
        throw (New-TalosError -Id 'VMFilesLocked' -Category ResourceBusy -Target $Folder -Message "The VM is removed, but files in '$Folder' are in use.")
    }
}

function Find-TalosLeftFolder {
    # The folders that a VM left which is gone: beside those of other VMs, and in the host's own folder for virtual disks.
    [CmdletBinding()]
    param(
        [string]$VMId,
        [string]$ClusterId,
        [object[]]$VM
    )
    foreach ($folder in @(Get-TalosMarkedFolder -VM $VM)) {
        if ($folder.VMId -eq $VMId -and (Get-TalosMarkCluster -Mark $folder.Mark) -ceq $ClusterId) {
            $folder.Path
        }
    }
}
