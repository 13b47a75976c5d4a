# Calls functions in this engine on request, so that one process serves all cases: a line of JSON in, a line of JSON out, over a socket.
#   {"environment": {...}}                   another world from now on: its drives, its user, its socket
#   {"text": "..."}                          script text that is loaded for good
#   {"function": "...", "arguments": {...}}  a call: results with the .NET types of their properties, errors in their order

function Switch-World($request) {
    foreach ($name in $request.environment.Keys) {
        if ($name -notin 'HOME', 'PSModuleAnalysisCachePath') { Set-Item -LiteralPath "Env:$name" -Value $request.environment[$name] }
    }
    foreach ($module in Get-Module -All -Name LabCmdlets) { & $module { [LabWorld]::Drop() } }
    foreach ($letter in 'C', 'D') {
        Remove-PSDrive -Name $letter -Scope Global -Force -ErrorAction Ignore
        $null = New-PSDrive -Name $letter -PSProvider FileSystem -Root "$env:LAB_ROOT/$letter" -Scope Global
    }
}

function Invoke-Function($request) {
    $arguments = $request.arguments
    $answer = @{ results = [System.Collections.Generic.List[object]]::new(); errors = [System.Collections.Generic.List[object]]::new() }
    try {
        & $request.function @arguments 2>&1 | ForEach-Object -Process {
            if ($_ -is [System.Management.Automation.ErrorRecord]) { $answer.errors.Add((Format-Failure $_ $false)) }
            else { $answer.results.Add((Format-Result $_)) }
        }
    }
    catch { $answer.errors.Add((Format-Failure $_ $true)) }
    $answer
}

function Format-Result($result) {
    $fields = foreach ($property in $result.PSObject.Properties) {
        @{ name = $property.Name; type = if ($null -eq $property.Value) { '' } else { $property.Value.GetType().FullName }; value = $property.Value }
    }
    @{ type = $result.PSObject.TypeNames[0]; fields = @($fields) }
}

function Format-Failure($record, $terminating) {
    @{
        id          = $record.FullyQualifiedErrorId
        category    = "$($record.CategoryInfo.Category)"
        target      = "$($record.TargetObject)"
        message     = $record.Exception.Message
        where       = "$($record.Exception.InnerException) $($record.InvocationInfo.PositionMessage) $($record.ScriptStackTrace)"
        terminating = $terminating
    }
}

$client = [System.Net.Sockets.TcpClient]::new('127.0.0.1', [int]$env:DRIVER_PORT)
$reader = [System.IO.StreamReader]::new($client.GetStream())
$writer = [System.IO.StreamWriter]::new($client.GetStream())
$writer.AutoFlush = $true
while ($null -ne ($line = $reader.ReadLine())) {
    $request = ConvertFrom-Json -InputObject $line -AsHashtable -DateKind String
    $answer = @{}
    try {
        if ($request.ContainsKey('environment')) { Switch-World $request }
        elseif ($request.ContainsKey('text')) { . ([scriptblock]::Create($request.text)) }
        else { $answer = Invoke-Function $request }
    }
    catch { $answer = @{ broken = "$_ $($_.ScriptStackTrace)" } }
    $writer.WriteLine((ConvertTo-Json -InputObject $answer -Compress -Depth 6))
}
