function Get-TalosJobPath {
    # A file of the last job for a switch. Only administrators write in this folder: SYSTEM runs what lies there.
    [CmdletBinding()]
    param(
        [string]$Name,
        [string]$Extension
    )
    $safe = $Name -replace '[\\/:*?"<>|\x00-\x1f]', '_'
    Join-TalosPath -Parent $env:ProgramFiles -Child "TalosHyperV\jobs\$safe.$Extension"
}

function Get-TalosJobRecord {
    # The record of the last job for a switch, all texts, empty where there was none. One that says Running although its task does not
    # was ended by force, as by a restart of the host.
    [CmdletBinding()]
    param([string]$Name)
    $path = Get-TalosJobPath -Name $Name -Extension 'json'
    $record = Read-TalosJobRecord -Path $path
    if ($record.State -eq 'Running' -and -not (Test-TalosJobRunning -Name $Name)) {
        $record = Read-TalosJobRecord -Path $path  # it may have ended in between
        if ($record.State -eq 'Running') {
            $record.State = 'Failed'
            $record.ErrorId = 'SwitchJobLost'
            $record.Message = 'The job was ended before it was done.'
        }
    }
    $record
}

function Read-TalosJobRecord {
    [CmdletBinding()]
    param([string]$Path)
    $kept = Read-TalosJson -Path $Path
    $record = @{}
    foreach ($field in 'Id', 'Kind', 'State', 'ErrorId', 'Message', 'StartedUtc', 'EndedUtc') {
        $record[$field] = Get-TalosMember -InputObject $kept -Name $field
    }
    $record
}

function Get-TalosTaskName {
    [CmdletBinding()]
    param([string]$Name)
    'Switch ' + ($Name -replace '[\\/:*?"<>|\x00-\x1f]', '_')
}

function Test-TalosJobRunning {
    # Whether the task of a job runs or is about to. Who may not see tasks of SYSTEM is told that it does: no other may say that it is lost.
    [CmdletBinding()]
    param([string]$Name)
    try {
        $task = Get-ScheduledTaskInfo -TaskName (Get-TalosTaskName -Name $Name) -TaskPath '\TalosHyperV\' -ErrorAction Stop
    }
    catch {
        return -not (Test-TalosAdministrator -Sid (Get-TalosSid))
    }
    # 267009: running; 267011: has not run yet; 267045: queued.
    $task.LastTaskResult -in 267009, 267011, 267045
}

function Start-TalosSwitchJob {
    # Writes the job's text and its parameters, and lets the task scheduler run it as SYSTEM, also on battery. Gives the record.
    [CmdletBinding()]
    param(
        [string]$Name,
        [System.Collections.IDictionary]$Request
    )
    $id = [string](New-Guid)
    $recordPath = Get-TalosJobPath -Name $Name -Extension 'json'
    $scriptPath = Get-TalosJobPath -Name $Name -Extension 'ps1'
    $parameterPath = Get-TalosJobPath -Name $Name -Extension 'parameters.json'
    $confirmPath = Get-TalosJobPath -Name $Name -Extension 'confirm'
    Confirm-TalosFolder -Path (Get-TalosParentPath -Path $recordPath)
    Remove-TalosFile -Path $confirmPath

    $Request.JobId = $id
    $Request.Name = $Name
    $Request.TaskName = Get-TalosTaskName -Name $Name
    $Request.TaskPath = '\TalosHyperV\'
    $Request.RecordPath = $recordPath
    $Request.ConfirmPath = $confirmPath
    $Request.ScriptPath = $scriptPath
    $folder = Get-TalosParentPath -Path $recordPath
    $Request.Folders = @($folder, (Get-TalosParentPath -Path $folder))  # of this module alone, removed once they are empty
    Set-Content -LiteralPath $scriptPath -Value ${function:Invoke-TalosSwitchJob}.ToString() -Encoding UTF8
    Write-TalosJson -Path $parameterPath -Value $Request
    $record = [ordered]@{ Id = $id; Kind = $Request.Kind; State = 'Running'; ErrorId = ''; Message = ''; StartedUtc = ConvertTo-TalosTime -Date (Get-Date); EndedUtc = '' }
    Write-TalosJson -Path $recordPath -Value $record

    $argument = '-NoProfile -NonInteractive -ExecutionPolicy Bypass -File "{0}" -ParameterFile "{1}"' -f $scriptPath, $parameterPath
    $task = @{
        TaskName  = $Request.TaskName
        TaskPath  = $Request.TaskPath
        Action    = New-ScheduledTaskAction -Execute 'powershell.exe' -Argument $argument -ErrorAction Stop
        Principal = New-ScheduledTaskPrincipal -UserId 'S-1-5-18' -LogonType ServiceAccount -RunLevel Highest -ErrorAction Stop
        Settings  = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries -ExecutionTimeLimit (New-TimeSpan -Minutes 30) -ErrorAction Stop
    }
    $null = Register-ScheduledTask @task -Force -ErrorAction Stop
    Start-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath -ErrorAction Stop
    $record
}

