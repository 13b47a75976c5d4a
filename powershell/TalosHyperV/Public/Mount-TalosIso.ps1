function Mount-TalosIso {
    <#
    .SYNOPSIS
        Puts an ISO into the DVD drive of VMs; a drive that holds it is kept.
    .DESCRIPTION
        A VM without a DVD drive gets one. Writes one object or one error per id, in the order of the ids.
    .PARAMETER Id
        Ids of VMs.
    .PARAMETER Path
        Path of the ISO on this host.
    .EXAMPLE
        Mount-TalosIso -Id 1b3c5a0e-7d0c-4c55-9a7e-0c9d2f6b1a11 -Path C:\iso\talos.iso
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.VM')]
    param(
        [Parameter(Mandatory = $true)]
        [string[]]$Id,

        [Parameter(Mandatory = $true)]
        [string]$Path
    )
    Set-StrictMode -Version 3.0
    $preference = $ErrorActionPreference
    $ErrorActionPreference = 'Stop'
    foreach ($one in $Id) {
        try {
            $vm = Resolve-TalosVM -Id $one
            Assert-TalosIsoPresent -Path $Path
            if ($PSCmdlet.ShouldProcess($vm.Name, "Mount $Path")) {
                $changed = Set-TalosVMIso -VM $vm -IsoPath $Path
                Get-TalosVMResult -VM $vm -Changed $changed
            }
        }
        catch {
            Write-TalosError -Cmdlet $PSCmdlet -Failure $_ -Target $one -Preference $preference
        }
    }
}
