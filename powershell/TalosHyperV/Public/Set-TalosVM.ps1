function Set-TalosVM {
    <#
    .SYNOPSIS
        Changes what is given of a VM of ours, where it differs.
    .DESCRIPTION
        Processors, memory, MAC address, Secure Boot and boot order can be changed while the VM is Off, all else also while it runs. What
        cannot be done is refused before anything is changed.
    .PARAMETER Id
        Id of the VM.
    .PARAMETER Mark
        The mark that it must bear, in its Notes or in the record of its folder.
    .PARAMETER Cpus
        Number of virtual processors.
    .PARAMETER MemoryBytes
        Memory at start, all of it where memory is static.
    .PARAMETER DiskBytes
        Virtual size of its first disk, which can only grow.
    .PARAMETER VlanId
        VLAN of its network adapter; 0 is untagged.
    .PARAMETER SwitchName
        Virtual switch that its network adapter is connected to.
    .PARAMETER MacAddress
        Static MAC address, bare hex or with separators.
    .PARAMETER StartDelaySeconds
        How long after the host it starts.
    .PARAMETER StaticMemory
        Takes it off dynamic memory.
    .PARAMETER SecureBootOff
        Turns Secure Boot off.
    .PARAMETER FixBootOrder
        Puts disk, DVD and network in this order, behind what the installed system put in front.
    .PARAMETER FixActions
        Makes it start with the host and shut down with it, and turns checkpoints off.
    .PARAMETER FixNotes
        Writes the mark into its Notes where it is missing, below what is there.
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

        [string]$SwitchName,

        [string]$MacAddress,

        [int32]$StartDelaySeconds,

        [switch]$StaticMemory,

        [switch]$SecureBootOff,

        [switch]$FixBootOrder,

        [switch]$FixActions,

        [switch]$FixNotes
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $all = @(Hyper-V\Get-VM)
        $vm = Resolve-TalosVM -VM $all -Id $Id
        Assert-TalosVMOurs -VM $vm -Mark $Mark -Target $Id
        $now = Get-TalosVMResult -VM $vm -Changed $false
        $given = $PSBoundParameters

        $changes = @()
        if ($given.ContainsKey('Cpus') -and $Cpus -ne $now.Cpus) {
            $changes += 'Cpus'
        }
        if ($given.ContainsKey('MemoryBytes') -and $MemoryBytes -ne $now.MemoryBytes) {
            $changes += 'MemoryBytes'
        }
        if ($StaticMemory -and $now.DynamicMemory) {
            $changes += 'StaticMemory'
        }
        if ($given.ContainsKey('MacAddress') -and ((ConvertTo-TalosMac -MacAddress $MacAddress) -ne $now.MacAddress -or -not $now.StaticMac)) {
            Assert-TalosMacFree -VM $all -VMId "$($vm.Id)" -MacAddress $MacAddress
            $changes += 'MacAddress'
        }
        if ($SecureBootOff -and $now.SecureBoot) {
            $changes += 'SecureBootOff'
        }
        if ($FixBootOrder -and -not (Test-TalosBootOrder -VM $vm)) {
            $changes += 'FixBootOrder'
        }
        if ($changes.Count -gt 0 -and $now.State -ne 'Off') {
            throw (New-TalosError -Id 'VMMustBeOff' -Category InvalidOperation -Target $changes[0] -Message "To change $($changes -join ', ') the VM '$($now.Name)' must be Off; it is $($now.State).")
        }
        if ($given.ContainsKey('SwitchName') -and $SwitchName -ne $now.Switch) {
            Assert-TalosSwitchPresent -Name $SwitchName
            $changes = @('SwitchName') + $changes  # an adapter that is missing is made with it
        }
        $disks = Get-TalosDisk -VM @($vm)
        $diskPath = ''
        if (@($vm.HardDrives).Count -gt 0) {
            $diskPath = "$(@($vm.HardDrives)[0].Path)"
        }
        if ($given.ContainsKey('DiskBytes')) {
            $disk = $disks[$diskPath.ToLowerInvariant()]
            if ($null -eq $disk) {
                throw "The VM '$($now.Name)' has no disk that can be read."
            }
            if ($DiskBytes -lt $disk.Size) {
                throw (New-TalosError -Id 'VMDiskShrink' -Category InvalidArgument -Target $Id -Message "The disk of '$($now.Name)' has $($disk.Size) bytes and cannot shrink to $DiskBytes.")
            }
            if ($DiskBytes -gt $disk.Size) {
                $changes += 'DiskBytes'
            }
        }
        if ($given.ContainsKey('VlanId') -and $VlanId -ne $now.VlanId) {
            $changes += 'VlanId'
        }
        if ($given.ContainsKey('StartDelaySeconds') -and $StartDelaySeconds -ne $now.StartDelaySeconds) {
            $changes += 'StartDelaySeconds'
        }
        if ($FixActions -and ($now.StartAction -ne 'Start' -or $now.StopAction -ne 'ShutDown' -or $now.CheckpointType -ne 'Disabled' -or $now.AutomaticCheckpoints)) {
            $changes += 'FixActions'
        }
        if ($FixNotes -and (Find-TalosMark -Text $vm.Notes) -cne $Mark) {
            $changes += 'FixNotes'
        }

        if ($changes.Count -eq 0) {
            return $now
        }
        if (-not $PSCmdlet.ShouldProcess($now.Name, "Change $($changes -join ', ')")) {
            return
        }
        $ConfirmPreference = 'None'  # asked once, for all of it
        switch ($changes) {
            'SwitchName' { Set-TalosVMSwitch -VM $vm -SwitchName $SwitchName }
            'Cpus' { Hyper-V\Set-VMProcessor -VM $vm -Count $Cpus }
            'MemoryBytes' { Hyper-V\Set-VMMemory -VM $vm -StartupBytes $MemoryBytes }
            'StaticMemory' { Hyper-V\Set-VMMemory -VM $vm -DynamicMemoryEnabled $false }
            'MacAddress' { Set-TalosVMMac -VM $vm -MacAddress $MacAddress }
            'SecureBootOff' { Hyper-V\Set-VMFirmware -VM $vm -EnableSecureBoot Off }
            'FixBootOrder' { Hyper-V\Set-VMFirmware -VM $vm -BootOrder @(Get-TalosBootOrder -VM $vm) }
            'VlanId' { Set-TalosVMVlan -VM $vm -VlanId $VlanId }
            'StartDelaySeconds' { Hyper-V\Set-VM -VM $vm -AutomaticStartDelay $StartDelaySeconds }
            'FixNotes' { Set-TalosVMNote -VM $vm -Mark $Mark }
            'FixActions' {
                $settings = Get-TalosVMAction
                try {
                    Hyper-V\Set-VM -VM $vm @settings
                }
                catch {
                    if ($now.State -ne 'Off' -and (Get-TalosFailureId -Failure $_) -eq 'InvalidState') {
                        throw (New-TalosError -Id 'VMMustBeOff' -Category InvalidOperation -Target 'FixActions' -Message $_.Exception.Message -Cause $_.Exception)
                    }
                    throw
                }
            }
            'DiskBytes' {
                try {
                    Hyper-V\Resize-VHD -Path $diskPath -SizeBytes $DiskBytes
                }
                catch {
                    throw (ConvertTo-TalosSpaceError -Failure $_ -Target $Id)
                }
            }
        }
        Get-TalosVMResult -VM $vm -Changed $true
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Id))
    }
}
