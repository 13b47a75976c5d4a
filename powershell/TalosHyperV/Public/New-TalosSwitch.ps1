function New-TalosSwitch {
    <#
    .SYNOPSIS
        Ensures an External virtual switch on a network adapter: keeps it, or starts the job that makes it.
    .DESCRIPTION
        Making one takes the host's network away for seconds, and with it this session. So a task of SYSTEM makes it, puts back addresses,
        DNS servers and network profile where Windows loses them, and removes the switch again if the host has no default gateway after
        WatchdogSeconds and no one called Confirm-TalosSwitch. Get-TalosSwitch tells how it went.
    .PARAMETER Name
        Name of the switch.
    .PARAMETER NetAdapterName
        Name of the physical network adapter.
    .PARAMETER AllowManagementOS
        Whether the host itself goes on using that adapter, through the switch.
    .PARAMETER VlanId
        VLAN of the host's own adapter on the switch; 0 is untagged.
    .PARAMETER Mark
        Text in the switch's Notes by which it is known as ours.
    .PARAMETER WatchdogSeconds
        How long the host may be without a default gateway.
    .PARAMETER Retry
        Tries again although an earlier job had to be undone.
    .EXAMPLE
        New-TalosSwitch -Name LAB -NetAdapterName Ethernet -Mark 'provision/1 cluster=6f9d0c52'
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType('TalosHyperV.Switch')]
    param(
        [Parameter(Mandatory = $true)]
        [string]$Name,

        [Parameter(Mandatory = $true)]
        [string]$NetAdapterName,

        [bool]$AllowManagementOS = $true,

        [int32]$VlanId = 0,

        [string]$Mark = '',

        [int32]$WatchdogSeconds = 90,

        [switch]$Retry
    )
    Set-StrictMode -Version 3.0
    $ErrorActionPreference = 'Stop'
    try {
        $adapters = @(Get-NetAdapter -ErrorAction Stop)
        $adapter = $adapters | Where-Object -FilterScript { $_.Name -eq $NetAdapterName -and $_.HardwareInterface } | Select-Object -First 1
        $present = Find-TalosSwitch -Name $Name
        if ($null -ne $present) {
            $kind = Get-TalosSwitchKind -VMSwitch $present
            if ($kind -ne 'External') {
                throw (New-TalosError -Id 'SwitchOtherKind' -Category InvalidType -Target $Name -Message "The switch '$Name' is of the kind $kind, not External.")
            }
            if ($null -eq $adapter -or $null -eq (Find-TalosSwitchAdapter -VMSwitch $present -Adapter $adapter)) {
                throw (New-TalosError -Id 'SwitchOnOtherAdapter' -Category ResourceExists -Target $Name -Message "The switch '$Name' is bound to '$($present.NetAdapterInterfaceDescription)', not to '$NetAdapterName'.")
            }
            return Get-TalosSwitchResult -Name $Name -VMSwitch $present -Changed $false
        }
        if ($null -eq $adapter) {
            throw (New-TalosError -Id 'SwitchAdapterNotFound' -Category ObjectNotFound -Target $NetAdapterName -Message "There is no physical network adapter '$NetAdapterName'.")
        }
        if ("$($adapter.PhysicalMediaType)" -like '*802.11*') {
            throw (New-TalosError -Id 'SwitchAdapterWifi' -Category InvalidType -Target $NetAdapterName -Message "'$NetAdapterName' is Wi-Fi: access points take one MAC address per station, so VMs behind it have no address of their own.")
        }
        foreach ($other in @(Hyper-V\Get-VMSwitch)) {
            if ($null -ne (Find-TalosSwitchAdapter -VMSwitch $other -Adapter $adapter)) {
                throw (New-TalosError -Id 'SwitchAdapterBound' -Category ResourceExists -Target $NetAdapterName -Message "'$NetAdapterName' belongs to the switch '$($other.Name)'.")
            }
        }
        Assert-TalosAdministrator -Target $Name -Task 'make an External switch'
        $job = Get-TalosJobRecord -Name $Name
        Assert-TalosJobOver -Name $Name -Job $job -Retry $Retry

        if ($PSCmdlet.ShouldProcess($Name, "Make an External switch on $NetAdapterName")) {
            $job = Start-TalosSwitchJob -Name $Name -Request ([ordered]@{
                    Kind              = 'New'
                    Adapter           = $adapter.Name
                    AllowManagementOS = $AllowManagementOS
                    VlanId            = $VlanId
                    Mark              = $Mark
                    WatchdogSeconds   = $WatchdogSeconds
                })
            Get-TalosSwitchResult -Name $Name -VMSwitch $null -Job $job -Changed $true
        }
    }
    catch {
        $PSCmdlet.ThrowTerminatingError((ConvertTo-TalosError -Failure $_ -Target $Name))
    }
}
