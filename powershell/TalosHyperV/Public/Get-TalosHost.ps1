function Get-TalosHost {
    <#
    .SYNOPSIS
        Tells the facts of this host that decide whether a Talos cluster can be built on it.
    .DESCRIPTION
        Windows, PowerShell, Hyper-V, the caller's rights, memory, volumes, physical network adapters and the clock, as one flat object.
        Where Hyper-V or its module is missing, what it would tell is empty.
    .EXAMPLE
        Get-TalosHost
    #>
    [CmdletBinding()]
    [OutputType('TalosHyperV.Host')]
    param()
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $system = Get-CimInstance -ClassName Win32_OperatingSystem
        $computer = Get-CimInstance -ClassName Win32_ComputerSystem
        $service = Get-CimInstance -ClassName Win32_Service -Filter "Name='vmms'"
        $sids = Get-TalosSid
        $hyperV = $null -ne (Get-Command -Name 'Hyper-V\Get-VMHost' -ErrorAction Ignore)

        $diskFolder = ''
        $switches = @()
        if ($hyperV) {
            try {
                $diskFolder = [string](Hyper-V\Get-VMHost).VirtualHardDiskPath
                $switches = @(Hyper-V\Get-VMSwitch | Where-Object -FilterScript { "$($_.SwitchType)" -eq 'External' })
            }
            catch {
                # VmmsStatus and the rights below tell why; the other facts are wanted all the more.
                Write-Verbose -Message "Hyper-V does not answer: $_"
            }
        }

        $network = Get-TalosNetwork
        $adapters = foreach ($adapter in $network.Adapters) {
            if (-not $adapter.HardwareInterface) {
                continue
            }
            $carrier = $adapter
            foreach ($vmSwitch in $switches) {
                if (Find-TalosSwitchAdapter -VMSwitch $vmSwitch -Adapter $adapter) {
                    $shared = Find-TalosHostAdapter -VMSwitch $vmSwitch -Adapter $network.Adapters
                    if ($null -ne $shared) {
                        $carrier = $shared
                    }
                }
            }
            [ordered]@{
                Name            = $adapter.Name
                Description     = $adapter.InterfaceDescription
                MacAddress      = ConvertTo-TalosMac -MacAddress $adapter.MacAddress
                Status          = [string]$adapter.Status
                Media           = [string]$adapter.PhysicalMediaType
                InterfaceGuid   = ConvertTo-TalosId -Id $adapter.InterfaceGuid
                Addresses       = [string[]]@(Get-TalosAddress -Network $network -InterfaceIndex $carrier.InterfaceIndex)
                HasDefaultRoute = (Get-TalosGateway -Network $network -InterfaceIndex $carrier.InterfaceIndex) -ne ''
                LinkSpeed       = [string]$adapter.LinkSpeed
            }
        }
        $volumes = foreach ($volume in (Get-Volume -ErrorAction Stop | Sort-Object -Property DriveLetter)) {
            if ("$($volume.DriveType)" -eq 'Fixed' -and "$($volume.DriveLetter)" -match '^[A-Za-z]$') {
                [ordered]@{
                    Root      = "$($volume.DriveLetter):\"
                    SizeBytes = [int64]$volume.Size
                    FreeBytes = [int64]$volume.SizeRemaining
                }
            }
        }

        [pscustomobject]@{
            PSTypeName            = 'TalosHyperV.Host'
            ComputerName          = [string]$system.CSName
            OSCaption             = [string]$system.Caption
            OSBuild               = [string]$system.BuildNumber
            IsServer              = $system.ProductType -ne 1
            PSVersion             = [string]$PSVersionTable.PSVersion
            PSEdition             = [string]$PSVersionTable.PSEdition
            ModuleVersion         = Get-TalosModuleVersion
            LanguageMode          = [string]$ExecutionContext.SessionState.LanguageMode
            HyperVModule          = $hyperV
            HypervisorPresent     = [bool]$computer.HypervisorPresent
            VmmsStatus            = if ($null -eq $service) { 'NotInstalled' } elseif ($service.State -eq 'Running') { 'Running' } else { 'Stopped' }
            IsAdministrator       = Test-TalosAdministrator -Sid $sids
            IsHyperVAdministrator = $sids -contains 'S-1-5-32-578'
            Processors            = [int32]$computer.NumberOfLogicalProcessors
            MemoryTotalBytes      = [int64]$system.TotalVisibleMemorySize * 1024
            MemoryFreeBytes       = [int64]$system.FreePhysicalMemory * 1024
            TimeUtc               = ConvertTo-TalosTime -Date $system.LocalDateTime
            BootedUtc             = ConvertTo-TalosTime -Date $system.LastBootUpTime
            DiskFolder            = $diskFolder
            ImageFolder           = Get-TalosImageFolder
            Volumes               = ConvertTo-TalosJson -Item $volumes
            Adapters              = ConvertTo-TalosJson -Item $adapters
        }
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_))
    }
}
