function Remove-TalosSwitch {
    <#
    .SYNOPSIS
        Starts the job that removes a switch of ours which no VM uses. One that is not there is success.
    .DESCRIPTION
        Removing an External switch takes the host's network away for seconds, as making one does; so a task of SYSTEM does it.
    .PARAMETER Name
        Name of the switch.
    .PARAMETER ClusterId
        Cluster id that the mark in its Notes must bear.
    .EXAMPLE
        Remove-TalosSwitch -Name LAB -ClusterId 6f9d0c52
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.Switch')]
    param(
        [Parameter(Mandatory = $true)]
        [string]$Name,

        [Parameter(Mandatory = $true)]
        [string]$ClusterId
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $present = Find-TalosSwitch -Name $Name
        if ($null -eq $present) {
            return Get-TalosSwitchResult -Name $Name -VMSwitch $null -Changed $false
        }
        Assert-TalosSwitchOurs -VMSwitch $present -ClusterId $ClusterId -Target $Name
        $users = @(Get-TalosSwitchUser -VMSwitch $present)
        if ($users.Count -gt 0) {
            throw (New-TalosError -Id 'SwitchInUse' -Category ResourceBusy -Target $Name -Message "The switch '$Name' is used by $($users -join ', ').")
        }
        Assert-TalosAdministrator -Target $Name -Task 'remove a switch'
        Assert-TalosJobOver -Name $Name -Job (Get-TalosJobRecord -Name $Name) -Retry $true
        if ($PSCmdlet.ShouldProcess($Name, 'Remove the switch')) {
            $adapter = Find-TalosSwitchAdapter -VMSwitch $present -Adapter @(Get-NetAdapter -ErrorAction Stop)
            $job = Start-TalosSwitchJob -Name $Name -Request ([ordered]@{
                    Kind     = 'Remove'
                    Adapter  = if ($null -ne $adapter) { [string]$adapter.Name } else { '' }
                    SwitchId = [string]$present.Id
                })
            Get-TalosSwitchResult -Name $Name -VMSwitch $present -Job $job -Changed $true
        }
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Name))
    }
}
