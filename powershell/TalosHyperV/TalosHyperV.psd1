@{
    RootModule           = 'TalosHyperV.psm1'
    ModuleVersion        = '1.1.0'
    GUID                 = '5d0d7a54-3c1f-4a0e-9a56-2b8f1f7f3c61'
    Author               = 'provision'
    Description          = 'Idempotent functions that make a Hyper-V host ready for clusters of Talos Linux, and their VMs.'
    PowerShellVersion    = '5.1'
    CompatiblePSEditions = @('Desktop', 'Core')
    FunctionsToExport    = @(
        'Confirm-TalosSwitch'
        'Dismount-TalosIso'
        'Get-TalosConsole'
        'Get-TalosFolder'
        'Get-TalosHost'
        'Get-TalosImage'
        'Get-TalosNeighbor'
        'Get-TalosSwitch'
        'Get-TalosVM'
        'Mount-TalosIso'
        'New-TalosSwitch'
        'New-TalosVM'
        'Remove-TalosFolder'
        'Remove-TalosImage'
        'Remove-TalosSwitch'
        'Remove-TalosVM'
        'Save-TalosImage'
        'Set-TalosSwitch'
        'Set-TalosVM'
        'Start-TalosVM'
        'Stop-TalosVM'
    )
    CmdletsToExport      = @()
    VariablesToExport    = @()
    AliasesToExport      = @()
}
