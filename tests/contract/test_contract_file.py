"""contract.yaml, the module's param blocks and the lab's functions say the same. The param blocks are read twice: as text, everywhere,
and by a genuine engine where there is one.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab.functions.lab import LabFunctions
from tests.contract.implementations import CONTRACT, MODULE, module_text
from tests.lab.world.hand import hand_world

FUNCTIONS: dict[str, Any] = CONTRACT["functions"]
TYPES = {"string", "bool", "int32", "int64", "string[]", "guid", "time", "json", "bytes"}


def expected_parameters(function: str) -> list[dict[str, Any]]:
    rows = FUNCTIONS[function]["parameters"]
    return [
        {
            "name": row["name"],
            "type": row["type"],
            "mandatory": row.get("mandatory", False),
            "default": row.get("default"),
        }
        for row in rows
    ]


# --- the file itself ------------------------------------------------------------------------------------------------


def test_types_and_kinds_are_known() -> None:
    assert {kind for fields in CONTRACT["types"].values() for kind in fields.values()} <= TYPES
    for row in FUNCTIONS.values():
        assert row["kind"] in ("read", "change")
        assert row["output"] in CONTRACT["types"]
        assert {parameter["type"] for parameter in row["parameters"]} <= TYPES | {"switch"}
        assert ("Changed" in CONTRACT["types"][row["output"]]) or row["kind"] == "read"


# --- the module -----------------------------------------------------------------------------------------------------


def read_param_block(text: str) -> list[dict[str, Any]]:
    """The parameters of a function's first param block. What a reader of PowerShell sees; comments and help are not code."""
    block = re.search(r"^    param\((.*?)^    \)$|^    param\(\)$", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    found = re.findall(
        r"(\[Parameter\(Mandatory = \$true\)\]\s*)?\[([\w\[\]]+)\]\$(\w+)(?: = ([^,\n]+))?,?", block[1] or ""
    )
    return [
        {"name": name, "type": kind.lower(), "mandatory": bool(mandatory), "default": value_of(default)}
        for mandatory, kind, name, default in found
    ]


def value_of(text: str) -> Any:
    if not text:
        return None
    return (
        {"$true": True, "$false": False}.get(text, text.strip("'") if text.startswith("'") else None)
        if not text.isdigit()
        else int(text)
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_param_block_is_the_contracts(function: str) -> None:
    text = (MODULE / "Public" / f"{function}.ps1").read_text(encoding="ascii")
    assert text.startswith(f"function {function} {{")
    assert read_param_block(text) == expected_parameters(function)
    assert f"[OutputType('{FUNCTIONS[function]['output']}')]" in text
    assert ("SupportsShouldProcess = $true" in text) == (FUNCTIONS[function]["kind"] == "change")


def test_each_file_is_one_function_of_the_contract() -> None:
    assert {file.stem for file in (MODULE / "Public").glob("*.ps1")} == set(FUNCTIONS)


def test_manifest_exports_the_contract() -> None:
    manifest = (MODULE / "TalosHyperV.psd1").read_text(encoding="ascii")
    assert set(re.findall(r"^        '([\w-]+)'$", manifest, re.MULTILINE)) == set(FUNCTIONS)
    assert f"ModuleVersion        = '{CONTRACT['module_version']}'" in manifest
    assert f"'{CONTRACT['module_version']}'" in (MODULE / "Private" / "Text.ps1").read_text(encoding="ascii")


@pytest.mark.parametrize("type_name", CONTRACT["types"])
def test_results_have_the_contracts_fields(type_name: str) -> None:
    """Each place in the module that makes such a result names its fields in the contract's order."""
    made = re.findall(
        rf"^( *)PSTypeName\s+= '{re.escape(type_name)}'\n(.*?)^ *}}$", module_text(), re.MULTILINE | re.DOTALL
    )
    assert made
    for indent, body in made:
        assert re.findall(rf"^{indent}(\w+)\s+= ", body, re.MULTILINE) == list(CONTRACT["types"][type_name])


def test_error_ids_of_the_module_are_the_contracts() -> None:
    used = set(re.findall(r"New-TalosError -Id '(\w+)'", module_text()))
    assert used == {error for row in FUNCTIONS.values() for error in row["errors"]}


# --- the module, as the engine sees it ------------------------------------------------------------------------------

SURVEY = """
$common = [System.Management.Automation.Cmdlet]::CommonParameters + [System.Management.Automation.Cmdlet]::OptionalCommonParameters
$functions = foreach ($command in Get-Command -Module TalosHyperV) {
    $block = $command.ScriptBlock.Ast.Body.ParamBlock.Parameters
    @{
        name = $command.Name
        output = "$($command.OutputType.Name)"
        whatIf = $command.Parameters.ContainsKey('WhatIf')
        help = (Get-Help -Name $command.Name).Synopsis
        described = @((Get-Help -Name $command.Name -Full).parameters.parameter | Where-Object { $_.description } | ForEach-Object { $_.name })
        parameters = @(foreach ($one in $block) {
            $name = $one.Name.VariablePath.UserPath
            @{
                name = $name
                type = $command.Parameters[$name].ParameterType.Name
                mandatory = @($command.Parameters[$name].Attributes | Where-Object { $_ -is [Parameter] -and $_.Mandatory }).Count -gt 0
                default = if ($one.DefaultValue) { $one.DefaultValue.SafeGetValue() }
            }
        })
    }
}
ConvertTo-Json -InputObject @($functions) -Depth 6
"""
ENGINE_TYPES = {
    "String": "string",
    "Boolean": "bool",
    "SwitchParameter": "switch",
    "Int32": "int32",
    "Int64": "int64",
    "String[]": "string[]",
}


def in_engine(pwsh: str, tmp_path: Path, text: str) -> str:
    script = tmp_path / "script.ps1"
    script.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [pwsh, "-NoProfile", "-NonInteractive", "-File", str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_installed_module_is_the_contracts(pwsh: str, tmp_path: Path) -> None:
    said = json.loads(in_engine(pwsh, tmp_path, f"Import-Module -Name '{MODULE / 'TalosHyperV.psd1'}'\n{SURVEY}"))
    assert {one["name"] for one in said} == set(FUNCTIONS)
    for one in said:
        row = FUNCTIONS[one["name"]]
        got = [{**parameter, "type": ENGINE_TYPES[parameter["type"]]} for parameter in one["parameters"]]
        assert got == expected_parameters(one["name"])
        assert one["output"] == row["output"]
        assert one["whatIf"] == (row["kind"] == "change")
        assert one["help"]
        assert one["described"] == [parameter["name"] for parameter in row["parameters"]]


def test_loaded_text_leaves_the_session_as_it_was(pwsh: str, tmp_path: Path) -> None:
    """Functions and nothing else, and neither strict mode nor preferences of theirs outlive a call."""
    text = tmp_path / "module.ps1"
    text.write_text(module_text(), encoding="ascii")
    said = in_engine(
        pwsh,
        tmp_path,
        f"""
        $before = @(Get-Variable | ForEach-Object {{ $_.Name }}) + 'before', '_', 'PSItem'
        . '{text}'
        try {{ Get-TalosVM }} catch {{ $_.FullyQualifiedErrorId }}
        Start-TalosVM -Id one -ErrorAction SilentlyContinue
        "variables: $(@(Get-Variable | Where-Object {{ $before -notcontains $_.Name }} | ForEach-Object {{ $_.Name }}) -join ' ')"
        "strict: $($never.assigned) $ErrorActionPreference $ConfirmPreference $WhatIfPreference"
        "aliases: $(@(Get-Alias | Where-Object {{ $_.Definition -like '*Talos*' }}).Count)"
        """,
    )
    assert said.splitlines() == [
        "HyperV.CouldNotAutoLoadModule,Get-TalosVM",
        "variables: ",
        "strict:  Continue High False",
        "aliases: 0",
    ]


CONFIGURATION = """@{{
    SchemaVersion = '2.0.0.0'
    GUID = '5d0d7a54-3c1f-4a0e-9a56-2b8f1f7f3c62'
    SessionType = 'RestrictedRemoteServer'
    LanguageMode = 'NoLanguage'
    ModulesToImport = @('{hyperv}', '{module}')
    VisibleFunctions = @({functions})
}}
"""


def test_a_restricted_endpoint_can_have_the_module(pwsh: str, tmp_path: Path) -> None:
    """As behind JEA: no language for the caller, the functions alone visible, and they still do their work."""
    hyperv = tmp_path / "Hyper-V" / "Hyper-V.psm1"
    hyperv.parent.mkdir()
    hyperv.write_text("function Get-VM {}", encoding="ascii")
    functions = ", ".join(f"'{name}'" for name in FUNCTIONS)
    configuration = tmp_path / "endpoint.pssc"
    configuration.write_text(
        CONFIGURATION.format(hyperv=hyperv.parent, module=MODULE / "TalosHyperV.psd1", functions=functions),
        encoding="ascii",
    )
    said = in_engine(
        pwsh,
        tmp_path,
        f"""
        $states = [System.Management.Automation.Runspaces.InitialSessionState]
        $runspace = [runspacefactory]::CreateRunspace($states::CreateFromSessionConfigurationFile('{configuration}'))
        $runspace.Open()
        foreach ($name in 'Get-TalosImage', 'Get-Item', 'Get-TalosImageHolder') {{
            $shell = [powershell]::Create($runspace)
            $null = $shell.AddCommand($name).AddParameter('Path', 'C:\\none.iso')
            try {{ $shell.Invoke() | ForEach-Object {{ "$($_.Path) $($_.Exists)" }} }}
            catch {{ $_.Exception.InnerException.ErrorRecord.FullyQualifiedErrorId }}
        }}
        $runspace.SessionStateProxy.LanguageMode
        """,
    )
    assert said.splitlines() == [
        "C:\\none.iso False",
        "CommandNotFoundException",
        "CommandNotFoundException",
        "NoLanguage",
    ]


# --- the lab --------------------------------------------------------------------------------------------------------


def test_lab_functions_are_the_contracts() -> None:
    lab = LabFunctions(hand_world())
    assert list(lab.table) == list(FUNCTIONS)
    for function, row in FUNCTIONS.items():
        got = [
            {"name": one.name, "type": one.type, "mandatory": one.mandatory, "default": one.default}
            for one in lab.table[function].parameters
        ]
        assert got == expected_parameters(function)
        assert lab.table[function].output == row["output"]
        assert lab.table[function].changes == (row["kind"] == "change")
