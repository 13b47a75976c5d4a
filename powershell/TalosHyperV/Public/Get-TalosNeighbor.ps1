function Get-TalosNeighbor {
    <#
    .SYNOPSIS
        Tells which IPv4 addresses this host knows for some MAC addresses.
    .DESCRIPTION
        Reads the neighbour table, which learns by traffic alone: -Sweep makes some. With WaitSeconds it goes on every two seconds, and writes
        each row as soon as it is there, each address of a MAC address once.
    .PARAMETER MacAddress
        MAC addresses in any spelling.
    .PARAMETER Sweep
        First touches every address of the host's own subnets on External switches, of a larger one than /22 the part around the host.
    .PARAMETER WaitSeconds
        How long to wait until every MAC address has a row.
    .EXAMPLE
        Get-TalosNeighbor -MacAddress 02155D000011 -Sweep -WaitSeconds 60
    #>
    [CmdletBinding()]
    [OutputType('TalosHyperV.Neighbor')]
    param(
        [Parameter(Mandatory = $true)]
        [string[]]$MacAddress,

        [switch]$Sweep,

        [int32]$WaitSeconds = 0
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $macs = @($MacAddress | ForEach-Object -Process { ConvertTo-TalosMac -MacAddress $_ })
        if ($WaitSeconds -le 0) {
            if ($Sweep) { Invoke-TalosSweep }
            return Get-TalosNeighborRow -MacAddress $macs
        }
        $known = @{}
        $spent = 0.0
        while ($true) {
            if ($Sweep) {
                $spent += (Measure-Command -Expression { Invoke-TalosSweep }).TotalSeconds
            }
            foreach ($mac in $macs) {
                foreach ($row in @(Get-TalosNeighborRow -MacAddress $mac)) {
                    if (-not $known.ContainsKey($mac)) { $known[$mac] = @{} }
                    if (-not $known[$mac].ContainsKey($row.IPAddress)) {
                        $known[$mac][$row.IPAddress] = $true
                        $row
                    }
                }
            }
            if ($known.Count -ge @($macs | Select-Object -Unique).Count -or $spent -ge $WaitSeconds) {
                return
            }
            Start-Sleep -Seconds 2
            $spent += 2
        }
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target ($MacAddress -join ', ')))
    }
}
