function Save-TalosImage {
    <#
    .SYNOPSIS
        Downloads an image to this host and checks its hash; one that is there with the right hash is kept.
    .DESCRIPTION
        Loads to <Path>.partial, hashes, renames, and writes a record beside it. Until the hash is found right nothing is at Path.
    .PARAMETER Uri
        Where the image is.
    .PARAMETER Path
        Where it goes; a bare file name lies in the host's folder for images.
    .PARAMETER Sha256
        Its hash, as hex. Without it, that of Sha256Uri.
    .PARAMETER Sha256Uri
        A list of hashes, of which the line that ends in the file name of Uri counts. Without both, any hash is right and is told.
    .EXAMPLE
        Save-TalosImage -Uri https://example.com/metal-amd64.iso -Path C:\ProgramData\TalosHyperV\images\metal-amd64.iso -Sha256Uri https://example.com/sha256sum.txt
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.Image')]
    param(
        [Parameter(Mandatory = $true)]
        [string]$Uri,

        [Parameter(Mandatory = $true)]
        [string]$Path,

        [string]$Sha256 = '',

        [string]$Sha256Uri = ''
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    $full = Resolve-TalosImagePath -Path $Path
    $partial = "$full.partial"
    $fileName = ($Uri -split '[?#]')[0] -replace '^.*/', ''
    $activity = "Image $fileName"
    try {
        $wanted = $Sha256.ToLowerInvariant()
        $exists = Test-TalosFile -Path $full
        if ($exists -and $wanted -eq '' -and $Sha256Uri -eq '') {
            return Get-TalosImageResult -Path $full -Sha256 (Get-TalosImageHash -Path $full -Verify) -VMName @((Get-TalosImageHolder)[$full.ToLowerInvariant()]) -Changed $false
        }
        if ($exists -and $wanted -ne '' -and (Get-TalosImageHash -Path $full -Verify) -eq $wanted) {
            return Get-TalosImageResult -Path $full -Sha256 $wanted -VMName @((Get-TalosImageHolder)[$full.ToLowerInvariant()]) -Changed $false
        }
        if (-not $PSCmdlet.ShouldProcess($full, "Download $Uri")) {
            if ($WhatIfPreference) {
                $result = Get-TalosImageResult -Path $full -Sha256 $wanted -Changed $false
                $result.Exists = $true
                $result.SizeBytes = [int64]0
                $result.Ours = $true
                $result.Uri = $Uri
                $result
            }
            return
        }
        $ConfirmPreference = 'None'  # asked once, for all of it
        Confirm-TalosFolder -Path (Get-TalosParentPath -Path $full)
        if ($wanted -eq '' -and $Sha256Uri -ne '') {
            $wanted = Find-TalosChecksum -Uri $Sha256Uri -FileName $fileName -TemporaryPath "$full.sums" -Target $Path
            if ($exists -and (Get-TalosImageHash -Path $full -Verify) -eq $wanted) {
                return Get-TalosImageResult -Path $full -Sha256 $wanted -VMName @((Get-TalosImageHolder)[$full.ToLowerInvariant()]) -Changed $false
            }
        }
        Remove-TalosFile -Path $full
        Remove-TalosFile -Path "$full.provision.json"

        Write-Progress -Activity $activity -Status "from $Uri" -PercentComplete 0
        Save-TalosWebFile -Uri $Uri -OutFile $partial -Target $Path
        Write-Progress -Activity $activity -Status 'checking its hash' -PercentComplete 90
        $hash = (Get-FileHash -LiteralPath $partial -Algorithm SHA256).Hash.ToLowerInvariant()
        if ($wanted -ne '' -and $hash -ne $wanted) {
            throw (New-TalosError -Id 'ImageChecksum' -Category InvalidData -Target $Path -Message "The SHA-256 of $Uri is $hash; expected is $wanted.")
        }
        Move-Item -LiteralPath $partial -Destination $full -Force
        $file = Get-Item -LiteralPath $full -Force
        Write-TalosJson -Path "$full.provision.json" -Value ([ordered]@{
                uri         = $Uri
                sha256      = $hash
                sizeBytes   = [int64]$file.Length
                modifiedUtc = ConvertTo-TalosTime -Date $file.LastWriteTimeUtc
            })
        Write-Progress -Activity $activity -Status 'done' -PercentComplete 100
        Write-Progress -Activity $activity -Completed
        Get-TalosImageResult -Path $full -Sha256 $hash -Changed $true
    }
    catch {
        $failure = $_
        try {
            Remove-TalosFile -Path $partial
            Remove-TalosFile -Path "$full.sums"
        }
        catch {
            Write-Warning -Message "What was loaded of $Uri could not be removed: $_"
        }
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $failure -Target $Path))
    }
}
