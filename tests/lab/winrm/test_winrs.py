"""The cmd shell, by pywinrm and pypsrp: the module's bootstrap, and all that it refuses."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pypsrp.client import Client
from winrm.exceptions import WSManFaultError
from winrm.protocol import Protocol

from provisioner.lab.winrm import WinRmEndpoint
from provisioner.lab.world.kernel import Kernel
from tests.engine.bridge import Engines
from tests.engine.process import EngineSpec
from tests.lab.winrm.doubles import MODULE, PASSWORD, USER, TableOfFunctions

BOOTSTRAP = """
$ErrorActionPreference = 'Stop'; $ProgressPreference = 'SilentlyContinue'
[Console]::OutputEncoding = [System.Text.UTF8Encoding]::new($false)
$request = $input | Out-String | ConvertFrom-Json
. ([scriptblock]::Create($request.module))
$given = @{}
foreach ($each in $request.args.PSObject.Properties) { $given[$each.Name] = $each.Value }
try { ConvertTo-Json -Compress -Depth 6 @{ ok = $true; output = @(& $request.command @given) } }
catch { ConvertTo-Json -Compress @{ ok = $false; id = $_.FullyQualifiedErrorId; message = "$_" } }
"""


def command_line(script: str) -> str:
    encoded = base64.b64encode(script.encode("utf-16-le")).decode()
    return f"powershell -NoProfile -NonInteractive -EncodedCommand {encoded}"


class Shell:
    """A cmd shell of pywinrm with code page 65001."""

    def __init__(self, endpoint: WinRmEndpoint) -> None:
        self.protocol = Protocol(
            f"https://127.0.0.1:{endpoint.https_port}/wsman",
            transport="ntlm",
            username=USER,
            password=PASSWORD,
            ca_trust_path=str(endpoint.ca_path),
            proxy=None,
        )
        self.id = self.protocol.open_shell(codepage=65001)

    def run(self, line: str, stdin: bytes = b"") -> tuple[str, str, int]:
        command = self.protocol.run_command(self.id, line, console_mode_stdin=False)
        for start in range(0, max(1, len(stdin)), 90_000):
            piece = stdin[start : start + 90_000]
            self.protocol.send_command_input(self.id, command, piece, end=start + 90_000 >= len(stdin))
        out, err, code = self.protocol.get_command_output(self.id, command)
        self.protocol.cleanup_command(self.id, command)
        return out.decode(), err.decode(), code

    def call(self, command: str, arguments: dict[str, Any], module: str = MODULE) -> dict[str, Any]:
        document = json.dumps({"module": module, "command": command, "args": arguments}).encode()
        out, err, code = self.run(command_line(BOOTSTRAP), document)
        assert (err, code, out.count("\n")) == ("", 0, 1), (out, err, code)
        answer: dict[str, Any] = json.loads(out)
        return answer


@pytest.fixture
def shell(endpoint: WinRmEndpoint) -> Iterator[Shell]:
    opened = Shell(endpoint)
    yield opened
    opened.protocol.close_shell(opened.id)
    assert endpoint.stats().open_shells == 0


def test_the_bootstrap_calls_a_function(shell: Shell, endpoint: WinRmEndpoint, functions: TableOfFunctions) -> None:
    answer = shell.call(
        "get-talosecho", {"Text": "仮想🚀", "Bytes": 4 << 30, "Force": True}, MODULE + "# 仮\n" * 60_000
    )
    assert answer["ok"] is True
    [result] = answer["output"]
    assert (result["Text"], result["Bytes"], result["Force"]) == ("仮想🚀", 4 << 30, True)
    assert endpoint.stats().calls == {"Get-TalosEcho": 1}
    assert endpoint.stats().module_loads == 1
    assert functions.users == {f"HV01\\{USER}"}


@pytest.mark.parametrize(
    ("command", "arguments", "id"),
    [
        ("Get-TalosItems", {"Id": ["a", "missing"]}, "VMNotFound,Get-TalosItems"),
        ("Get-TalosItems", {"Id": ["fatal"]}, "VMFatal,Get-TalosItems"),
        ("Get-TalosItems", {}, "MissingMandatoryParameter,Get-TalosItems"),
        ("Get-Nothing", {}, "CommandNotFoundException"),
    ],
)
def test_an_error_has_its_id(shell: Shell, command: str, arguments: dict[str, Any], id: str) -> None:
    answer = shell.call(command, arguments)
    assert (answer["ok"], answer["id"]) == (False, id)
    assert answer["message"]


def test_another_script_fails_and_shows_its_beginning(shell: Shell) -> None:
    out, err, code = shell.run(command_line("Get-VM"))
    assert (out, code) == ("", 1)
    assert "does not know the script 'Get-VM'" in err
    assert err.startswith("#< CLIXML")


def test_standard_input_that_is_no_document(shell: Shell) -> None:
    out, err, code = shell.run(command_line(BOOTSTRAP), b'{"module": 1}')
    assert (out, code) == ("", 1)
    assert "Standard input is not" in err


def test_cmd_takes_8191_characters(shell: Shell) -> None:
    _, err, code = shell.run(command_line("#" * 4000))
    assert (err, code) == ("The command line is too long.\r\n", 1)


def test_a_receive_without_a_command_is_refused(endpoint: WinRmEndpoint, shell: Shell) -> None:
    with pytest.raises(WSManFaultError) as fault:
        shell.protocol._raw_get_command_output(shell.id, "")
    assert fault.value.wsman_fault_code == 87


def test_terminate_ends_a_function_at_work(shell: Shell, functions: TableOfFunctions) -> None:
    document = json.dumps({"module": MODULE, "command": "Wait-TalosGate", "args": {}}).encode()
    command = shell.protocol.run_command(shell.id, command_line(BOOTSTRAP), console_mode_stdin=False)
    shell.protocol.send_command_input(shell.id, command, document, end=True)
    assert functions.entered.acquire(timeout=60)
    shell.protocol.cleanup_command(shell.id, command)
    assert functions.stopped.wait(60)


def test_pypsrp_runs_a_command_too(endpoint: WinRmEndpoint) -> None:
    with Client(
        "127.0.0.1",
        port=endpoint.https_port,
        username=USER,
        password=PASSWORD,
        auth="ntlm",
        cert_validation=str(endpoint.ca_path),
        no_proxy=True,
    ) as client:
        out, err, code = client.execute_cmd("nothing-there")
    assert (out, code) == ("", 1)
    assert "is not recognized" in err


def test_with_an_engine_the_same_bootstrap_runs_for_real(
    pwsh: str, kernel: Kernel, start: Callable[..., WinRmEndpoint], tmp_path: Path
) -> None:
    spec = EngineSpec([pwsh], {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    shell = Shell(start(shells=Engines(spec, kernel)))
    module = (
        "# TalosHyperV module 1.1.0\n"
        "function Get-TalosEcho { [CmdletBinding()] param([string]$Text)\n [pscustomobject]@{ Text = $Text; Twice = $Text * 2 } }\n"
    )
    assert shell.call("Get-TalosEcho", {"Text": "仮"}, module) == {
        "ok": True,
        "output": [{"Text": "仮", "Twice": "仮仮"}],
    }
    assert shell.call("Get-Nothing", {}, module)["id"] == "CommandNotFoundException"
    shell.protocol.close_shell(shell.id)
