function Get-TalosFolder {
    <#
    .SYNOPSIS
        Lists the folders that were made for VMs on this host, also those whose VM is gone.
    .DESCRIPTION
        Writes one object per folder with a mark: below Path, below the host's own folder for virtual disks, and beside the folders of VMs.
        The id in it tells which VM was made there, and so tells that VM from a copy of it.
    .PARAMETER Path
        A parent folder to look into, beside those that are known to the host.
    .EXAMPLE
        Get-TalosFolder -Path D:\VMs
    #>
    [CmdletBinding()]
    [OutputType('TalosHyperV.Folder')]
    param(
        [string]$Path = ''
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        Get-TalosMarkedFolder -Path $Path -VM @(Hyper-V\Get-VM)
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Path))
    }
}
