# Run in every new runspace of an engine that stands on the lab's world (session.pssc): drives, environment and programs of the host, and the
# cmdlets whose time and files are the world's. The engine's own modules come first: of two cmdlets of one name the later one counts.
Import-Module -Name Microsoft.PowerShell.Management, Microsoft.PowerShell.Utility
Import-Module -Name Lab.PowerShell -Scope Global -DisableNameChecking

# Run again with another environment, the engine stands on that world.
foreach ($letter in $env:LAB_DRIVES.ToCharArray()) {
    Remove-PSDrive -Name $letter -PSProvider FileSystem -Scope Global -ErrorAction Ignore
    $null = New-PSDrive -Name $letter -PSProvider FileSystem -Root (Microsoft.PowerShell.Management\Join-Path $env:LAB_ROOT $letter) -Scope Global
}

# whoami.exe /groups /fo csv /nh: the SIDs in the caller's token.
function global:whoami.exe {
    foreach ($sid in $env:LAB_SIDS -split ' ') { '"","","{0}",""' -f $sid }
}