function Assert-TalosJobOver {
    # Ends with SwitchJobRunning while a job for the switch runs, and with SwitchUndone where the last one was undone, unless -Retry.
    [CmdletBinding()]
    param(
        [string]$Name,
        [System.Collections.IDictionary]$Job,
        [bool]$Retry
    )
    if ($Job.State -eq 'Running') {
        throw (New-TalosError -Id 'SwitchJobRunning' -Category ResourceBusy -Target $Name -Message "The job $($Job.Id) for the switch '$Name' is running.")
    }
    if ($Job.State -eq 'Undone' -and -not $Retry) {
        throw (New-TalosError -Id 'SwitchUndone' -Category OperationStopped -Target $Name -Message "An earlier attempt at '$Name' was undone. $($Job.Message)")
    }
}

function Assert-TalosSwitchOurs {
    # Ends with SwitchNotOurs unless the mark in the switch's Notes is of this cluster.
    [CmdletBinding()]
    param(
        [object]$VMSwitch,
        [string]$ClusterId,
        [string]$Target
    )
    if ((Get-TalosMarkCluster -Mark (Find-TalosMark -Text $VMSwitch.Notes)) -cne $ClusterId) {
        throw (New-TalosError -Id 'SwitchNotOurs' -Category PermissionDenied -Target $Target -Message "The switch '$($VMSwitch.Name)' does not bear a mark of the cluster '$ClusterId'.")
    }
}

function Get-TalosSwitchKind {
    # External, Internal, Private, or NAT for the Default Switch of client Windows, which has the same id everywhere.
    [CmdletBinding()]
    param([object]$VMSwitch)
    if ((ConvertTo-TalosId -Id $VMSwitch.Id) -eq 'c08cb7b8-9b3c-408e-8e30-5e16a3aeb444') {
        return 'NAT'
    }
    "$($VMSwitch.SwitchType)"
}

function Get-TalosSwitchResult {
    # A switch as a result of this module; -VMSwitch is $null where there is none of that name. -Job is its record, read here if not given.
    [CmdletBinding()]
    param(
        [string]$Name,
        [object]$VMSwitch,
        [System.Collections.IDictionary]$Job,
        [bool]$Changed
    )
    if ($null -eq $Job) {
        $Job = Get-TalosJobRecord -Name $Name
    }
    $result = [pscustomobject]@{
        PSTypeName         = 'TalosHyperV.Switch'
        Name               = $Name
        Exists             = $false
        Id                 = ''
        Kind               = ''
        Adapter            = ''
        AdapterDescription = ''
        AllowManagementOS  = $false
        Notes              = ''
        Addresses          = [string[]]@()
        Gateway            = ''
        DnsServers         = [string[]]@()
        NetworkCategory    = ''
        VMNames            = [string[]]@()
        JobId              = $Job.Id
        JobKind            = $Job.Kind
        JobState           = $Job.State
        JobErrorId         = $Job.ErrorId
        JobMessage         = $Job.Message
        JobStartedUtc      = $Job.StartedUtc
        JobEndedUtc        = $Job.EndedUtc
        Changed            = $Changed
    }
    if ($null -eq $VMSwitch) {
        return $result
    }
    $result.Name = [string]$VMSwitch.Name
    $result.Exists = $true
    $result.Id = ConvertTo-TalosId -Id $VMSwitch.Id
    $result.Kind = Get-TalosSwitchKind -VMSwitch $VMSwitch
    $result.AllowManagementOS = [bool]$VMSwitch.AllowManagementOS
    $result.Notes = [string]$VMSwitch.Notes
    $result.VMNames = [string[]]@(Get-TalosSwitchUser -VMSwitch $VMSwitch)
    $network = Get-TalosNetwork
    if ($result.Kind -eq 'External') {
        $adapter = Find-TalosSwitchAdapter -VMSwitch $VMSwitch -Adapter $network.Adapters
        if ($null -ne $adapter) {
            $result.Adapter = [string]$adapter.Name
            $result.AdapterDescription = [string]$adapter.InterfaceDescription
        }
    }
    $shared = Find-TalosHostAdapter -VMSwitch $VMSwitch -Adapter $network.Adapters
    if ($null -ne $shared) {
        $index = $shared.InterfaceIndex
        $result.Addresses = [string[]]@(Get-TalosAddress -Network $network -InterfaceIndex $index)
        $result.Gateway = Get-TalosGateway -Network $network -InterfaceIndex $index
        $result.DnsServers = [string[]]@(Get-TalosDnsServer -InterfaceIndex $index)
        $result.NetworkCategory = Get-TalosNetworkCategory -InterfaceIndex $index
    }
    $result
}

function Get-TalosSwitchUser {
    # Names of the VMs that are connected to a switch.
    [CmdletBinding()]
    param([object]$VMSwitch)
    foreach ($nic in (Hyper-V\Get-VMNetworkAdapter -All)) {
        if (-not $nic.IsManagementOs -and "$($nic.SwitchId)" -eq "$($VMSwitch.Id)") {
            [string]$nic.VMName
        }
    }
}
