function Remove-TalosImage {
    <#
    .SYNOPSIS
        Removes an image that we downloaded. One that is not there is success.
    .DESCRIPTION
        An image without the record of our download is refused, and one that a DVD drive of any VM holds or that another download is bringing.
        What killed downloads left goes too, and the folder for images with the last one.
    .PARAMETER Path
        Path of the image; a bare file name lies in the host's folder for images.
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
    $full = Resolve-TalosImagePath -Path $Path
    try {
        $result = Get-TalosImageResult -Path $full -Changed $false
        if ($result.Exists) {
            if (-not $result.Ours) {
                throw (New-TalosError -Id 'ImageNotOurs' -Category PermissionDenied -Target $Path -Message "'$full' has no record of a download beside it.")
            }
            $names = @(Get-TalosImageUser -Path $full)
            if ($names.Count -gt 0) {
                throw (New-TalosError -Id 'ImageInUse' -Category ResourceBusy -Target $Path -Message "'$full' is in the DVD drive of $($names -join ', ').")
            }
        }
        if ($result.Exists -or $result.Ours -or $result.Download -ne '') {
            if ($result.Download -ne 'Running' -and -not $PSCmdlet.ShouldProcess($full, 'Remove the image')) {
                return
            }
            $ConfirmPreference = 'None'  # asked once, for all of it
            if ($result.Download -eq 'Running' -or (Remove-TalosImagePart -Path $full)) {
                throw (New-TalosError -Id 'ImageInUse' -Category ResourceBusy -Target $Path -Message "'$full' is being downloaded by another caller.")
            }
            # The record last: until then the rest is known as ours.
            Remove-TalosFile -Path $full
            Remove-TalosFile -Path "$full.provision.json"
            if ((Get-TalosParentPath -Path $full) -eq (Get-TalosImageFolder)) {
                Remove-TalosEmptyFolder -Path (Get-TalosImageFolder)
            }
            $result.Changed = $true
        }
        $result.Exists = $false
        $result.Ours = $false
        $result.SizeBytes = [int64]0
        $result.Uri = ''
        $result.Download = ''
        $result
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Path))
    }
}
