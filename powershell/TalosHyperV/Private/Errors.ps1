function New-TalosError {
    # An error record of this module. Callers go by its id alone: words may change, and Windows' own are in the host's language.
    [CmdletBinding()]
    param(
        [string]$Id,
        [string]$Category,
        [string]$Message,
        [string]$Target,
        [System.Exception]$Cause
    )
    $exception = New-Object -TypeName System.Management.Automation.RuntimeException -ArgumentList $Message, $Cause
    $exception.Data['TalosErrorId'] = $Id
    New-Object -TypeName System.Management.Automation.ErrorRecord -ArgumentList $exception, $Id, $Category, $Target
}

function Get-TalosFailureId {
    # The id of a caught failure: what stands before the first comma of its FullyQualifiedErrorId.
    [CmdletBinding()]
    param([System.Management.Automation.ErrorRecord]$Failure)
    ($Failure.FullyQualifiedErrorId -split ',')[0]
}

function Test-TalosFailure {
    # Whether a caught failure carries one of these HRESULTs (8 hex digits), in its exceptions or in their text.
    [CmdletBinding()]
    param(
        [System.Management.Automation.ErrorRecord]$Failure,
        [string[]]$HResult
    )
    for ($exception = $Failure.Exception; $null -ne $exception; $exception = $exception.InnerException) {
        foreach ($code in $HResult) {
            if ((('{0:X8}' -f $exception.HResult) -eq $code) -or ($exception.Message -match "0x$code")) {
                return $true
            }
        }
    }
    $false
}

function ConvertTo-TalosSpaceError {
    # VMNoSpace where a caught failure says that the disk is full; any other failure as it is.
    [CmdletBinding()]
    param(
        [System.Management.Automation.ErrorRecord]$Failure,
        [string]$Target
    )
    if (-not (Test-TalosFailure -Failure $Failure -HResult '80070070')) {
        return $Failure
    }
    New-TalosError -Id 'VMNoSpace' -Category ResourceUnavailable -Target $Target -Message $Failure.Exception.Message -Cause $Failure.Exception
}

function ConvertTo-TalosError {
    # A caught failure as an error record of this module: its own stay what they are, all others become HyperV.<id>.
    [CmdletBinding()]
    param(
        [System.Management.Automation.ErrorRecord]$Failure,
        [string]$Target
    )
    $exception = $Failure.Exception
    if ($exception.Data.Contains('TalosErrorId')) {
        $id = [string]$exception.Data['TalosErrorId']
        return New-TalosError -Id $id -Category $Failure.CategoryInfo.Category -Message $exception.Message -Target $Failure.TargetObject -Cause $exception.InnerException
    }
    $id = 'HyperV.' + (Get-TalosFailureId -Failure $Failure)
    New-TalosError -Id $id -Category $Failure.CategoryInfo.Category -Message $exception.Message -Target $Target -Cause $exception
}

function Write-TalosError {
    # Writes a caught failure as the non-terminating error of one item. The functions work under ErrorActionPreference Stop, which
    # would make it terminating; here the caller's own preference counts again.
    [CmdletBinding()]
    param(
        [System.Management.Automation.PSCmdlet]$Cmdlet,
        [System.Management.Automation.ErrorRecord]$Failure,
        [string]$Target,
        [System.Management.Automation.ActionPreference]$Preference
    )
    $record = ConvertTo-TalosError -Failure $Failure -Target $Target
    $ErrorActionPreference = $Preference
    $Cmdlet.WriteError($record)
}
