function Stop-TalosVM {
    <#
    .SYNOPSIS
        Asks the guests of VMs to shut down and waits for them, or cuts their power; one that is Off is kept.
    .DESCRIPTION
        All guests are asked first and then waited for, 120 seconds in all. A guest that does not answer, or not in time, is an error, and
        its power is not cut. Writes one object or one error per id, in the order of the ids.
    .PARAMETER Id
        Ids of VMs.
    .PARAMETER TurnOff
        Cuts the power at once.
    .EXAMPLE
        Stop-TalosVM -Id 1b3c5a0e-7d0c-4c55-9a7e-0c9d2f6b1a11
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.VM')]
    param(
        [Parameter(Mandatory = $true)]
        [string[]]$Id,

        [switch]$TurnOff
    )
    Set-StrictMode -Version 3.0
    $preference = $ErrorActionPreference
    $ErrorActionPreference = 'Stop'
    $asked = foreach ($one in $Id) {
        $item = @{ Id = $one; VM = $null; Change = $false; Failure = $null }
        try {
            $item.VM = Resolve-TalosVM -Id $one
            if ("$($item.VM.State)" -ne 'Off') {
                if (-not $PSCmdlet.ShouldProcess($item.VM.Name, $(if ($TurnOff) { 'Turn off' } else { 'Shut down' }))) {
                    continue
                }
                $item.Change = $true
                if ($TurnOff) {
                    Stop-TalosPower -VM $item.VM
                }
                elseif ("$($item.VM.State)" -ne 'Stopping' -and -not (Request-TalosShutdown -VM $item.VM)) {
                    throw (New-TalosError -Id 'VMStopTimeout' -Category OperationTimeout -Target $one -Message "The guest of '$($item.VM.Name)' does not answer to a request to shut down.")
                }
            }
        }
        catch {
            $item.Failure = $_
        }
        $item
    }
    $left = 120
    foreach ($item in $asked) {
        try {
            if ($null -ne $item.Failure) {
                Write-TalosError -Cmdlet $PSCmdlet -Failure $item.Failure -Target $item.Id -Preference $preference
                continue
            }
            if ($item.Change) {
                $rest = Wait-TalosVMOff -VM $item.VM -Seconds $left
                $left = [System.Math]::Max(0, $rest)
                if ($rest -lt 0) {
                    throw (New-TalosError -Id 'VMStopTimeout' -Category OperationTimeout -Target $item.Id -Message "The guest of '$($item.VM.Name)' did not shut down within 120 s.")
                }
            }
            Get-TalosVMResult -VM $item.VM -Changed $item.Change
        }
        catch {
            Write-TalosError -Cmdlet $PSCmdlet -Failure $_ -Target $item.Id -Preference $preference
        }
    }
}
