function Remove-TalosVM {
    <#
    .SYNOPSIS
        Removes VMs of one cluster with their disks and folders. An id that is not there is success.
    .DESCRIPTION
        Cuts the power, removes the VM and deletes its folder. A VM without the cluster's mark is refused, a disk that was attached from
        elsewhere is kept. Files that are in use are tried again for 30 seconds. Writes the VM as it was, or an error, per id and in their order;
        nothing for an id that is not there, whose folder is tidied up all the same.
    .PARAMETER Id
        Ids of VMs.
    .PARAMETER ClusterId
        Cluster id that their mark must bear.
    .PARAMETER KeepMark
        The folder stays with its provision.json, and nothing else: it says which VM was the machine, where copies of it are left.
    .EXAMPLE
        Remove-TalosVM -Id 1b3c5a0e-7d0c-4c55-9a7e-0c9d2f6b1a11 -ClusterId 6f9d0c52
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.VM')]
    param(
        [Parameter(Mandatory = $true)]
        [string[]]$Id,

        [Parameter(Mandatory = $true)]
        [string]$ClusterId,

        [switch]$KeepMark
    )
    Set-StrictMode -Version 3.0
    $preference = $ErrorActionPreference
    $ErrorActionPreference = 'Stop'
    foreach ($one in $Id) {
        try {
            $all = @(Hyper-V\Get-VM)
            $vm = Find-TalosVM -VM $all -Id $one
            if ($null -eq $vm) {
                foreach ($folder in @(Find-TalosLeftFolder -VMId (ConvertTo-TalosId -Id $one) -ClusterId $ClusterId -VM $all)) {
                    if ($PSCmdlet.ShouldProcess($folder, 'Remove the folder of a removed VM')) {
                        Remove-TalosVMFile -VMId (ConvertTo-TalosId -Id $one) -ClusterId $ClusterId -Folder $folder -KeepMark $KeepMark
                    }
                }
                continue
            }
            if ((Get-TalosMarkCluster -Mark (Get-TalosVMMark -VM $vm)) -cne $ClusterId) {
                throw (New-TalosError -Id 'VMNotOurs' -Category ResourceExists -Target $one -Message "The VM '$($vm.Name)' does not bear a mark of the cluster '$ClusterId'.")
            }
            if ($PSCmdlet.ShouldProcess($vm.Name, 'Remove the VM with its disks')) {
                $result = Get-TalosVMResult -VM $vm -Changed $true
                $result.State = 'Off'
                $result.Heartbeat = ''
                $result.UptimeSeconds = [int64]0
                $disks = @($vm.HardDrives | ForEach-Object -Process { "$($_.Path)" })
                $folder = [string]$vm.Path
                Stop-TalosPower -VM $vm
                Hyper-V\Remove-VM -VM $vm -Force -Confirm:$false
                Remove-TalosVMFile -VMId $result.Id -ClusterId $ClusterId -Folder $folder -DiskPath $disks -KeepMark $KeepMark
                if (-not $KeepMark) {
                    # Where its storage was moved, the record stayed behind.
                    foreach ($left in @(Find-TalosLeftFolder -VMId $result.Id -ClusterId $ClusterId -VM $all)) {
                        Remove-TalosVMFile -VMId $result.Id -ClusterId $ClusterId -Folder $left
                    }
                }
                $result
            }
        }
        catch {
            Write-TalosError -Cmdlet $PSCmdlet -Failure $_ -Target $one -Preference $preference
        }
    }
}
