function Remove-TalosImage {
    <#
    .SYNOPSIS
        Removes an image that we downloaded. One that is not there is success.
    .DESCRIPTION
        An image without the record of our download, and one that a DVD drive of any VM holds, is refused.
    .PARAMETER Path
        Path of the image.
    .EXAMPLE
        Remove-TalosImage -Path C:\ProgramData\TalosHyperV\images\metal-amd64.iso
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.Image')]
    param(
        [Parameter(Mandatory = $true)]
        [string]$Path
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $result = Get-TalosImageResult -Path $Path -Changed $false
        if ($result.Exists) {
            if (-not $result.Ours) {
                throw (New-TalosError -Id 'ImageNotOurs' -Category PermissionDenied -Target $Path -Message "'$Path' has no record of a download beside it.")
            }
            $names = @((Get-TalosImageHolder)[$Path.ToLowerInvariant()] | Where-Object -FilterScript { "$_" -ne '' })
            if ($names.Count -gt 0) {
                throw (New-TalosError -Id 'ImageInUse' -Category ResourceBusy -Target $Path -Message "'$Path' is in the DVD drive of $($names -join ', ').")
            }
        }
        if ($result.Exists -or $result.Ours) {
            if ($PSCmdlet.ShouldProcess($Path, 'Remove the image')) {
                $ConfirmPreference = 'None'  # asked once, for all of it
                # The record last: until then the rest is known as ours.
                Remove-TalosFile -Path "$Path.partial"
                Remove-TalosFile -Path $Path
                Remove-TalosFile -Path "$Path.provision.json"
                $result.Changed = $true
            }
            elseif (-not $WhatIfPreference) {
                return $result
            }
        }
        $result.Exists = $false
        $result.Ours = $false
        $result.SizeBytes = [int64]0
        $result.Uri = ''
        $result
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Path))
    }
}
