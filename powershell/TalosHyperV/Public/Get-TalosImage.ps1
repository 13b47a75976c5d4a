function Get-TalosImage {
    <#
    .SYNOPSIS
        Tells about image files on this host: size, hash, origin and the VMs that hold them.
    .DESCRIPTION
        Writes one object per path, in the order of the paths; one that is not there has Exists false. Without -Verify the hash comes from the
        record of the download, as long as size and time of the file are those of then.
    .PARAMETER Path
        Paths of image files; a bare file name lies in the host's folder for images.
    .PARAMETER Verify
        Hashes the files now.
    .EXAMPLE
        Get-TalosImage -Path C:\ProgramData\TalosHyperV\images\metal-amd64.iso -Verify
    #>
    [CmdletBinding()]
    [OutputType('TalosHyperV.Image')]
    param(
        [Parameter(Mandatory = $true)]
        [string[]]$Path,

        [switch]$Verify
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $holders = Get-TalosImageHolder
        foreach ($one in $Path) {
            $full = Resolve-TalosImagePath -Path $one
            $hash = ''
            if (Test-TalosFile -Path $full) {
                $hash = Get-TalosImageHash -Path $full -Verify:$Verify
            }
            Get-TalosImageResult -Path $full -Sha256 $hash -VMName @($holders[$full.ToLowerInvariant()]) -Changed $false
        }
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target ($Path -join ', ')))
    }
}
