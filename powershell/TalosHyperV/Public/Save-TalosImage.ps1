function Save-TalosImage {
    <#
    .SYNOPSIS
        Downloads an image to this host and checks its hash; one that is there with the right hash is kept.
    .DESCRIPTION
        Loads to a file of its own beside Path, hashes, renames, and writes a record beside it: until the hash is found right nothing is at Path.
        Where another one has loaded the same image meanwhile, that is kept.
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
    $partial = "$full.$(New-TalosName).partial"
    $sums = "$full.$(New-TalosName).sums"
    $fileName = ($Uri -split '[?#]')[0] -replace '^.*/', ''
    $activity = "Image $fileName"
    try {
        $wanted = $Sha256.ToLowerInvariant()
        $exists = Test-TalosFile -Path $full
        if ($exists -and $wanted -eq '' -and $Sha256Uri -eq '') {
            return Get-TalosImageResult -Path $full -Sha256 (Get-TalosImageHash -Path $full -Verify) -VMName (Get-TalosImageUser -Path $full) -Changed $false
        }
        if ($exists -and $wanted -ne '' -and (Get-TalosImageHash -Path $full -Verify) -eq $wanted) {
            return Get-TalosImageResult -Path $full -Sha256 $wanted -VMName (Get-TalosImageUser -Path $full) -Changed $false
        }
        if (-not $PSCmdlet.ShouldProcess($full, "Download $Uri")) {
            return
        }
        $ConfirmPreference = 'None'  # asked once, for all of it
        Confirm-TalosFolder -Path (Get-TalosParentPath -Path $full)
        if ($wanted -eq '' -and $Sha256Uri -ne '') {
            $wanted = Find-TalosChecksum -Uri $Sha256Uri -FileName $fileName -TemporaryPath $sums -Target $Path
            if ($exists -and (Get-TalosImageHash -Path $full -Verify) -eq $wanted) {
                return Get-TalosImageResult -Path $full -Sha256 $wanted -VMName (Get-TalosImageUser -Path $full) -Changed $false
            }
        }
        $null = Remove-TalosImagePart -Path $full
        if ($exists) {
            Remove-TalosFile -Path $full
            Remove-TalosFile -Path "$full.provision.json"
        }

        Write-Progress -Activity $activity -Status "from $Uri" -PercentComplete 0
        Save-TalosWebFile -Uri $Uri -OutFile $partial -Target $Path
        Write-Progress -Activity $activity -Status 'checking its hash' -PercentComplete 90
        $hash = (Get-FileHash -LiteralPath $partial -Algorithm SHA256).Hash.ToLowerInvariant()
        if ($wanted -ne '' -and $hash -ne $wanted) {
            throw (New-TalosError -Id 'ImageChecksum' -Category InvalidData -Target $Path -Message "The SHA-256 of $Uri is $hash; expected is $wanted.")
        }
        if ((Test-TalosFile -Path $full) -and (Get-TalosImageHash -Path $full -Verify) -eq $hash) {
            # Another one was first, and machines may have the file in their drives already.
            return Get-TalosImageResult -Path $full -Sha256 $hash -VMName (Get-TalosImageUser -Path $full) -Changed $false
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
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Path))
    }
    finally {
        # Also when the call is stopped. Each has its own: no other download is touched.
        try {
            Remove-TalosFile -Path $partial
            Remove-TalosFile -Path $sums
        }
        catch {
            Write-Warning -Message "What was loaded of $Uri could not be removed: $_"
        }
    }
}
