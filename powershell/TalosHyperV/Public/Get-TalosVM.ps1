function Get-TalosVM {
    <#
    .SYNOPSIS
        Reads VMs of this host: all, those of some ids, or those of one cluster.
    .DESCRIPTION
        Writes one flat object per VM. An id that no VM has writes nothing. Hyper-V that does not answer is an error, never an empty list.
    .PARAMETER Id
        Ids of VMs. Without it, all VMs.
    .PARAMETER ClusterId
        Only VMs whose mark is of this cluster.
    .EXAMPLE
        Get-TalosVM -ClusterId 6f9d0c52
    #>
    [CmdletBinding()]
    [OutputType('TalosHyperV.VM')]
    param(
        [string[]]$Id,
        [string]$ClusterId
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $machines = @(Hyper-V\Get-VM)
        if ($PSBoundParameters.ContainsKey('Id')) {
            $all = $machines
            $machines = @(foreach ($one in $Id) { Find-TalosVM -VM $all -Id $one })
        }
        if ($ClusterId -ne '') {
            $machines = @($machines | Where-Object -FilterScript { (Get-TalosMarkCluster -Mark (Get-TalosVMMark -VM $_)) -ceq $ClusterId })
        }
        ConvertTo-TalosVM -VM $machines -Changed $false
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_))
    }
}
