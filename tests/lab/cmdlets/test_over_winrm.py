"""The whole way: pypsrp, WSMan, a genuine engine in server mode, the cmdlets, the world."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pypsrp.complex_objects import PSInvocationState
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.shell import Process, WinRS

from provisioner.lab.functions.lab import LabFunctions
from provisioner.lab.winrm import WinRmEndpoint
from provisioner.lab.world.build import new_world
from provisioner.lab.world.state import Account
from provisioner.lab.world.world import World
from tests.engine.bridge import Engines
from tests.engine.cmdlets.harness import EngineHome
from tests.engine.process import EngineSpec
from tests.lab.cmdlets.helpers import HYPERV
from tests.lab.winrm.doubles import PASSWORD, USER, wsman
from tests.lab.world.hand import NullGuests


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    world = new_world(guests=NullGuests, rate=10.0, accounts=[Account(USER, PASSWORD)])
    world.start()
    yield world
    world.stop()


@pytest.fixture(scope="module")
def endpoint(pwsh: str, running: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WinRmEndpoint]:
    with EngineHome(running, tmp_path_factory.mktemp("engine")) as home:
        spec = EngineSpec(
            home.engine(pwsh),
            lambda identity: home.environment(running.caller(identity.user)),
            after_pipeline=home.sync,
        )
        folder: Path = tmp_path_factory.mktemp("winrm")
        endpoint = WinRmEndpoint(running.kernel, LabFunctions(running), folder, shells=Engines(spec, running.kernel))
        endpoint.start()
        yield endpoint
        endpoint.stop()
        assert not home.server.failures


@pytest.fixture(scope="module")
def pool(endpoint: WinRmEndpoint) -> Iterator[RunspacePool]:
    with wsman(endpoint) as client, RunspacePool(client) as opened:
        yield opened


def test_a_command_with_typed_parameters(pool: RunspacePool) -> None:
    with PowerShell(pool) as shell:
        [vm] = shell.add_cmdlet("Get-VM").add_parameter("Name", ["fileserver"]).invoke()
        assert not shell.had_errors
    assert vm.types[0] == "Microsoft.HyperV.PowerShell.VirtualMachine"
    assert vm.adapted_properties["Name"] == "fileserver"
    assert str(vm.adapted_properties["State"]) == "Running"


def test_an_error_record(pool: RunspacePool) -> None:
    with PowerShell(pool) as shell:
        shell.add_cmdlet("Get-VM").add_parameter("Name", "nobody").invoke()
        [error] = shell.streams.error
    assert error.fq_error == f"InvalidParameter,{HYPERV}GetVM"
    assert error.reason == "VirtualizationException"


def test_every_runspace_of_a_pool_stands_on_the_world(endpoint: WinRmEndpoint) -> None:
    """Two pipelines at once need two runspaces: each has the drives, and the stub in place of the engine's own cmdlet."""
    text = "(Get-VM fileserver).Name; Test-Path C:\\ProgramData; (Get-Command Start-Sleep).ModuleName; Start-Sleep 5"
    with wsman(endpoint) as client, RunspacePool(client, min_runspaces=2, max_runspaces=2) as two:
        shells = [PowerShell(two).add_script(text) for _ in range(2)]
        for shell in shells:
            shell.begin_invoke()
        for shell in shells:
            shell.end_invoke()
            assert shell.output == ["fileserver", True, "Lab.PowerShell"], shell.streams.error


def test_winrs_stands_on_the_world_too(endpoint: WinRmEndpoint) -> None:
    """Also for a client that never ends the standard input, as most do not."""
    text = base64.b64encode("(Get-VM fileserver).Name; Test-Path C:\\ProgramData".encode("utf-16-le")).decode()
    with wsman(endpoint) as client, WinRS(client) as shell:
        process = Process(shell, "powershell.exe", ["-EncodedCommand", text])
        process.invoke()
    assert process.stdout.split() == [b"fileserver", b"True"], process.stderr
    assert process.rc == 0


def test_files_of_a_pipeline_are_the_worlds_when_it_has_ended(pool: RunspacePool, running: World) -> None:
    with PowerShell(pool) as shell:
        shell.add_script("Set-Content -LiteralPath C:\\ProgramData\\x.txt -Value text -NoNewline").invoke()
        assert not shell.had_errors, shell.streams.error
    assert running.storage.read("C:\\ProgramData\\x.txt") == b"text"


def test_a_stop_reaches_a_sleeping_cmdlet(pool: RunspacePool) -> None:
    with PowerShell(pool) as shell:
        shell.add_cmdlet("Start-Sleep").add_parameter("Seconds", 100_000).begin_invoke()
        stopper = threading.Thread(target=shell.stop)
        stopper.start()
        stopper.join(20)
        assert not stopper.is_alive()
        assert shell.state == PSInvocationState.STOPPED
    with PowerShell(pool) as shell:
        assert shell.add_cmdlet("Get-VMHost").add_cmdlet("ForEach-Object").add_argument("Name").invoke() == ["hv01.lab"]
