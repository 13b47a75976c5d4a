# The folders that we made for VMs, known by the provision.json in them.

function Get-TalosFolderParent {
    # Where folders of VMs are looked for: the one given, the host's own folder for virtual disks, and beside the folders of all VMs. Each once.
    # Only on drives: on a share, where VMs of others may live, none of ours is made, and a session cannot look.
    [CmdletBinding()]
    param(
        [string]$Path,
        [object[]]$VM
    )
    $parents = @($Path, (Hyper-V\Get-VMHost).VirtualHardDiskPath) + @(foreach ($one in $VM) { Get-TalosParentPath -Path $one.Path })
    $seen = @{}
    foreach ($parent in $parents) {
        $key = "$parent".TrimEnd('\').ToLowerInvariant()
        if ($key -match '^[a-z]:' -and -not $seen.ContainsKey($key)) {
            $seen[$key] = $true
            "$parent".TrimEnd('\')
        }
    }
}

function Get-TalosMarkedFolder {
    # The folders that bear a mark, as results of this module.
    [CmdletBinding()]
    param(
        [string]$Path,
        [object[]]$VM
    )
    foreach ($parent in @(Get-TalosFolderParent -Path $Path -VM $VM)) {
        # "C:" alone would be the current folder of the drive
        $inside = if ($parent -match '^[A-Za-z]:$') { "$parent\" } else { $parent }
        $folders = @()
        try {
            if (Test-Path -LiteralPath $inside -PathType Container) {
                $folders = @(Get-ChildItem -LiteralPath $inside -Directory | Sort-Object -Property Name)
            }
        }
        catch [System.UnauthorizedAccessException] {
            Write-Verbose -Message "$inside is not for this account, so none of ours is in it: $_"
        }
        foreach ($child in $folders) {
            $folder = Join-TalosPath -Parent $parent -Child $child.Name
            try {
                ConvertTo-TalosFolder -Path $folder
            }
            catch [System.UnauthorizedAccessException] {
                Write-Verbose -Message "$folder is not for this account, so it is none of ours: $_"
            }
        }
    }
}

function ConvertTo-TalosFolder {
    # A folder as a result of this module, or nothing where it bears no mark.
    [CmdletBinding()]
    param([string]$Path)
    $kept = Read-TalosJson -Path (Join-TalosPath -Parent $Path -Child 'provision.json')
    $mark = Find-TalosMark -Text (Get-TalosMember -InputObject $kept -Name 'mark')
    if ($mark -eq '') {
        return
    }
    $bytes = [int64]0
    foreach ($file in @(Get-ChildItem -LiteralPath $Path -File -Recurse -Force)) {
        if ($file.Name -match '\.a?vhdx?$') {
            $bytes += [int64]$file.Length
        }
    }
    [pscustomobject]@{
        PSTypeName = 'TalosHyperV.Folder'
        Path       = $Path
        Mark       = $mark
        VMId       = ConvertTo-TalosId -Id (Get-TalosMember -InputObject $kept -Name 'vmId')
        DiskBytes  = $bytes
        Changed    = $false
    }
}

function Get-TalosFolderUser {
    # Names of the VMs other than that of an id that live in a folder, or have a disk in it.
    [CmdletBinding()]
    param(
        [string]$Folder,
        [string]$VMId,
        [object[]]$VM
    )
    $inside = $Folder.TrimEnd('\') + '\'
    foreach ($one in $VM) {
        if ((ConvertTo-TalosId -Id $one.Id) -eq $VMId) {
            continue
        }
        foreach ($path in @("$($one.Path)\") + @(foreach ($drive in @($one.HardDrives)) { "$($drive.Path)" })) {
            if ($path.StartsWith($inside, [System.StringComparison]::OrdinalIgnoreCase)) {
                [string]$one.Name
                break
            }
        }
    }
}
