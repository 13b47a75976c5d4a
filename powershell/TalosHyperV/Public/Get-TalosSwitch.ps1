function Get-TalosSwitch {
    <#
    .SYNOPSIS
        Reads one virtual switch with the last job for it, or all switches.
    .DESCRIPTION
        A name that no switch has gives an object with Exists false, which also tells how a job for it ended.
    .PARAMETER Name
        Name of the switch. Without it, all switches.
    .PARAMETER Marked
        With Name: after that switch, each other one that bears a mark, whatever it is called by now.
    .EXAMPLE
        Get-TalosSwitch -Name LAB
    #>
    [CmdletBinding()]
    [OutputType('TalosHyperV.Switch')]
    param(
        [string]$Name,

        [switch]$Marked
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        if ($Name -ne '') {
            $named = Find-TalosSwitch -Name $Name
            Get-TalosSwitchResult -Name $Name -VMSwitch $named -Changed $false
            foreach ($vmSwitch in @(if ($Marked) { Hyper-V\Get-VMSwitch })) {
                $same = $null -ne $named -and "$($vmSwitch.Id)" -eq "$($named.Id)"
                if (-not $same -and (Find-TalosMark -Text $vmSwitch.Notes) -ne '') {
                    Get-TalosSwitchResult -Name $vmSwitch.Name -VMSwitch $vmSwitch -Changed $false
                }
            }
            return
        }
        foreach ($vmSwitch in @(Hyper-V\Get-VMSwitch)) {
            Get-TalosSwitchResult -Name $vmSwitch.Name -VMSwitch $vmSwitch -Changed $false
        }
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Name))
    }
}
