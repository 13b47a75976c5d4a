function Dismount-TalosIso {
    <#
    .SYNOPSIS
        Empties every DVD drive of VMs; the drives stay.
    .DESCRIPTION
        Works while a VM runs. Writes one object or one error per id, in the order of the ids.
    .PARAMETER Id
        Ids of VMs.
    .EXAMPLE
        Dismount-TalosIso -Id 1b3c5a0e-7d0c-4c55-9a7e-0c9d2f6b1a11
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.VM')]
    param(
        [Parameter(Mandatory = $true)]
        [string[]]$Id
    )
    Set-StrictMode -Version 3.0
    $preference = $ErrorActionPreference
    $ErrorActionPreference = 'Stop'
    foreach ($one in $Id) {
        try {
            $vm = Resolve-TalosVM -Id $one
            $full = @(Hyper-V\Get-VMDvdDrive -VM $vm | Where-Object -FilterScript { "$($_.Path)" -ne '' })
            if ($full.Count -eq 0) {
                Get-TalosVMResult -VM $vm -Changed $false
            }
            elseif ($PSCmdlet.ShouldProcess($vm.Name, 'Eject')) {
                foreach ($drive in $full) {
                    Hyper-V\Set-VMDvdDrive -VMDvdDrive $drive -Path $null
                }
                Get-TalosVMResult -VM $vm -Changed $true
            }
        }
        catch {
            Write-TalosError -Cmdlet $PSCmdlet -Failure $_ -Target $one -Preference $preference
        }
    }
}
