function Remove-TalosFolder {
    <#
    .SYNOPSIS
        Deletes the folder of a VM that is gone, with the disks in it. One that is not there is success.
    .DESCRIPTION
        Only a folder with a mark of that cluster, and only where no VM lives in it or has a disk in it. The mark goes last: what could not be
        deleted, as it is in use after 30 seconds, is found again. Writes the folder as it was, and nothing for one that is not there.
    .PARAMETER Path
        The folder.
    .PARAMETER ClusterId
        Cluster id that its mark must bear.
    .EXAMPLE
        Remove-TalosFolder -Path D:\VMs\cp-1 -ClusterId 6f9d0c52
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.Folder')]
    param(
        [Parameter(Mandatory = $true)]
        [string]$Path,

        [Parameter(Mandatory = $true)]
        [string]$ClusterId
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $all = @(Hyper-V\Get-VM)
        if (-not (Test-Path -LiteralPath $Path -PathType Container)) {
            return
        }
        $folder = ConvertTo-TalosFolder -Path $Path
        if ($null -eq $folder -or (Get-TalosMarkCluster -Mark $folder.Mark) -cne $ClusterId) {
            throw (New-TalosError -Id 'FolderNotOurs' -Category PermissionDenied -Target $Path -Message "The folder '$Path' does not bear a mark of the cluster '$ClusterId'.")
        }
        $users = @(Get-TalosFolderUser -Folder $Path -VM $all)
        if ($users.Count -gt 0) {
            throw (New-TalosError -Id 'FolderInUse' -Category ResourceBusy -Target $Path -Message "The folder '$Path' is used by $($users -join ', ').")
        }
        if ($PSCmdlet.ShouldProcess($Path, 'Remove the folder of a removed VM')) {
            $ConfirmPreference = 'None'  # asked once, for all of it
            if (-not (Remove-TalosVMFolder -Folder $Path -Seconds 30)) {
                throw (New-TalosError -Id 'VMFilesLocked' -Category ResourceBusy -Target $Path -Message "Files in '$Path' are in use.")
            }
            $folder.Changed = $true
            $folder
        }
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Path))
    }
}
