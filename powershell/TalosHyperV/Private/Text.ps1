function Get-TalosModuleVersion {
    # The version of these functions, as the manifest has it: a caller loads its own text where this differs.
    [CmdletBinding()]
    param()
    '1.1.0'
}

function ConvertTo-TalosTime {
    # A date as ISO 8601 text in UTC. Text stays as it is: ConvertFrom-Json makes dates of such text in PowerShell 7 and not in 5.1.
    [CmdletBinding()]
    param([object]$Date)
    if ($Date -is [datetime]) {
        return $Date.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", [System.Globalization.CultureInfo]::InvariantCulture)
    }
    [string]$Date
}

function ConvertTo-TalosJson {
    # A list as one compact JSON text, always an array. Through the pipeline 5.1 would unroll a list of one.
    [CmdletBinding()]
    param([object[]]$Item)
    if ($null -eq $Item -or $Item.Count -eq 0) {
        return '[]'
    }
    ConvertTo-Json -InputObject @($Item) -Compress -Depth 4
}

function ConvertTo-TalosMac {
    # A MAC address in any spelling as bare upper-case hex, as Hyper-V keeps it.
    [CmdletBinding()]
    param([string]$MacAddress)
    ($MacAddress -replace '[-:. ]', '').ToUpperInvariant()
}

function ConvertTo-TalosId {
    # A GUID in any spelling as lower-case text without braces.
    [CmdletBinding()]
    param([object]$Id)
    ([string]$Id).Trim('{', '}', ' ').ToLowerInvariant()
}

function Find-TalosMark {
    # The mark line in a text such as a VM's Notes, or empty. Only a whole line counts. The name in it takes the rest of the line: it may hold
    # spaces and all else that Hyper-V takes in names.
    [CmdletBinding()]
    param([string]$Text)
    foreach ($line in ($Text -split '\r?\n')) {
        if ($line -cmatch '^provision/1 cluster=\S+ machine=.+$') {
            return $line
        }
    }
    ''
}

function Get-TalosMarkCluster {
    # The cluster id of a mark, or empty.
    [CmdletBinding()]
    param([string]$Mark)
    if ($Mark -cmatch '^provision/1 cluster=(\S+) machine=.+$') {
        return $Matches[1]
    }
    ''
}
