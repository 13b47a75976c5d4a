function Get-TalosSid {
    # The SIDs in the caller's token, with that of its integrity level. whoami.exe, since it needs no .NET call: those are refused
    # where Constrained Language Mode is on. (ForEach-Object -MemberName would do nothing under -WhatIf: it asks before it reads.)
    [CmdletBinding()]
    param()
    whoami.exe /groups /fo csv /nh | ConvertFrom-Csv -Header Group, Type, Sid, Attributes | ForEach-Object -Process { $_.Sid }
}

function Test-TalosAdministrator {
    # Whether the token is a full administrator's. A filtered token lists the group too, at a lower integrity level.
    [CmdletBinding()]
    param([string[]]$Sid)
    ($Sid -contains 'S-1-5-32-544') -and (($Sid -contains 'S-1-16-12288') -or ($Sid -contains 'S-1-16-16384'))
}

function Assert-TalosAdministrator {
    # Ends with NotAdministrator where the caller is none.
    [CmdletBinding()]
    param(
        [string]$Target,
        [string]$Task
    )
    if (-not (Test-TalosAdministrator -Sid (Get-TalosSid))) {
        throw (New-TalosError -Id 'NotAdministrator' -Category PermissionDenied -Target $Target -Message "To $Task takes an administrator of this host.")
    }
}
