function Get-TalosImageFolder {
    # Where images lie that are named without a folder.
    [CmdletBinding()]
    param()
    Join-TalosPath -Parent $env:ProgramData -Child 'TalosHyperV\images'
}

function Resolve-TalosImagePath {
    # The full path of an image: a bare file name lies in the host's folder for images.
    [CmdletBinding()]
    param([string]$Path)
    if ($Path.Contains('\')) {
        return $Path
    }
    Join-TalosPath -Parent (Get-TalosImageFolder) -Child $Path
}

function Get-TalosImageRecord {
    # The record beside an image that we downloaded, or nothing.
    [CmdletBinding()]
    param([string]$Path)
    Read-TalosJson -Path "$Path.provision.json"
}

function Get-TalosImagePart {
    # The files in which downloads of an image load, or have loaded before they were killed: each has a name of its own, so that two who load the
    # same image do not meet. Fresh: written to within ten minutes.
    [CmdletBinding()]
    param([string]$Path)
    $folder = Get-TalosParentPath -Path $Path
    if ($folder -eq '' -or -not (Test-Path -LiteralPath $folder -PathType Container)) {
        return
    }
    $pattern = '^' + [regex]::Escape($Path.Substring($folder.Length + 1)) + '((\.[0-9a-f]{32})?\.(partial|sums)|\.provision\.json(\.[0-9a-f]{32})?\.new)$'
    foreach ($file in @(Get-ChildItem -LiteralPath $folder -File -Force)) {
        if ($file.Name -match $pattern) {
            [pscustomobject]@{
                Path  = Join-TalosPath -Parent $folder -Child $file.Name
                Fresh = ((Get-Date).ToUniversalTime() - $file.LastWriteTimeUtc).TotalMinutes -lt 10
            }
        }
    }
}

function Remove-TalosImagePart {
    # Deletes what killed downloads of an image left. One that is at work keeps its file: Windows deletes none that is open, and between loading,
    # hashing and renaming the file is fresh. Tells whether there is one.
    [CmdletBinding()]
    param([string]$Path)
    $working = $false
    foreach ($part in @(Get-TalosImagePart -Path $Path)) {
        try {
            if ($part.Fresh) {
                $working = $true
            }
            else {
                Remove-TalosFile -Path $part.Path
            }
        }
        catch {
            Write-Verbose -Message "$($part.Path) is in use: $_"
            $working = $true
        }
    }
    $working
}

function Get-TalosImageHolder {
    # Lower-case path -> names of the VMs with a DVD drive that holds it.
    [CmdletBinding()]
    param()
    $holders = @{}
    $all = @(Hyper-V\Get-VM)
    if ($all.Count -gt 0) {
        foreach ($drive in (Hyper-V\Get-VMDvdDrive -VM $all)) {
            $key = "$($drive.Path)".ToLowerInvariant()
            $holders[$key] = @($holders[$key]) + @([string]$drive.VMName)
        }
    }
    $holders
}

function Get-TalosImageUser {
    # Names of the VMs that hold an image in a DVD drive.
    [CmdletBinding()]
    param([string]$Path)
    $holders = Get-TalosImageHolder
    if ($holders.ContainsKey($Path.ToLowerInvariant())) {
        $holders[$Path.ToLowerInvariant()] | Where-Object -FilterScript { "$_" -ne '' }
    }
}

function Get-TalosImageHash {
    # SHA-256 of a file as lower-case hex: from the record where size and time still fit, or counted now.
    [CmdletBinding()]
    param(
        [string]$Path,
        [switch]$Verify
    )
    $file = Get-Item -LiteralPath $Path -Force
    $record = Get-TalosImageRecord -Path $Path
    $recorded = (Get-TalosMember -InputObject $record -Name 'sizeBytes') -eq "$($file.Length)" -and
        (Get-TalosMember -InputObject $record -Name 'modifiedUtc') -eq (ConvertTo-TalosTime -Date $file.LastWriteTimeUtc)
    if ($Verify) {
        return (Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash.ToLowerInvariant()
    }
    if ($recorded) {
        return Get-TalosMember -InputObject $record -Name 'sha256'
    }
    ''
}

function Get-TalosImageResult {
    # What is at a path, as a result of this module.
    [CmdletBinding()]
    param(
        [string]$Path,
        [string]$Sha256,
        [string[]]$VMName,
        [bool]$Changed
    )
    $exists = Test-TalosFile -Path $Path
    $record = Get-TalosImageRecord -Path $Path
    $parts = @(Get-TalosImagePart -Path $Path)
    [pscustomobject]@{
        PSTypeName = 'TalosHyperV.Image'
        Path       = $Path
        Exists     = $exists
        SizeBytes  = if ($exists) { [int64](Get-Item -LiteralPath $Path -Force).Length } else { [int64]0 }
        Sha256     = $Sha256
        Ours       = $null -ne $record
        Uri        = Get-TalosMember -InputObject $record -Name 'uri'
        Download   = if (@($parts | Where-Object -FilterScript { $_.Fresh }).Count -gt 0) { 'Running' } elseif ($parts.Count -gt 0) { 'Left' } else { '' }
        VMNames    = [string[]]@($VMName | Where-Object -FilterScript { "$_" -ne '' })
        Changed    = $Changed
    }
}

function Save-TalosWebFile {
    # Downloads one file. The only place that touches the web: Invoke-WebRequest streams to -OutFile in both PowerShells and follows the
    # redirects of the Image Factory. BITS needs a logon that WinRM does not give.
    [CmdletBinding()]
    param(
        [string]$Uri,
        [string]$OutFile,
        [string]$Target
    )
    if ($PSVersionTable.PSEdition -ne 'Core') {
        # Windows PowerShell draws its bar for each 10 KB, which takes longer than the download; and on old hosts it offers TLS 1.0.
        $ProgressPreference = 'SilentlyContinue'
        [System.Net.ServicePointManager]::SecurityProtocol = [System.Net.ServicePointManager]::SecurityProtocol -bor [System.Net.SecurityProtocolType]::Tls12
    }
    try {
        Invoke-WebRequest -Uri $Uri -OutFile $OutFile -UseBasicParsing
    }
    catch {
        # 0x80070070 and 0x80070027: the disk is full.
        if (Test-TalosFailure -Failure $_ -HResult '80070070', '80070027') {
            throw (New-TalosError -Id 'ImageNoSpace' -Category ResourceUnavailable -Target $Target -Message $_.Exception.Message -Cause $_.Exception)
        }
        $status = ''
        $response = $_.Exception.PSObject.Properties['Response']
        if ($null -ne $response -and $null -ne $response.Value) {
            $status = 'HTTP status {0}: ' -f [int32]$response.Value.StatusCode
        }
        throw (New-TalosError -Id 'ImageDownload' -Category ConnectionError -Target $Uri -Message ("$Uri could not be downloaded. $status" + $_.Exception.Message) -Cause $_.Exception)
    }
}

function Find-TalosChecksum {
    # The SHA-256 of a file name in a list of sums such as Talos' releases publish: `<hash>  <name>` per line.
    [CmdletBinding()]
    param(
        [string]$Uri,
        [string]$FileName,
        [string]$TemporaryPath,
        [string]$Target
    )
    Save-TalosWebFile -Uri $Uri -OutFile $TemporaryPath -Target $Target
    $lines = @(Get-Content -LiteralPath $TemporaryPath)
    Remove-TalosFile -Path $TemporaryPath
    foreach ($line in $lines) {
        if ($line -match '^\s*([0-9A-Fa-f]{64})\s+\*?(\S+)\s*$' -and ($Matches[2] -split '/')[-1] -ceq $FileName) {
            return $Matches[1].ToLowerInvariant()
        }
    }
    throw (New-TalosError -Id 'ImageChecksum' -Category InvalidData -Target $Uri -Message "$Uri has no line for $FileName.")
}
