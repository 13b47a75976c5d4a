function Set-TalosVM {
    <#
    .SYNOPSIS
        Changes what is given of a VM of ours, where it differs.
    .DESCRIPTION
        Processors, memory and boot order can be changed while the VM is Off, disk and VLAN also while it runs. What cannot be done is
        refused before anything is changed.
    .PARAMETER Id
        Id of the VM.
    .PARAMETER Mark
        The mark that it must bear.
    .PARAMETER Cpus
        Number of virtual processors.
    .PARAMETER MemoryBytes
        Static memory.
    .PARAMETER DiskBytes
        Virtual size of its first disk, which can only grow.
    .PARAMETER VlanId
        VLAN of its network adapter; 0 is untagged.
    .PARAMETER FixBootOrder
        Puts disk, DVD and network in this order, behind what the installed system put in front.
    .EXAMPLE
        Set-TalosVM -Id 1b3c5a0e-7d0c-4c55-9a7e-0c9d2f6b1a11 -Mark 'provision/1 cluster=6f9d0c52 machine=cp-1' -MemoryBytes 8GB
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.VM')]
    param(
        [Parameter(Mandatory = $true)]
        [string]$Id,

        [Parameter(Mandatory = $true)]
        [string]$Mark,

        [int32]$Cpus,

        [int64]$MemoryBytes,

        [int64]$DiskBytes,

        [int32]$VlanId,

        [switch]$FixBootOrder
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $vm = Resolve-TalosVM -Id $Id
        Assert-TalosVMOurs -VM $vm -Mark $Mark -Target $Id
        $now = Get-TalosVMResult -VM $vm -Changed $false
        $forecast = Get-TalosVMResult -VM $vm -Changed $false
        $sizes = Get-TalosDiskSize -VM @($vm)
        $diskPath = ''
        if (@($vm.HardDrives).Count -gt 0) {
            $diskPath = "$(@($vm.HardDrives)[0].Path)"
        }

        $changes = @()
        if ($PSBoundParameters.ContainsKey('Cpus') -and $Cpus -ne $now.Cpus) {
            $changes += 'Cpus'
            $forecast.Cpus = $Cpus
        }
        if ($PSBoundParameters.ContainsKey('MemoryBytes') -and $MemoryBytes -ne $now.MemoryBytes) {
            $changes += 'MemoryBytes'
            $forecast.MemoryBytes = $MemoryBytes
        }
        if ($FixBootOrder -and -not (Test-TalosBootOrder -VM $vm)) {
            $changes += 'FixBootOrder'
            $forecast.BootOrder = [string[]]@(Get-TalosBootOrder -VM $vm | ForEach-Object -Process { ConvertTo-TalosBootKind -Source $_ })
        }
        if ($changes.Count -gt 0 -and $now.State -ne 'Off') {
            throw (New-TalosError -Id 'VMMustBeOff' -Category InvalidOperation -Target $changes[0] -Message "To change $($changes -join ', ') the VM '$($now.Name)' must be Off; it is $($now.State).")
        }
        if ($PSBoundParameters.ContainsKey('DiskBytes')) {
            $size = $sizes[$diskPath.ToLowerInvariant()]
            if ($null -eq $size) {
                throw "The VM '$($now.Name)' has no disk that can be read."
            }
            if ($DiskBytes -lt $size) {
                throw (New-TalosError -Id 'VMDiskShrink' -Category InvalidArgument -Target $Id -Message "The disk of '$($now.Name)' has $size bytes and cannot shrink to $DiskBytes.")
            }
            if ($DiskBytes -gt $size) {
                $changes += 'DiskBytes'
                $sizes[$diskPath.ToLowerInvariant()] = $DiskBytes
                $forecast.Drives = ConvertTo-TalosJson -Item @(Get-TalosVMDrive -VM $vm -DiskSize $sizes)
            }
        }
        if ($PSBoundParameters.ContainsKey('VlanId') -and $VlanId -ne $now.VlanId) {
            $changes += 'VlanId'
            $forecast.VlanId = $VlanId
        }

        if ($changes.Count -eq 0) {
            return $now
        }
        if (-not $PSCmdlet.ShouldProcess($now.Name, "Change $($changes -join ', ')")) {
            if ($WhatIfPreference) { $forecast }
            return
        }
        $ConfirmPreference = 'None'  # asked once, for all of it
        switch ($changes) {
            'Cpus' { Hyper-V\Set-VMProcessor -VM $vm -Count $Cpus }
            'MemoryBytes' { Hyper-V\Set-VMMemory -VM $vm -StartupBytes $MemoryBytes }
            'FixBootOrder' { Hyper-V\Set-VMFirmware -VM $vm -BootOrder @(Get-TalosBootOrder -VM $vm) }
            'VlanId' { Set-TalosVMVlan -VM $vm -VlanId $VlanId }
            'DiskBytes' {
                try {
                    Hyper-V\Resize-VHD -Path $diskPath -SizeBytes $DiskBytes
                }
                catch {
                    if (Test-TalosFailure -Failure $_ -HResult '80070070') {
                        throw (New-TalosError -Id 'VMNoSpace' -Category ResourceUnavailable -Target $Id -Message $_.Exception.Message -Cause $_.Exception)
                    }
                    throw
                }
            }
        }
        Get-TalosVMResult -VM $vm -Changed $true
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Id))
    }
}
