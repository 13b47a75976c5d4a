# What a cluster of Talos Linux needs of a Hyper-V host, as functions that look, compare, change and tell. The same text runs installed as this
# module, behind a restricted endpoint, or loaded into a session; so functions are all that Private and Public hold.

$functions = foreach ($folder in 'Private', 'Public') {
    foreach ($file in (Get-ChildItem -LiteralPath (Join-Path -Path $PSScriptRoot -ChildPath $folder) -Filter '*.ps1' | Sort-Object -Property Name)) {
        . $file.FullName
        if ($folder -eq 'Public') {
            $file.BaseName
        }
    }
}
Export-ModuleMember -Function $functions
