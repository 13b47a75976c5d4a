"""The second transport's pure parts: its document, its answers, and what Windows PowerShell 5.1 bends in JSON."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any

import pytest

from provisioner.errors import HostRefused
from provisioner.hyperv import functions
from provisioner.hyperv.module import MODULE, module_text, output_of
from provisioner.winrm import winrs
from provisioner.winrm.transport import Int64, Statement


def answer(out: str, err: str = "", statement: Statement | None = None) -> list[Any]:
    return winrs._read_answer(statement or functions.start_vm(["a"]), out.encode(), err.encode())


def test_the_document_is_ascii_and_carries_plain_values() -> None:
    statement = Statement(function="New-TalosVM", arguments={"Name": "仮想", "MemoryBytes": Int64(value=2**40)})
    document = winrs.to_document(statement, module_text())
    assert document.isascii()
    found = json.loads(document)
    assert found["args"] == {"Name": "仮想", "MemoryBytes": 2**40}
    assert found["command"] == "New-TalosVM"
    assert found["module"].startswith("# TalosHyperV module")


def test_the_command_line_is_short_and_says_nothing() -> None:
    assert len(winrs.COMMAND_LINE) < 8191 / 3
    script = base64.b64decode(winrs.COMMAND_LINE.split()[-1]).decode("utf-16-le")
    assert script == winrs.BOOTSTRAP


@pytest.mark.parametrize(
    ("out", "results"),
    [
        ('{"ok":true,"output":[{"Id":"a"},{"Id":"b"}]}\r\n', [{"Id": "a"}, {"Id": "b"}]),
        ('\ufeff{"ok":true,"output":[]}', []),
        ('{"ok":true,"output":{"Id":"a"}}', [{"Id": "a"}]),
        ('{"ok":true,"output":{"value":[{"Id":"a"}],"Count":1}}', [{"Id": "a"}]),
        ('{"ok":true,"output":[null]}', []),
        ('{"ok":true,"output":null}', []),
        ('WARNING: loud profile\r\n{"ok":true,"output":[]}', []),
    ],
)
def test_answers(out: str, results: list[Any]) -> None:
    assert answer(out) == results


def test_an_error_has_its_id_function_and_object() -> None:
    with pytest.raises(HostRefused) as caught:
        answer('{"ok":false,"id":"VMNotFound,Start-TalosVM","message":"weg"}', statement=functions.start_vm(["a1"]))
    refused = caught.value
    assert (refused.id, refused.function, refused.target, refused.message) == (
        "VMNotFound",
        "Start-TalosVM",
        "a1",
        "weg",
    )


@pytest.mark.parametrize("out", ["", "not json", "[1]", '{"other": 1}'])
def test_a_process_that_does_not_answer_is_quoted(out: str) -> None:
    with pytest.raises(HostRefused, match=r"WinRS\.NoAnswer: Access is denied by policy"):
        answer(out, "Access is   denied\r\nby policy")


def test_what_windows_powershell_bends_is_straightened_by_the_contract() -> None:
    type_name, fields = output_of("Get-TalosVM")
    assert type_name == "TalosHyperV.VM"
    straight = winrs.from_json(
        {"Addresses": "192.0.2.1", "BootOrder": {"value": ["disk"], "Count": 1}, "Name": "n", "Cpus": 2},
        fields,
        expected=MODULE,
    )
    assert straight == {"Addresses": ["192.0.2.1"], "BootOrder": ["disk"], "Name": "n", "Cpus": 2}
    assert winrs.from_json({"Addresses": None}, fields, expected=MODULE) == {"Addresses": []}
    _, host = output_of("Get-TalosHost")
    assert winrs.from_json({"TimeUtc": "/Date(1772368215123)/"}, host, expected=MODULE) == {
        "TimeUtc": "2026-03-01T12:30:15.123000Z"
    }


def test_a_list_is_gone_through_item_by_item() -> None:
    pieces = list(winrs._pieces(functions.mount_iso(["a", "b"], path="p")))
    assert pieces == [functions.mount_iso(["a"], path="p"), functions.mount_iso(["b"], path="p")]
    assert list(winrs._pieces(functions.get_host())) == []


ECHO = """
function Get-Echo {
    [CmdletBinding()] param([string] $Text, [string[]] $Names, [long] $Bytes, [switch] $Flag)
    [pscustomobject]@{ Text = $Text; Names = @($Names); Bytes = $Bytes; Flag = [bool] $Flag; Double = $Bytes * 2 }
}
function Get-Trouble {
    [CmdletBinding()] param([string[]] $Id)
    foreach ($item in $Id) { Write-Error -ErrorId VMNotFound -Message "kein $item" -TargetObject $item }
}
"""


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        (
            "Get-Echo",
            {"Text": "仮想 'x' $y `z", "Names": ["a"], "Bytes": 2**40, "Flag": True},
            {"Text": "仮想 'x' $y `z", "Names": ["a"], "Bytes": 2**40, "Flag": True, "Double": 2**41},
        ),
        ("Get-Trouble", {"Id": ["q"]}, "VMNotFound"),
        ("Get-Nothing", {}, "CommandNotFoundException"),
        ("Get-Echo", {"Wrong": 1}, "NamedParameterNotFound"),
    ],
)
def test_the_bootstrap_under_a_genuine_engine(
    pwsh: str, command: str, arguments: dict[str, Any], expected: Any
) -> None:
    document = json.dumps({"module": ECHO, "command": command, "args": arguments}).encode("ascii")
    line = [pwsh, *winrs.COMMAND_LINE.split()[1:]]
    done = subprocess.run(line, input=document, capture_output=True, check=True, timeout=60)
    statement = Statement(function=command, arguments=arguments)
    if isinstance(expected, str):
        with pytest.raises(HostRefused) as caught:
            winrs._read_answer(statement, done.stdout, done.stderr)
        assert caught.value.id == expected
    else:
        assert winrs._read_answer(statement, done.stdout, done.stderr) == [expected]
