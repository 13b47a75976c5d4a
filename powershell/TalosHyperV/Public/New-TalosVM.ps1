function New-TalosVM {
    <#
    .SYNOPSIS
        Ensures a Generation 2 VM that boots Talos Linux: made whole, finished where a kill left it half-made, or kept as it is.
    .DESCRIPTION
        Folder and mark come first, the mark in the Notes last, so that a VM without the latter is known as half-made. A VM of that name
        that bears this mark is kept: drift is Set-TalosVM's work. A disk that an earlier VM left in its folder is attached as it is, unless
        nothing was ever written to it. Where making it fails, the VM, a disk that is new and a folder that is new are removed again.
    .PARAMETER Name
        Name of the VM.
    .PARAMETER MemoryBytes
        Static memory.
    .PARAMETER Cpus
        Number of virtual processors.
    .PARAMETER DiskBytes
        Virtual size of its disk, which takes space as it fills.
    .PARAMETER SwitchName
        Virtual switch that it is connected to.
    .PARAMETER MacAddress
        Static MAC address, bare hex or with separators.
    .PARAMETER IsoPath
        ISO in its DVD drive.
    .PARAMETER Mark
        The line in the Notes by which it is known as ours.
    .PARAMETER Path
        Folder in which its own folder is made. Empty: the host's own folder for virtual disks.
    .PARAMETER VlanId
        VLAN of its network adapter; 0 is untagged.
    .PARAMETER StartDelaySeconds
        How long after the host it starts.
    .PARAMETER Start
        Starts it if it is off, also a VM that was kept.
    .EXAMPLE
        New-TalosVM -Name cp-1 -MemoryBytes 4GB -Cpus 2 -DiskBytes 20GB -SwitchName LAB -MacAddress 02155D000011 -IsoPath C:\iso\talos.iso -Mark 'provision/1 cluster=6f9d0c52 machine=cp-1'
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.VM')]
    param(
        [Parameter(Mandatory = $true)]
        [string]$Name,

        [Parameter(Mandatory = $true)]
        [int64]$MemoryBytes,

        [Parameter(Mandatory = $true)]
        [int32]$Cpus,

        [Parameter(Mandatory = $true)]
        [int64]$DiskBytes,

        [Parameter(Mandatory = $true)]
        [string]$SwitchName,

        [Parameter(Mandatory = $true)]
        [string]$MacAddress,

        [Parameter(Mandatory = $true)]
        [string]$IsoPath,

        [Parameter(Mandatory = $true)]
        [string]$Mark,

        [string]$Path = '',

        [int32]$VlanId = 0,

        [int32]$StartDelaySeconds = 0,

        [switch]$Start
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $machines = @(Hyper-V\Get-VM)
        $same = @($machines | Where-Object -FilterScript { $_.Name -eq $Name })
        if ($same.Count -gt 1) {
            throw (New-TalosError -Id 'VMNameTwice' -Category ResourceExists -Target $Name -Message "$($same.Count) VMs have the name '$Name'.")
        }
        $changed = $false
        if ($same.Count -eq 1) {
            $vm = $same[0]
            Assert-TalosVMOurs -VM $vm -Mark $Mark -Target $Name
            $whole = (Find-TalosMark -Text $vm.Notes) -ceq $Mark
            $folder = [string]$vm.Path
        }
        else {
            $vm = $null
            $whole = $false
            $parent = if ($Path -ne '') { $Path } else { [string](Hyper-V\Get-VMHost).VirtualHardDiskPath }
            $folder = Join-TalosPath -Parent $parent -Child $Name
        }
        if ($null -eq $vm -and ($parent -notmatch '^[A-Za-z]:\\' -or $Name -match '[\\/:*?"<>|]' -or $Name -match '^\.+$')) {
            throw (New-TalosError -Id 'VMFolderInvalid' -Category InvalidArgument -Target $folder -Message "'$folder' is not a full path that this host can have.")
        }
        if (-not $whole) {
            Assert-TalosVMParts -VM $machines -VMId $(if ($null -ne $vm) { "$($vm.Id)" } else { '' }) -MacAddress $MacAddress -SwitchName $SwitchName -IsoPath $IsoPath
        }
        $diskPath = Join-TalosPath -Parent $folder -Child "$Name.vhdx"

        if (-not $whole) {
            if (-not $PSCmdlet.ShouldProcess($Name, 'Make the VM')) {
                return
            }
            $ConfirmPreference = 'None'  # asked once, for all of it
            $made = $null
            $kept = $false
            try {
                if ($null -eq $vm) {
                    $kept = Initialize-TalosVMFolder -Folder $folder -DiskPath $diskPath -Mark $Mark -VM $machines
                    try {
                        $made = Hyper-V\New-VM -Name $Name -Generation 2 -MemoryStartupBytes $MemoryBytes -NoVHD -Path $parent
                    }
                    catch {
                        # 0x80070002 and 0x80070003: the path cannot be reached.
                        if (Test-TalosFailure -Failure $_ -HResult '80070002', '80070003') {
                            throw (New-TalosError -Id 'VMFolderInvalid' -Category InvalidArgument -Target $folder -Message $_.Exception.Message -Cause $_.Exception)
                        }
                        throw
                    }
                    $vm = $made
                }
                Write-TalosVMFolderMark -Folder $folder -Mark $Mark -VMId $vm.Id
                Set-TalosVMBasics -VM $vm -MemoryBytes $MemoryBytes -Cpus $Cpus -StartDelaySeconds $StartDelaySeconds
                Add-TalosVMDisk -VM $vm -DiskPath $diskPath -DiskBytes $DiskBytes
                $null = Set-TalosVMIso -VM $vm -IsoPath $IsoPath
                Set-TalosVMNetwork -VM $vm -SwitchName $SwitchName -MacAddress $MacAddress -VlanId $VlanId
                Hyper-V\Set-VMFirmware -VM $vm -EnableSecureBoot Off -BootOrder @(Get-TalosBootOrder -VM $vm)
                Set-TalosVMNote -VM $vm -Mark $Mark
            }
            catch {
                if ($null -ne $made) {
                    Undo-TalosNewVM -VM $made -Folder $folder -KeepDisk $kept
                }
                throw
            }
            $changed = $true
        }
        $vm = Resolve-TalosVM -Id $vm.Id
        if ($Start -and "$($vm.State)" -in 'Off', 'Saved', 'Paused') {
            if (-not $changed -and -not $PSCmdlet.ShouldProcess($Name, 'Start the VM')) {
                return
            }
            Start-TalosOneVM -VM $vm -Target $Name
            $changed = $true
        }
        Get-TalosVMResult -VM $vm -Changed $changed
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Name))
    }
}
