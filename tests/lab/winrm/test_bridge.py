"""A genuine engine behind the endpoint: pypsrp, WSMan, packets, pwsh."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pypsrp.complex_objects import PSInvocationState, RunspacePoolState
from pypsrp.exceptions import WSManFaultError
from pypsrp.host import PSHost, PSHostUserInterface
from pypsrp.powershell import PowerShell, RunspacePool

from provisioner.lab.winrm import WinRmEndpoint
from provisioner.lab.winrm.exchange import Identity
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import Account, State, WindowsHost
from tests.engine.bridge import Engines
from tests.engine.process import EngineSpec
from tests.lab.winrm.doubles import PASSWORD, USER, TableOfFunctions, call, until, wsman
from tests.lab.winrm.test_network import inject, link, stubborn
from tests.lab.world.hand import HandClock

MODULE = r"""# TalosHyperV module 1.1.0
function Get-TalosItems {
    [CmdletBinding()] param([Parameter(Mandatory)] [string[]] $Id)
    foreach ($each in $Id) {
        if ($each -eq 'missing') {
            $record = [System.Management.Automation.ErrorRecord]::new([Exception]::new("no $each"), 'VMNotFound', 'ObjectNotFound', $each)
            $PSCmdlet.WriteError($record)
        }
        else { [pscustomobject]@{ PSTypeName = 'TalosHyperV.Items'; Id = $each } }
    }
}
"""
pytestmark = pytest.mark.usefixtures("pwsh")


@pytest.fixture(scope="module")
def world() -> Kernel:
    state = State(host=WindowsHost(name="HV01", address="192.0.2.10"))
    state.accounts += [Account(USER, PASSWORD), Account("operator", "operator", ["Remote Management Users"])]
    return Kernel(state, HandClock())


@pytest.fixture(scope="module")
def spec(pwsh: str, tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    return EngineSpec([pwsh], {"HOME": str(tmp_path_factory.mktemp("home")), "PATH": "/usr/bin:/bin"})


@pytest.fixture(scope="module")
def endpoint(spec: EngineSpec, world: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WinRmEndpoint]:
    made = WinRmEndpoint(world, TableOfFunctions(), tmp_path_factory.mktemp("winrm"), shells=Engines(spec, world))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def pool(endpoint: WinRmEndpoint) -> Iterator[RunspacePool]:
    with wsman(endpoint, operation_timeout=10, read_timeout=15) as client:
        opened = RunspacePool(client)
        opened.open()
        script(opened, MODULE)
        yield opened
        if opened.state == RunspacePoolState.OPENED:
            opened.close()


def script(pool: RunspacePool, text: str) -> list[object]:
    with PowerShell(pool) as shell:
        results = shell.add_script(text, use_local_scope=False).invoke()
        assert not shell.had_errors, shell.streams.error
        return results


def pid(pool: RunspacePool) -> int:
    [found] = script(pool, "$PID")
    return int(str(found))


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_open_call_close(endpoint: WinRmEndpoint, pool: RunspacePool) -> None:
    before = endpoint.stats()
    results, shell = call(pool, "Get-TalosItems", Id=["a", "missing", "仮"])
    assert [each["Id"] for each in results] == ["a", "仮"]
    assert [error.fq_error for error in shell.streams.error] == ["VMNotFound,Get-TalosItems"]
    assert endpoint.stats().calls["Get-TalosItems"] == before.calls["Get-TalosItems"] + 1
    process = pid(pool)
    pool.close()
    until(lambda: gone(process))
    assert endpoint.stats().open_shells == 0


def test_the_module_s_load_is_counted(endpoint: WinRmEndpoint, pool: RunspacePool) -> None:
    loads = endpoint.stats().module_loads
    script(pool, "1")
    script(pool, MODULE)
    assert endpoint.stats().module_loads == loads + 1


def test_input_in_order_and_large_output(pool: RunspacePool) -> None:
    with PowerShell(pool) as shell:
        shell.add_script("$input | ForEach-Object { $_ * 2 }")
        given: Any = list(range(300))  # pypsrp takes any list
        assert shell.invoke(given) == [number * 2 for number in range(300)]
    [text] = script(pool, "'仮' * 300000")
    assert text == "仮" * 300_000


def test_stop(pool: RunspacePool) -> None:
    shell = PowerShell(pool).add_script("'begun'; while ($true) { Start-Sleep -Milliseconds 20 }")
    shell.begin_invoke()

    def begun() -> bool:
        shell.poll_invoke(timeout=1)
        return list(shell.output) == ["begun"]

    until(begun)
    shell.stop()
    assert shell.state == PSInvocationState.STOPPED
    assert script(pool, "1") == [1]


def test_a_drop_loses_nothing(pool: RunspacePool, world: Kernel) -> None:
    shell = PowerShell(pool).add_script("1..5; 'end'")
    inject(world, "winrm-lose-answer", "Receive")
    failures = stubborn(pool)
    shell.begin_invoke()
    assert shell.end_invoke() == [1, 2, 3, 4, 5, "end"]
    link(world, up=False)
    link(world, up=True)
    assert [each["Id"] for each in call(pool, "Get-TalosItems", Id=["a"])[0]] == ["a"]
    assert failures


def test_host_calls_are_answered(endpoint: WinRmEndpoint) -> None:
    class Typing(PSHostUserInterface):
        def ReadLine(self, *_: object) -> str:
            return "typed"

    host = PSHost(None, None, False, "test", None, Typing(), "1.0")
    with wsman(endpoint) as client, RunspacePool(client, host=host) as pool:
        assert script(pool, "$Host.UI.ReadLine()") == ["typed"]


def test_an_engine_that_dies(endpoint: WinRmEndpoint, pool: RunspacePool) -> None:
    shell = PowerShell(pool).add_script("Start-Sleep -Seconds 60")
    process = pid(pool)
    shell.begin_invoke()
    os.kill(process, signal.SIGKILL)
    with pytest.raises(WSManFaultError) as fault:
        shell.end_invoke()
    assert fault.value.code in (995, 2150858843)  # waiting already, or too late
    with pytest.raises(WSManFaultError) as fault:
        script(pool, "1")
    assert fault.value.code == 2150858843
    assert endpoint.stats().open_shells == 0
    pool.state = RunspacePoolState.BROKEN


def test_spares_serve_plain_pools_of_their_user(
    pwsh: str, world: Kernel, tmp_path: Path, endpoint: WinRmEndpoint
) -> None:
    users: list[str] = []

    def environment(identity: Identity) -> dict[str, str]:
        users.append(identity.user)
        return {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "WHO": identity.user}

    ended: list[int] = []
    spec = EngineSpec([pwsh], environment, spares=1, warm_up="$warm = 1", after_pipeline=lambda: ended.append(1))
    engines = Engines(spec, world)
    spared = WinRmEndpoint(world, TableOfFunctions(), tmp_path / "winrm", shells=engines)
    spared.start()
    try:
        until(lambda: engines.ready() == 1)
        with wsman(spared) as client, RunspacePool(client) as pool:
            process = pid(pool)
            assert script(pool, "$env:WHO") == [f"HV01\\{USER}"]
            script(pool, MODULE)
            assert [each["Id"] for each in call(pool, "Get-TalosItems", Id=["a"])[0]] == ["a"]
        assert len(ended) >= 4
        until(lambda: engines.ready() == 1)
        with wsman(spared, username="operator", password="operator") as client, RunspacePool(client) as pool:
            assert script(pool, "$env:WHO") == ["HV01\\operator"]
        assert engines.ready() == 1
        assert users[:2] == [f"HV01\\{USER}"] * 2
    finally:
        spared.stop()
    assert gone(process)


def test_stop_ends_engines_by_their_id(start: Callable[..., WinRmEndpoint], spec: EngineSpec, kernel: Kernel) -> None:
    other = start(shells=Engines(spec, kernel))
    pool = RunspacePool(wsman(other))
    pool.open()
    PowerShell(pool).add_script("while ($true) { Start-Sleep -Milliseconds 20 }").begin_invoke()
    process = other._service._shells[pool.id.upper()].process_id()
    assert not gone(process)
    other.stop()
    assert gone(process)
