function Get-TalosSubnet {
    # All host addresses of a subnet given as one of its addresses with prefix length; of a subnet larger than a /22, those of the /22
    # around that address.
    [CmdletBinding()]
    param([string]$Address)
    $ip, $length = $Address -split '/'
    $bits = 32 - [System.Math]::Max(22, [int32]$length)
    $size = [int64][System.Math]::Pow(2, $bits)
    $number = [int64]0
    foreach ($octet in ($ip -split '\.')) { $number = $number * 256 + [int64]$octet }
    $first = $number - ($number % $size)
    for ($host32 = $first + 1; $host32 -lt $first + $size - 1; $host32++) {
        '{0}.{1}.{2}.{3}' -f [System.Math]::Floor($host32 / 16777216), ([System.Math]::Floor($host32 / 65536) % 256), ([System.Math]::Floor($host32 / 256) % 256), ($host32 % 256)
    }
}

function Invoke-TalosSweep {
    # Touches every address of the host's own subnets on External switches, so that its neighbour table learns who is there. A ping is enough,
    # without a wait for its answer: the question for the MAC address is out before it. Windows takes many addresses in one query, one after the other.
    [CmdletBinding()]
    param()
    $network = Get-TalosNetwork
    $addresses = foreach ($vmSwitch in (Hyper-V\Get-VMSwitch | Where-Object -FilterScript { "$($_.SwitchType)" -eq 'External' })) {
        $shared = Find-TalosHostAdapter -VMSwitch $vmSwitch -Adapter $network.Adapters
        if ($null -ne $shared) {
            foreach ($own in (Get-TalosAddress -Network $network -InterfaceIndex $shared.InterfaceIndex)) {
                Get-TalosSubnet -Address $own
            }
        }
    }
    $addresses = @($addresses | Select-Object -Unique)
    for ($start = 0; $start -lt $addresses.Count; $start += 64) {
        $some = $addresses[$start..([System.Math]::Min($start + 63, $addresses.Count - 1))]
        $filter = "(Address='" + ($some -join "' OR Address='") + "') AND Timeout=10"
        $null = Get-CimInstance -ClassName Win32_PingStatus -Filter $filter
    }
}

function Get-TalosNeighborRow {
    # The rows of the IPv4 neighbour table with one of these MAC addresses (bare hex), by MAC in the order given and the surest state first.
    # Unreachable and Incomplete rows tell nothing.
    [CmdletBinding()]
    param([string[]]$MacAddress)
    $rank = @{ Reachable = 0; Permanent = 1; Delay = 2; Probe = 3; Stale = 4 }
    $rows = foreach ($row in (Get-NetNeighbor -AddressFamily IPv4 -ErrorAction Stop)) {
        if ($rank.ContainsKey("$($row.State)")) {
            [pscustomobject]@{
                PSTypeName     = 'TalosHyperV.Neighbor'
                MacAddress     = ConvertTo-TalosMac -MacAddress $row.LinkLayerAddress
                IPAddress      = [string]$row.IPAddress
                State          = "$($row.State)"
                InterfaceAlias = [string]$row.InterfaceAlias
            }
        }
    }
    foreach ($mac in $MacAddress) {
        $rows | Where-Object -FilterScript { $_.MacAddress -eq $mac } | Sort-Object -Property { $rank[$_.State] }, IPAddress
    }
}
