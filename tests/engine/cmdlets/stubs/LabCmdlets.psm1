# Cmdlets that live in another process: the lab's world says over a socket which enums, classes and cmdlets there are, they are made from
# that description as real .NET types, and every call goes to the world. No compiler: the types are emitted, the one method is script. For PowerShell 7.5 and later.
# LAB_WORLD in the environment is <address>:<port>:<token>. One line of JSON per message; server.py says what they mean.
using namespace System.Collections
using namespace System.Collections.Generic
using namespace System.Management.Automation
using namespace System.Reflection
using namespace System.Reflection.Emit

$script:Connection = $null     # one per runspace, opened at its first call
$script:Properties = @{}       # of a data type: its fields by name

class LabWorld {
    static [void] Open() {
        $address, $port, $token = $env:LAB_WORLD -split ':'
        $client = [Net.Sockets.TcpClient]::new($address, [int]$port)
        $client.NoDelay = $true
        $stream = $client.GetStream()
        $writer = [IO.StreamWriter]::new($stream)
        $writer.AutoFlush = $true
        $script:Connection = @{ World = $env:LAB_WORLD; Reader = [IO.StreamReader]::new($stream); Writer = $writer }
        [LabWorld]::Say(@{ token = $token })
    }

    static [void] Drop() {
        if ($null -ne $script:Connection) { $script:Connection.Reader.Dispose() }
        $script:Connection = $null
    }

    static [void] Say([object] $message) {
        if ($null -ne $script:Connection -and $script:Connection.World -ne $env:LAB_WORLD) { [LabWorld]::Drop() }  # an engine may move on
        if ($null -eq $script:Connection) { [LabWorld]::Open() }
        $script:Connection.Writer.WriteLine((ConvertTo-Json -Compress -Depth 8 -InputObject $message))
    }

    # Waited for in small steps, so that a stopped pipeline gets out: a blocking ReadLine would hold the engine until the world answers.
    static [object] Hear() {
        $task = $script:Connection.Reader.ReadLineAsync()
        while (-not $task.Wait(50)) { }
        if ($null -eq $task.Result) { throw 'The lab''s world closed the connection.' }
        return ConvertFrom-Json -InputObject $task.Result -AsHashtable -NoEnumerate -DateKind String
    }

    static [object] Describe([string] $what) {
        [LabWorld]::Say(@{ describe = $what })
        return [LabWorld]::Hear()
    }

    # Data types are made once per process, else two runspaces would have two different VirtualMachine types.
    static [Assembly] Types() {
        return [AppDomain]::CurrentDomain.GetData('provision.lab.types')
    }

    # What the world is told of a value: an object of the world by its type and its plain properties, everything else as JSON has it.
    static [object] Plain([object] $value) {
        if ($null -eq $value) { return $null }
        if ($value -is [psobject]) { $value = $value.psobject.BaseObject }
        if ($value -is [switch]) { return [bool]$value }
        if ($value -is [datetime]) { return $value.ToUniversalTime().ToString('o') }
        if ($value -is [timespan]) { return $value.TotalSeconds }
        if ($value -is [enum] -or $value -is [guid] -or $value -is [version] -or $value -is [char]) { return "$value" }
        if ($value -is [pscredential]) { return $value.UserName }
        if ($value -is [IDictionary]) {
            $said = @{}
            foreach ($key in $value.Keys) { $said["$key"] = [LabWorld]::Plain($value[$key]) }
            return $said
        }
        if ($value -is [IEnumerable] -and $value -isnot [string]) {
            return @(foreach ($item in $value) { [LabWorld]::Plain($item) })
        }
        if ($value.GetType().Assembly -eq [LabWorld]::Types()) {
            $said = @{ '#' = $value.GetType().FullName }
            foreach ($field in [LabWorld]::Fields($value.GetType()).Values) {
                $its = $field.GetValue($value)
                if ($its -is [string] -or $its -is [valuetype]) { $said[$field.Name] = [LabWorld]::Plain($its) }
            }
            return $said
        }
        return $value
    }

    static [Dictionary[string, FieldInfo]] Fields([type] $type) {
        if (-not $script:Properties.ContainsKey($type)) {
            $found = [Dictionary[string, FieldInfo]]::new()
            foreach ($field in $type.GetFields()) { if (-not $field.IsStatic) { $found[$field.Name] = $field } }
            $script:Properties[$type] = $found
        }
        return $script:Properties[$type]
    }

