function Invoke-TalosSwitchJob {
    # The detached job that makes or removes an External switch. The text of this function is written to a file and run by the task scheduler as
    # SYSTEM: the host's network is gone meanwhile and with it the session of the caller, so it calls nothing of this module.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory = $true)]
        [string]$ParameterFile
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'

    function Get-UtcText {
        (Get-Date).ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", [System.Globalization.CultureInfo]::InvariantCulture)
    }

    function Save-Record {
        # Written whole: who reads meanwhile sees the old record or the new one.
        param([System.Collections.IDictionary]$Record, [string]$Path)
        Set-Content -LiteralPath "$Path.new" -Value (ConvertTo-Json -InputObject $Record -Compress) -Encoding UTF8
        Move-Item -LiteralPath "$Path.new" -Destination $Path -Force
    }

    function Get-Interface {
        # The host's own adapter on the switch, or the physical one where there is no such switch.
        param([object]$VMSwitch, [string]$AdapterName)
        $adapters = @(Get-NetAdapter -ErrorAction Stop)
        if ($null -ne $VMSwitch) {
            $own = @(Hyper-V\Get-VMNetworkAdapter -ManagementOS | Where-Object -FilterScript { "$($_.SwitchId)" -eq "$($VMSwitch.Id)" })
            foreach ($adapter in $adapters) {
                foreach ($one in $own) {
                    if ("$($adapter.InterfaceGuid)".Trim('{', '}') -eq "$($one.DeviceId)".Trim('{', '}')) { return $adapter }
                }
            }
            return
        }
        $adapters | Where-Object -FilterScript { $_.Name -eq $AdapterName } | Select-Object -First 1
    }

    function Get-Setting {
        # What an interface has of the network now. Addresses that Windows gives itself (169.254) are none.
        param([object]$Adapter)
        $index = $Adapter.InterfaceIndex
        $profiles = @(Get-NetConnectionProfile -ErrorAction SilentlyContinue | Where-Object -FilterScript { $_.InterfaceIndex -eq $index })
        @{
            Index     = $index
            Addresses = @(Get-NetIPAddress -AddressFamily IPv4 -ErrorAction Stop | Where-Object -FilterScript { $_.InterfaceIndex -eq $index -and $_.IPAddress -notlike '169.254.*' })
            Gateways  = @(Get-NetRoute -AddressFamily IPv4 -ErrorAction Stop | Where-Object -FilterScript { $_.InterfaceIndex -eq $index -and $_.DestinationPrefix -eq '0.0.0.0/0' } | ForEach-Object -Process { $_.NextHop })
            Dns       = @(Get-DnsClientServerAddress -AddressFamily IPv4 -ErrorAction Stop | Where-Object -FilterScript { $_.InterfaceIndex -eq $index } | ForEach-Object -Process { $_.ServerAddresses })
            Dhcp      = @(Get-NetIPInterface -AddressFamily IPv4 -ErrorAction Stop | Where-Object -FilterScript { $_.InterfaceIndex -eq $index -and "$($_.Dhcp)" -eq 'Enabled' }).Count -gt 0
            Category  = "$(if ($profiles.Count -gt 0) { $profiles[0].NetworkCategory })"
        }
    }

    function Repair-Setting {
        # Windows moves addresses, DNS servers and profile along with the adapter, but not always all of it. What is missing is put back; a
        # failure of that is told in the job's message and left to the watchdog.
        param([hashtable]$Before, [object]$VMSwitch, [string]$AdapterName, [int32]$Seconds)
        for ($second = 0; $second -lt $Seconds; $second++) {
            $adapter = Get-Interface -VMSwitch $VMSwitch -AdapterName $AdapterName
            if ($null -ne $adapter) {
                $now = Get-Setting -Adapter $adapter
                if ($now.Addresses.Count -gt 0 -or ($Before.Addresses.Count -eq 0) -or (-not $Before.Dhcp -and $second -ge 10)) { break }
            }
            Start-Sleep -Seconds 1
        }
        $adapter = Get-Interface -VMSwitch $VMSwitch -AdapterName $AdapterName
        if ($null -eq $adapter) {
            return 'The adapter of the host did not appear.'
        }
        $now = Get-Setting -Adapter $adapter
        $gateways = @($now.Gateways)
        if (-not $Before.Dhcp) {
            foreach ($address in $Before.Addresses) {
                if (@($now.Addresses | Where-Object -FilterScript { $_.IPAddress -eq $address.IPAddress }).Count -gt 0) { continue }
                try {
                    $null = New-NetIPAddress -InterfaceIndex $now.Index -IPAddress $address.IPAddress -PrefixLength $address.PrefixLength -ErrorAction Stop
                }
                catch { "Address $($address.IPAddress): $_" }
            }
            foreach ($gateway in $Before.Gateways) {
                if ($gateways -contains $gateway) { continue }
                try {
                    $null = New-NetRoute -InterfaceIndex $now.Index -DestinationPrefix '0.0.0.0/0' -NextHop $gateway -ErrorAction Stop
                }
                catch { "Gateway ${gateway}: $_" }
            }
        }
        if ($now.Dns.Count -eq 0 -and $Before.Dns.Count -gt 0) {
            try {
                Set-DnsClientServerAddress -InterfaceIndex $now.Index -ServerAddresses $Before.Dns -ErrorAction Stop
            }
            catch { "DNS servers: $_" }
        }
        if ($Before.Category -eq 'Private') {
            # Public would close WinRM's firewall rule. Windows refuses while it still identifies the network.
            for ($attempt = 1; $attempt -le 10; $attempt++) {
                if ((Get-Setting -Adapter $adapter).Category -eq 'Private') { break }
                try {
                    Set-NetConnectionProfile -InterfaceIndex $now.Index -NetworkCategory Private -ErrorAction Stop
                }
                catch {
                    if ($attempt -eq 10) { "Network profile: $_" }
                    Start-Sleep -Seconds 1
                }
            }
        }
    }

    $ask = ConvertFrom-Json -InputObject "$(Get-Content -LiteralPath $ParameterFile -Raw -Encoding UTF8)"
    $record = [ordered]@{ Id = $ask.JobId; Kind = $ask.Kind; State = 'Running'; ErrorId = ''; Message = ''; StartedUtc = Get-UtcText; EndedUtc = '' }
    Save-Record -Record $record -Path $ask.RecordPath
    try {
        if ($ask.Kind -eq 'New') {
            $before = Get-Setting -Adapter (Get-Interface -VMSwitch $null -AdapterName $ask.Adapter)
            $vmSwitch = Hyper-V\New-VMSwitch -Name $ask.Name -NetAdapterName $ask.Adapter -AllowManagementOS $ask.AllowManagementOS -Notes $ask.Mark
            $said = @()
            if ($ask.AllowManagementOS) {
                if ($ask.VlanId -gt 0) {
                    Hyper-V\Set-VMNetworkAdapterVlan -ManagementOS -VMNetworkAdapterName $ask.Name -Access -VlanId $ask.VlanId
                }
                $said = @(Repair-Setting -Before $before -VMSwitch $vmSwitch -AdapterName $ask.Adapter -Seconds 60)
            }
            $record.Message = $said -join ' '

            $record.State = 'Undone'
            for ($second = 0; $second -le $ask.WatchdogSeconds; $second++) {
                if ((Test-Path -LiteralPath $ask.ConfirmPath) -and "$(Get-Content -LiteralPath $ask.ConfirmPath -Raw -Encoding UTF8)".Trim() -eq $ask.JobId) {
                    $record.State = 'Done'
                    break
                }
                Start-Sleep -Seconds 1
            }
            if ($record.State -ne 'Done' -and @(Get-NetRoute -AddressFamily IPv4 -ErrorAction Stop | Where-Object -FilterScript { $_.DestinationPrefix -eq '0.0.0.0/0' }).Count -gt 0) {
                $record.State = 'Done'
            }
            if ($record.State -eq 'Undone') {
                Hyper-V\Remove-VMSwitch -VMSwitch $vmSwitch -Force
                $said += @(Repair-Setting -Before $before -VMSwitch $null -AdapterName $ask.Adapter -Seconds 60)
                $record.ErrorId = 'SwitchUndone'
                $record.Message = (@("After $($ask.WatchdogSeconds) s the host had no default gateway and no one had confirmed: the switch was removed again.") + $said) -join ' '
            }
        }
        else {
            $vmSwitch = Hyper-V\Get-VMSwitch | Where-Object -FilterScript { "$($_.Id)" -eq $ask.SwitchId } | Select-Object -First 1
            if ($null -ne $vmSwitch) {
                $adapter = Get-Interface -VMSwitch $vmSwitch -AdapterName $ask.Adapter
                $before = if ($null -ne $adapter) { Get-Setting -Adapter $adapter } else { $null }
                Hyper-V\Remove-VMSwitch -VMSwitch $vmSwitch -Force
                if ($null -ne $before -and $ask.Adapter -ne '') {
                    $record.Message = @(Repair-Setting -Before $before -VMSwitch $null -AdapterName $ask.Adapter -Seconds 60) -join ' '
                }
            }
            $record.State = 'Done'
        }
    }
    catch {
        $record.State = 'Failed'
        $record.ErrorId = 'HyperV.' + ($_.FullyQualifiedErrorId -split ',')[0]
        $record.Message = $_.Exception.Message
    }
    $record.EndedUtc = Get-UtcText
    # What the job needed goes. The record stays for who asks how it went, but not that of a removal without a word: of it nothing is left.
    $silent = $ask.Kind -eq 'Remove' -and $record.State -eq 'Done' -and "$($record.Message)" -eq ''
    foreach ($path in @($ask.ConfirmPath, $ask.ScriptPath, $ParameterFile) + @(if ($silent) { $ask.RecordPath })) {
        Remove-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
    }
    if (-not $silent) {
        Save-Record -Record $record -Path $ask.RecordPath
    }
    else {
        foreach ($folder in $ask.Folders) {
            if (@(Get-ChildItem -LiteralPath $folder -Force -ErrorAction SilentlyContinue).Count -gt 0) { break }
            Remove-Item -LiteralPath $folder -Force -ErrorAction SilentlyContinue
        }
    }
    Unregister-ScheduledTask -TaskName $ask.TaskName -TaskPath $ask.TaskPath -Confirm:$false -ErrorAction SilentlyContinue
}
