# Runs scripts on request, over a connection to the test: a line of JSON in, a line of JSON out.
#   {"environment": {...}}   another world from now on
#   {"script": "..."}        what it writes, by stream

function Format-Failure($record) {
    @{
        id        = $record.FullyQualifiedErrorId
        category  = "$($record.CategoryInfo.Category)"
        message   = $record.Exception.Message
        target    = "$($record.TargetObject)"
        exception = $record.Exception.GetType().FullName
        hresult   = $record.Exception.HResult
    }
}

function Invoke-Script($text) {
    $answer = @{ out = [System.Collections.Generic.List[object]]::new(); fatal = $null }
    $shell = [powershell]::Create()
    $shell.Runspace = $runspace
    $null = $shell.AddScript($text, $true)
    try { foreach ($object in $shell.Invoke()) { $answer.out.Add($object) } }
    catch { $answer.fatal = Format-Failure $(if ($_.Exception.InnerException.ErrorRecord) { $_.Exception.InnerException.ErrorRecord } else { $_ }) }
    $answer.errors = @(foreach ($record in $shell.Streams.Error) { Format-Failure $record })
    $answer.warnings = @(foreach ($record in $shell.Streams.Warning) { $record.Message })
    $answer.progress = @(foreach ($record in $shell.Streams.Progress) { "$($record.PercentComplete) $($record.StatusDescription)" })
    $shell.Dispose()
    $answer
}

# Scripts run in a runspace of their own, where every stream can be read.
$runspace = [runspacefactory]::CreateRunspace()
$runspace.Open()
$stream = [Net.Sockets.TcpClient]::new('127.0.0.1', [int]$env:DRIVER_PORT).GetStream()
$reader = [IO.StreamReader]::new($stream)
$writer = [IO.StreamWriter]::new($stream)
$writer.AutoFlush = $true
while ($null -ne ($line = $reader.ReadLine())) {
    $request = ConvertFrom-Json -InputObject $line -AsHashtable -DateKind String
    if ($request.ContainsKey('environment')) {
        foreach ($name in $request.environment.Keys) {
            if ($name -notin 'HOME', 'PSModuleAnalysisCachePath') { Set-Item -LiteralPath "Env:$name" -Value $request.environment[$name] }
        }
        $answer = Invoke-Script '. $env:LAB_INIT'
    }
    else { $answer = Invoke-Script $request.script }
    $writer.WriteLine((ConvertTo-Json -InputObject $answer -Compress -Depth 5 -EnumsAsStrings -WarningAction SilentlyContinue))
}
