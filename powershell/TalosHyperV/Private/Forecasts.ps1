# What a function would leave behind: the answers to -WhatIf.

function Get-TalosNewVMForecast {
    # The VM that New-TalosVM would make. -VM is the half-made one that it would finish, if there is one.
    [CmdletBinding()]
    param(
        [System.Collections.IDictionary]$Request,
        [object]$VM,
        [string]$Folder,
        [string]$DiskPath
    )
    # A new dynamic VHDX takes 4 MiB.
    $drives = @(
        [ordered]@{ Kind = 'disk'; Path = $DiskPath; ControllerNumber = 0; ControllerLocation = 0; SizeBytes = [int64]$Request.DiskBytes; FileBytes = [int64]4MB; Exists = $true }
        [ordered]@{ Kind = 'dvd'; Path = $Request.IsoPath; ControllerNumber = 0; ControllerLocation = 1; SizeBytes = [int64]0 }
    )
    [pscustomobject]@{
        PSTypeName           = 'TalosHyperV.VM'
        Id                   = if ($null -ne $VM) { ConvertTo-TalosId -Id $VM.Id } else { '00000000-0000-0000-0000-000000000000' }
        Name                 = [string]$Request.Name
        State                = if ($Request.ContainsKey('Start') -and $Request.Start) { 'Running' } else { 'Off' }
        Generation           = [int32]2
        Cpus                 = [int32]$Request.Cpus
        MemoryBytes          = [int64]$Request.MemoryBytes
        DynamicMemory        = $false
        MacAddress           = ConvertTo-TalosMac -MacAddress $Request.MacAddress
        StaticMac            = $true
        Switch               = [string]$Request.SwitchName
        VlanId               = [int32]$(if ($Request.ContainsKey('VlanId')) { $Request.VlanId } else { 0 })
        Connected            = $true
        Addresses            = [string[]]@()
        Drives               = ConvertTo-TalosJson -Item $drives
        BootOrder            = [string[]]@('disk', 'dvd', 'network')
        SecureBoot           = $false
        AutomaticCheckpoints = $false
        CheckpointType       = 'Disabled'
        StartAction          = 'Start'
        StopAction           = 'ShutDown'
        StartDelaySeconds    = [int32]$(if ($Request.ContainsKey('StartDelaySeconds')) { $Request.StartDelaySeconds } else { 0 })
        Heartbeat            = ''
        UptimeSeconds        = [int64]0
        BiosUuid             = ''
        Notes                = [string]$Request.Mark
        Mark                 = [string]$Request.Mark
        Folder               = $Folder
        Complete             = $true
        Changed              = $false
    }
}

function Get-TalosVMForecast {
    # A VM as it is, but in another power state.
    [CmdletBinding()]
    param(
        [object]$VM,
        [string]$State
    )
    $result = Get-TalosVMResult -VM $VM -Changed $false
    $result.State = $State
    if ($State -eq 'Off') {
        $result.Heartbeat = ''
        $result.UptimeSeconds = [int64]0
    }
    $result
}

function Get-TalosIsoForecast {
    # A VM as it is, but with this ISO in its first DVD drive, or with all of them empty where the path is.
    [CmdletBinding()]
    param(
        [object]$VM,
        [string]$IsoPath
    )
    $result = Get-TalosVMResult -VM $VM -Changed $false
    $drives = @(Get-TalosVMDrive -VM $VM -Disk (Get-TalosDisk -VM @($VM)))
    $dvds = @($drives | Where-Object -FilterScript { $_.Kind -eq 'dvd' })
    if ($IsoPath -eq '') {
        foreach ($drive in $dvds) { $drive.Path = '' }
    }
    elseif ($dvds.Count -gt 0) {
        $dvds[0].Path = $IsoPath
    }
    else {
        $drives += [ordered]@{ Kind = 'dvd'; Path = $IsoPath; ControllerNumber = 0; ControllerLocation = 1; SizeBytes = [int64]0 }
    }
    $result.Drives = ConvertTo-TalosJson -Item $drives
    $result
}