    # The value that the world said, as an object of that type. `#` names the class of what is not just plain.
    static [object] Real([object] $said, [type] $type) {
        if ($null -eq $said) { return $null }
        if ($said -is [IDictionary] -and $said.ContainsKey('#')) {
            $class = [LabWorld]::Types().GetType($said['#'])
            $fields = [LabWorld]::Fields($class)
            $object = [Activator]::CreateInstance($class)
            foreach ($name in $said.Keys) {
                if ($name -eq '#') { continue }
                $field = $fields[$name]
                $field.SetValue($object, [LabWorld]::Real($said[$name], $field.FieldType))
            }
            $names = [AppDomain]::CurrentDomain.GetData('provision.lab.typeNames')[$class.FullName]
            for ($i = 0; $i -lt $names.Count; $i++) { $object.psobject.TypeNames.Insert($i, $names[$i]) }
            return $object
        }
        if ($said -is [array]) {
            $of = if ($type.IsArray) { $type.GetElementType() } elseif ($type.IsGenericType) { $type.GetGenericArguments()[0] } else { [object] }
            $list = [Activator]::CreateInstance([List[object]].GetGenericTypeDefinition().MakeGenericType($of))
            foreach ($item in $said) { $list.Add([LabWorld]::Real($item, $of)) }
            if ($type.IsArray) { return $list.ToArray() }
            return $list
        }
        if ($type -eq [timespan] -or $type -eq [Nullable[timespan]]) { return [timespan]::FromSeconds($said) }
        if ($type -eq [datetime] -or $type -eq [Nullable[datetime]]) {
            return [datetime]::Parse($said, [cultureinfo]::InvariantCulture, 'RoundtripKind').ToLocalTime()
        }
        if ($type -eq [byte[]]) { return [convert]::FromBase64String($said) }
        return [LanguagePrimitives]::ConvertTo($said, $type)
    }
}

class LabCmdlet : PSCmdlet {
    [void] ProcessRecord() {
        # Preferences are looked up where script runs, and that is this module: here they become the caller's, for all below.
        $ErrorActionPreference = $this.Preference('ErrorActionPreference')
        $WarningPreference = $this.Preference('WarningPreference')
        $VerbosePreference = $this.Preference('VerbosePreference')
        $ProgressPreference = $this.Preference('ProgressPreference')
        $WhatIfPreference = $this.Preference('WhatIfPreference')
        $ConfirmPreference = $this.Preference('ConfirmPreference')
        $arguments = @{}
        foreach ($pair in $this.MyInvocation.BoundParameters.GetEnumerator()) {
            if ($pair.Key -notin [Cmdlet]::CommonParameters -and $pair.Key -notin [Cmdlet]::OptionalCommonParameters) {
                $arguments[$pair.Key] = [LabWorld]::Plain($pair.Value)
            }
        }
        $call = @{ call = $this.MyInvocation.MyCommand.Name; set = $this.ParameterSetName; arguments = $arguments }
        foreach ($said in $this.Ask($call)) {
            $kind, $first, $second = $said
            switch ($kind) {
                'out' { $this.WriteObject([LabWorld]::Real($first, [object])) }
                'warning' { $this.WriteWarning($first) }
                'verbose' { $this.WriteVerbose($first) }
                'error' { $this.WriteError($this.Record($first)) }
                'fatal' { $this.ThrowTerminatingError($this.Record($first)) }
                'genuine' { $this.Genuine($first, $second) }
            }
        }
    }

    hidden [object] Preference([string] $name) {
        return $this.SessionState.PSVariable.GetValue($name)
    }

    # The whole answer before the first WriteObject: that runs the next cmdlet of the pipeline, which asks on the same connection.
    hidden [object] Ask([hashtable] $call) {
        $answer = [List[object]]::new()
        $whole = $false
        try {
            [LabWorld]::Say($call)
            while (-not $whole) {
                $said = [LabWorld]::Hear()
                switch ($said[0]) {
                    'progress' { $this.WriteProgress($this.Progress($said)) }
                    'should' { [LabWorld]::Say(@{ should = $this.ShouldProcess($said[1], $said[2]) }) }
                    default {
                        $whole = $_ -in 'end', 'fatal'
                        $answer.Add($said)
                    }
                }
            }
        }
        finally {
            if (-not $whole) { [LabWorld]::Drop() }  # stopped half-way: the rest of the answer must not meet the next call
        }
        return $answer
    }

