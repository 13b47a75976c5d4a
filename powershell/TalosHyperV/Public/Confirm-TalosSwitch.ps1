function Confirm-TalosSwitch {
    <#
    .SYNOPSIS
        Tells the watchdog of a switch job that the caller reaches the host, so that the job ends as Done.
    .DESCRIPTION
        Waits a few seconds for that. A job that has ended is left as it is.
    .PARAMETER Name
        Name of the switch.
    .PARAMETER JobId
        Id of the job, as New-TalosSwitch gave it.
    .EXAMPLE
        Confirm-TalosSwitch -Name LAB -JobId 0b0a6c3e-1f4b-4a3e-8a52-0c1f7d1f2a11
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.Switch')]
    param(
        [Parameter(Mandatory = $true)]
        [string]$Name,

        [Parameter(Mandatory = $true)]
        [string]$JobId
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $job = Get-TalosJobRecord -Name $Name
        if ($job.Id -eq '' -or $job.Id -ne $JobId) {
            throw (New-TalosError -Id 'SwitchJobNotFound' -Category ObjectNotFound -Target $JobId -Message "There is no job $JobId for the switch '$Name'.")
        }
        $changed = $job.State -eq 'Running'
        if ($changed) {
            if (-not $PSCmdlet.ShouldProcess($Name, 'Confirm')) {
                return
            }
            $confirmPath = Get-TalosJobPath -Name $Name -Extension 'confirm'
            Set-Content -LiteralPath $confirmPath -Value $JobId -Encoding UTF8
            for ($second = 0; $second -lt 10 -and (Get-TalosJobRecord -Name $Name).State -eq 'Running'; $second++) {
                Start-Sleep -Seconds 1
            }
        }
        Get-TalosSwitchResult -Name $Name -VMSwitch (Find-TalosSwitch -Name $Name) -Changed $changed
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $JobId))
    }
}
