function Get-TalosSwitch {
    <#
    .SYNOPSIS
        Reads one virtual switch with the last job for it, or all switches.
    .DESCRIPTION
        A name that no switch has gives an object with Exists false, which also tells how a job for it ended.
    .PARAMETER Name
        Name of the switch. Without it, all switches.
    .EXAMPLE
        Get-TalosSwitch -Name LAB
    #>
    [CmdletBinding()]
    [OutputType('TalosHyperV.Switch')]
    param(
        [string]$Name
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        if ($Name -ne '') {
            return Get-TalosSwitchResult -Name $Name -VMSwitch (Find-TalosSwitch -Name $Name) -Changed $false
        }
        foreach ($vmSwitch in @(Hyper-V\Get-VMSwitch)) {
            Get-TalosSwitchResult -Name $vmSwitch.Name -VMSwitch $vmSwitch -Changed $false
        }
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Name))
    }
}