    # The engine's own cmdlet of the same name, with what the world says instead of some arguments.
    hidden [void] Genuine([string] $name, [hashtable] $instead) {
        $bound = @{}
        foreach ($pair in $this.MyInvocation.BoundParameters.GetEnumerator()) {
            if ($pair.Key -notin [Cmdlet]::CommonParameters) { $bound[$pair.Key] = $pair.Value }
        }
        foreach ($key in $instead.Keys) {
            if ($null -eq $instead[$key]) { $bound.Remove($key) } else { $bound[$key] = $instead[$key] }
        }
        $failed = $null
        foreach ($object in @(& $name @bound -ErrorAction SilentlyContinue -ErrorVariable failed)) { $this.WriteObject($object) }
        foreach ($record in $failed) {
            if ($record -is [ErrorRecord]) { $this.WriteError([ErrorRecord]::new($record, $null)) }
        }
    }

    hidden [ProgressRecord] Progress([object] $said) {
        $record = [ProgressRecord]::new(0, $said[1], $said[2])
        $record.PercentComplete = $said[3]
        if ($said[3] -ge 100) { $record.RecordType = 'Completed' }
        return $record
    }

    hidden [ErrorRecord] Record([object] $about) {
        $type = [LabWorld]::Types().GetType($about.exception)
        if ($null -eq $type) { $type = [LanguagePrimitives]::ConvertTo($about.exception, [type]) }
        $exception = [Activator]::CreateInstance($type, [object[]]@($about.message))
        if ($about.status) { $exception.Response = [Net.Http.HttpResponseMessage]::new($about.status) }
        if ($about.hresult) { $exception.HResult = $about.hresult }
        return [ErrorRecord]::new($exception, $about.id, $about.category, $about.target)
    }
}

function New-Attribute([type] $Type, [object[]] $Arguments, [hashtable] $Named) {
    [type[]] $types = @($Arguments | ForEach-Object { $_.GetType() })
    if ($Type -eq [ValidateRangeAttribute]) { $types = @([object], [object]) }
    [PropertyInfo[]] $properties = @($Named.Keys | ForEach-Object { $Type.GetProperty($_) })
    [object[]] $values = @(foreach ($property in $properties) { [LanguagePrimitives]::ConvertTo($Named[$property.Name], $property.PropertyType) })
    [CustomAttributeBuilder]::new($Type.GetConstructor($types), $Arguments, $properties, $values)
}

function Get-NamedType($Made, [string] $Name) {
    if ($Name -match '^List<(.+)>$') { return [List[object]].GetGenericTypeDefinition().MakeGenericType((Get-NamedType $Made $Matches[1])) }
    if ($Name.EndsWith('[]')) { return (Get-NamedType $Made $Name.Substring(0, $Name.Length - 2)).MakeArrayType() }
    if ($Name.EndsWith('?')) { return [Nullable[int]].GetGenericTypeDefinition().MakeGenericType((Get-NamedType $Made $Name.TrimEnd('?'))) }
    if ($Made.ContainsKey($Name)) { return $Made[$Name] }
    [LanguagePrimitives]::ConvertTo($Name, [type])
}

