function Get-TalosNetwork {
    # The host's IPv4 configuration as it is now. All of it is read at once: a filter that matches nothing is an error in these cmdlets,
    # and absence would look like a failed read.
    [CmdletBinding()]
    param()
    @{
        Adapters  = @(Get-NetAdapter -ErrorAction Stop)
        Addresses = @(Get-NetIPAddress -AddressFamily IPv4 -ErrorAction Stop)
        Routes    = @(Get-NetRoute -AddressFamily IPv4 -ErrorAction Stop)
    }
}

function Get-TalosAddress {
    # The IPv4 addresses of an interface, with prefix length.
    [CmdletBinding()]
    param(
        [System.Collections.IDictionary]$Network,
        [uint32]$InterfaceIndex
    )
    foreach ($address in $Network.Addresses) {
        if ($address.InterfaceIndex -eq $InterfaceIndex) {
            '{0}/{1}' -f $address.IPAddress, $address.PrefixLength
        }
    }
}

function Get-TalosGateway {
    # The default gateway by an interface, or empty.
    [CmdletBinding()]
    param(
        [System.Collections.IDictionary]$Network,
        [uint32]$InterfaceIndex
    )
    foreach ($route in $Network.Routes) {
        if ($route.InterfaceIndex -eq $InterfaceIndex -and $route.DestinationPrefix -eq '0.0.0.0/0') {
            return [string]$route.NextHop
        }
    }
    ''
}

function Get-TalosDnsServer {
    # The IPv4 DNS servers of an interface.
    [CmdletBinding()]
    param([uint32]$InterfaceIndex)
    Get-DnsClientServerAddress -AddressFamily IPv4 -ErrorAction Stop |
        Where-Object -FilterScript { $_.InterfaceIndex -eq $InterfaceIndex } |
        ForEach-Object -Process { $_.ServerAddresses }
}

function Get-TalosNetworkCategory {
    # Public, Private or DomainAuthenticated; empty while Windows still identifies the network, which has no profile until then.
    [CmdletBinding()]
    param([uint32]$InterfaceIndex)
    $profiles = @(Get-NetConnectionProfile -ErrorAction SilentlyContinue | Where-Object -FilterScript { $_.InterfaceIndex -eq $InterfaceIndex })
    "$(if ($profiles.Count -gt 0) { $profiles[0].NetworkCategory })"
}

function Find-TalosSwitchAdapter {
    # The physical adapter of an External switch, by its GUID: its name and its description may be another's too.
    [CmdletBinding()]
    param(
        [object]$VMSwitch,
        [object[]]$Adapter
    )
    $bound = @($VMSwitch.NetAdapterInterfaceGuid | ForEach-Object -Process { ConvertTo-TalosId -Id $_ })
    foreach ($one in $Adapter) {
        if ($bound -contains (ConvertTo-TalosId -Id $one.InterfaceGuid)) {
            return $one
        }
    }
}

function Find-TalosHostAdapter {
    # The host's own adapter on a switch (vEthernet), by its device id: it keeps its name when the switch is renamed.
    [CmdletBinding()]
    param(
        [object]$VMSwitch,
        [object[]]$Adapter
    )
    $own = @(Hyper-V\Get-VMNetworkAdapter -ManagementOS | Where-Object -FilterScript { "$($_.SwitchId)" -eq "$($VMSwitch.Id)" })
    $ids = @($own | ForEach-Object -Process { ConvertTo-TalosId -Id $_.DeviceId })
    foreach ($one in $Adapter) {
        if ($ids -contains (ConvertTo-TalosId -Id $one.InterfaceGuid)) {
            return $one
        }
    }
}

function Find-TalosSwitch {
    # The switch of a name, or nothing. -Name of Get-VMSwitch would take it as a pattern.
    [CmdletBinding()]
    param([string]$Name)
    Hyper-V\Get-VMSwitch | Where-Object -FilterScript { $_.Name -eq $Name } | Select-Object -First 1
}
