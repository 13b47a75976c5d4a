function Set-TalosSwitch {
    <#
    .SYNOPSIS
        Hands a switch of one cluster over to another one: changes the mark in its Notes.
    .DESCRIPTION
        What else stands in the Notes stays, and so does the switch itself: nothing of the network is touched. A switch that bears the new
        mark already is kept.
    .PARAMETER Name
        Name of the switch.
    .PARAMETER ClusterId
        Cluster id that its present mark must bear.
    .PARAMETER Mark
        The line by which it is known from now on.
    .EXAMPLE
        Set-TalosSwitch -Name LAB -ClusterId 6f9d0c52 -Mark 'provision/1 cluster=0a1b2c3d machine=switch:LAB'
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.Switch')]
    param(
        [Parameter(Mandatory = $true)]
        [string]$Name,

        [Parameter(Mandatory = $true)]
        [string]$ClusterId,

        [Parameter(Mandatory = $true)]
        [string]$Mark
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $present = Find-TalosSwitch -Name $Name
        if ($null -eq $present) {
            throw (New-TalosError -Id 'SwitchNotFound' -Category ObjectNotFound -Target $Name -Message "There is no virtual switch '$Name'.")
        }
        $before = Find-TalosMark -Text $present.Notes
        if ($before -ceq $Mark) {
            return Get-TalosSwitchResult -Name $Name -VMSwitch $present -Changed $false
        }
        Assert-TalosSwitchOurs -VMSwitch $present -ClusterId $ClusterId -Target $Name
        $notes = @(foreach ($line in ("$($present.Notes)" -split '\r?\n')) { if ($line -ceq $before) { $Mark } else { $line } }) -join "`n"
        if ($PSCmdlet.ShouldProcess($Name, 'Hand the switch over')) {
            Hyper-V\Set-VMSwitch -VMSwitch $present -Notes $notes -Confirm:$false
            Get-TalosSwitchResult -Name $Name -VMSwitch (Find-TalosSwitch -Name $Name) -Changed $true
        }
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Name))
    }
}