# Enums, exceptions and classes of all modules. Fields may be of classes that come later: all are defined before the first is finished.
function New-DataType($About) {
    $module = [AssemblyBuilder]::DefineDynamicAssembly([AssemblyName]::new('Provision.Lab.Objects'), 'Run').DefineDynamicModule('m')
    $made = @{ object = [object] }
    foreach ($enum in $About.enums.GetEnumerator()) {
        $builder = $module.DefineEnum($enum.Key, 'Public', [int])
        foreach ($member in $enum.Value.GetEnumerator()) { $null = $builder.DefineLiteral($member.Key, [int]$member.Value) }
        $made[$enum.Key] = $builder.CreateType()
    }
    foreach ($exception in $About.exceptions.GetEnumerator()) {
        $builder = $module.DefineType($exception.Key, 'Public', [Exception])
        foreach ($property in $exception.Value.GetEnumerator()) { $null = $builder.DefineField($property.Key, (Get-NamedType $made $property.Value), 'Public') }
        $il = $builder.DefineConstructor('Public', 'Standard', [type[]]@([string])).GetILGenerator()
        $il.Emit([OpCodes]::Ldarg_0); $il.Emit([OpCodes]::Ldarg_1)
        $il.Emit([OpCodes]::Call, [Exception].GetConstructor([type[]]@([string]))); $il.Emit([OpCodes]::Ret)
        $null = $builder.CreateType()
    }
    $constructors = @{ object = [object].GetConstructor([type[]]@()) }
    foreach ($class in $About.classes) {
        $made[$class.name] = $module.DefineType($class.name, 'Public', $made[$class.extends])
        $constructors[$class.name] = $made[$class.name].DefineConstructor('Public', 'Standard', [type[]]@())
        $il = $constructors[$class.name].GetILGenerator()
        $il.Emit([OpCodes]::Ldarg_0); $il.Emit([OpCodes]::Call, $constructors[$class.extends]); $il.Emit([OpCodes]::Ret)
    }
    $typeNames = @{}
    foreach ($class in $About.classes) {
        foreach ($property in $class.properties) { $null = $made[$class.name].DefineField($property[0], (Get-NamedType $made $property[1]), 'Public,InitOnly') }
        $typeNames[$class.name] = $class.typeNames
    }
    foreach ($class in $About.classes) { $last = $made[$class.name].CreateType() }
    [AppDomain]::CurrentDomain.SetData('provision.lab.typeNames', $typeNames)
    [AppDomain]::CurrentDomain.SetData('provision.lab.types', $last.Assembly)
}

# Cmdlets: once per runspace, for their script belongs to it; in an assembly of its own name, for the engine keeps what it knows of a class
# under its full name with that of the assembly. Parameters are public fields; the name of the class is what error ids end with.
function New-CmdletAssembly {
    param([Parameter(Mandatory)] [string] $Module)

    if ($null -eq [LabWorld]::Types()) { New-DataType ([LabWorld]::Describe('types')) }
    $made = @{}
    foreach ($type in [LabWorld]::Types().GetTypes()) { $made[$type.FullName] = $type }
    $assembly = [AssemblyName]::new("Provision.Lab.$Module." + [runspace]::DefaultRunspace.Id)
    $builders = [AssemblyBuilder]::DefineDynamicAssembly($assembly, 'RunAndCollect').DefineDynamicModule('m')
    $types = @{}
    $attributes = @{}
    foreach ($cmdlet in [LabWorld]::Describe($Module)) {
        $builder = $builders.DefineType($cmdlet.class, 'Public,Class', [LabCmdlet])
        $null = $builder.DefineDefaultConstructor('Public')
        $builder.SetCustomAttribute((New-Attribute ([CmdletAttribute]) ($cmdlet.name -split '-', 2) $cmdlet.options))
        foreach ($parameter in $cmdlet.parameters) {
            if (-not $types.ContainsKey($parameter.type)) { $types[$parameter.type] = Get-NamedType $made $parameter.type }
            $field = $builder.DefineField($parameter.name, $types[$parameter.type], 'Public')
            foreach ($set in $parameter.sets) {
                $key = "$($set.ParameterSetName)|$($set.Mandatory)|$($set.Position)|$($set.ValueFromPipeline)|$($set.ValueFromPipelineByPropertyName)"
                if (-not $attributes.ContainsKey($key)) { $attributes[$key] = New-Attribute ([ParameterAttribute]) @() $set }
                $field.SetCustomAttribute($attributes[$key])
            }
            if ($parameter.aliases.Count) { $field.SetCustomAttribute((New-Attribute ([AliasAttribute]) @(, [string[]]$parameter.aliases) @{})) }
            if ($parameter.values.Count) { $field.SetCustomAttribute((New-Attribute ([ValidateSetAttribute]) @(, [string[]]$parameter.values) @{})) }
            if ($null -ne $parameter.range) {
                $field.SetCustomAttribute((New-Attribute ([ValidateRangeAttribute]) @([int]$parameter.range[0], [int]$parameter.range[1]) @{}))
            }
        }
        $last = $builder.CreateType()
    }
    $last.Assembly   # that of the type: the builder's own cannot be imported
}

Export-ModuleMember -Function New-CmdletAssembly
