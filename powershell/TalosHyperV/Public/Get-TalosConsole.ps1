function Get-TalosConsole {
    <#
    .SYNOPSIS
        Takes a picture of the screen of a running VM.
    .DESCRIPTION
        The picture is RGB565, little-endian, row by row from the top, as base64 text.
    .PARAMETER Id
        Id of the VM.
    .PARAMETER Width
        Width in pixels; the native size of the firmware's screen by default, and it should not be exceeded.
    .PARAMETER Height
        Height in pixels.
    .EXAMPLE
        Get-TalosConsole -Id 1b3c5a0e-7d0c-4c55-9a7e-0c9d2f6b1a11
    #>
    [CmdletBinding()]
    [OutputType('TalosHyperV.Console')]
    param(
        [Parameter(Mandatory = $true)]
        [string]$Id,

        [int32]$Width = 1024,

        [int32]$Height = 768
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        Assert-TalosAdministrator -Target $Id -Task 'read the screen of a VM'
        $vm = Resolve-TalosVM -Id $Id
        if ("$($vm.State)" -ne 'Running') {
            throw (New-TalosError -Id 'VMNotRunning' -Category InvalidOperation -Target $Id -Message "The VM '$($vm.Name)' is $($vm.State).")
        }
        $namespace = 'root/virtualization/v2'
        $realized = "VirtualSystemType='Microsoft:Hyper-V:System:Realized'"
        # The method wants the settings in force, not the VM itself.
        $settings = Get-CimInstance -Namespace $namespace -ClassName Msvm_VirtualSystemSettingData -Filter $realized |
            Where-Object -FilterScript { (ConvertTo-TalosId -Id $_.VirtualSystemIdentifier) -eq (ConvertTo-TalosId -Id $vm.Id) } |
            Select-Object -First 1
        $service = Get-CimInstance -Namespace $namespace -ClassName Msvm_VirtualSystemManagementService
        $answer = Invoke-CimMethod -InputObject $service -MethodName GetVirtualSystemThumbnailImage -Arguments @{
            TargetSystem = $settings
            WidthPixels  = [uint16]$Width
            HeightPixels = [uint16]$Height
        }
        if ($answer.ReturnValue -ne 0) {
            throw (New-TalosError -Id "HyperV.$($answer.ReturnValue)" -Category InvalidResult -Target $Id -Message "Hyper-V gives no picture of '$($vm.Name)': $($answer.ReturnValue).")
        }
        [byte[]]$image = $answer.ImageData
        $pixels = $Width * $Height * 2
        $prefix = $image.Length - $pixels
        # Some builds put the total length in front: 4 bytes, big-endian.
        $said = 0
        if ($prefix -eq 4) {
            foreach ($byte in $image[0..3]) { $said = $said * 256 + $byte }
        }
        if ($prefix -ne 0 -and $said -ne $image.Length) {
            throw (New-TalosError -Id 'HyperV.ImageData' -Category InvalidResult -Target $Id -Message "A picture of $Width x $Height takes $pixels bytes; Hyper-V gave $($image.Length).")
        }
        [pscustomobject]@{
            PSTypeName = 'TalosHyperV.Console'
            Id         = ConvertTo-TalosId -Id $vm.Id
            Name       = [string]$vm.Name
            Width      = $Width
            Height     = $Height
            Pixels     = [System.Convert]::ToBase64String($image, $prefix, $pixels)
        }
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Id))
    }
}
