function Join-TalosPath {
    # Joins by text: Join-Path asks the drive, which may not be there.
    [CmdletBinding()]
    param(
        [string]$Parent,
        [string]$Child
    )
    $Parent.TrimEnd('\') + '\' + $Child
}

function Get-TalosParentPath {
    # The folder that a path lies in; empty for a drive.
    [CmdletBinding()]
    param([string]$Path)
    if ($Path -match '^(.+)\\[^\\]+\\?$') {
        return $Matches[1]
    }
    ''
}

function Test-TalosFile {
    [CmdletBinding()]
    param([string]$Path)
    ($Path -ne '') -and (Test-Path -LiteralPath $Path -PathType Leaf)
}

function Test-TalosGone {
    # Whether a file is certainly not there: the nearest folder above it that is there can be listed, and does not lead to it. A volume that
    # is away, or a folder that may not be read, proves nothing.
    [CmdletBinding()]
    param([string]$Path)
    try {
        if (Test-Path -LiteralPath $Path) {
            return $false
        }
        for ($folder = Get-TalosParentPath -Path $Path; $folder -ne ''; $folder = Get-TalosParentPath -Path $folder) {
            if (Test-Path -LiteralPath "$folder\" -PathType Container) {
                $null = Get-ChildItem -LiteralPath "$folder\" -Force
                return $true
            }
        }
    }
    catch {
        Write-Verbose -Message "$Path cannot be looked for: $_"
    }
    $false
}

function Confirm-TalosFolder {
    # Makes a folder and its parents where they are missing.
    [CmdletBinding()]
    param([string]$Path)
    if (-not (Test-Path -LiteralPath $Path -PathType Container)) {
        $null = New-Item -Path $Path -ItemType Directory -Force
    }
}

function Read-TalosJson {
    # The object in a small JSON file, or nothing: where there is no such file, and where it is not readable as one.
    [CmdletBinding()]
    param([string]$Path)
    if (-not (Test-TalosFile -Path $Path)) {
        return
    }
    try {
        $text = Get-Content -LiteralPath $Path -Raw -Encoding UTF8
        ConvertFrom-Json -InputObject "$text"
    }
    catch {
        Write-Verbose -Message "$Path is not readable: $_"
    }
}

function Get-TalosMember {
    # The text of a property that may be missing, as in a file that another program wrote.
    [CmdletBinding()]
    param(
        [object]$InputObject,
        [string]$Name
    )
    if ($null -ne $InputObject -and $null -ne $InputObject.PSObject.Properties[$Name]) {
        return ConvertTo-TalosTime -Date $InputObject.$Name
    }
    ''
}

function Write-TalosJson {
    # Writes a small JSON file whole: who reads meanwhile sees the old one or the new one. Two who write the same file do not meet.
    [CmdletBinding()]
    param(
        [string]$Path,
        [System.Collections.IDictionary]$Value
    )
    $new = "$Path.$(New-TalosName).new"
    try {
        Set-Content -LiteralPath $new -Value (ConvertTo-Json -InputObject $Value -Compress) -Encoding UTF8
        Move-Item -LiteralPath $new -Destination $Path -Force
    }
    catch {
        Remove-TalosFile -Path $new
        throw
    }
}

function New-TalosName {
    # Part of a file's name that no other has: 32 hex digits.
    [CmdletBinding()]
    param()
    ([string](New-Guid)).Replace('-', '')
}

function Remove-TalosEmptyFolder {
    # Removes a folder of this module's own, and then its parent, as far as nothing is in them.
    [CmdletBinding()]
    param([string]$Path)
    foreach ($folder in $Path, (Get-TalosParentPath -Path $Path)) {
        if (-not (Test-Path -LiteralPath $folder -PathType Container) -or @(Get-ChildItem -LiteralPath $folder -Force).Count -gt 0) {
            return
        }
        Remove-Item -LiteralPath $folder -Force
    }
}

function Remove-TalosFile {
    [CmdletBinding()]
    param([string]$Path)
    if (Test-TalosFile -Path $Path) {
        Remove-Item -LiteralPath $Path -Force
    }
}
