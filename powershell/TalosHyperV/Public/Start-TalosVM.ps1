function Start-TalosVM {
    <#
    .SYNOPSIS
        Starts VMs, and lets paused ones go on; one that runs is kept.
    .DESCRIPTION
        Writes one object or one error per id, in the order of the ids. Returns when Hyper-V runs the VM, which is long before its guest is up.
    .PARAMETER Id
        Ids of VMs.
    .EXAMPLE
        Get-TalosVM -ClusterId 6f9d0c52 | ForEach-Object { Start-TalosVM -Id $_.Id }
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
            if ("$($vm.State)" -in 'Running', 'Starting') {
                Get-TalosVMResult -VM $vm -Changed $false
            }
            elseif ($PSCmdlet.ShouldProcess($vm.Name, 'Start')) {
                Start-TalosOneVM -VM $vm -Target $one
                Get-TalosVMResult -VM $vm -Changed $true
            }
        }
        catch {
            Write-TalosError -Cmdlet $PSCmdlet -Failure $_ -Target $one -Preference $preference
        }
    }
}
