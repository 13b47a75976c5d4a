"""Life of shells and commands: time-outs, quotas, unknown ones, retransmission."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pypsrp.complex_objects import PSInvocationState
from pypsrp.exceptions import WSManFaultError
from pypsrp.powershell import PowerShell, RunspacePool

from provisioner.lab.winrm import Limits, WinRmEndpoint
from provisioner.lab.winrm.soap import TIMED_OUT, UNKNOWN_SELECTORS
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import Account
from tests.lab.winrm.doubles import TableOfFunctions, call, load, wsman


def begin(pool: RunspacePool, functions: TableOfFunctions, records: int = 3) -> PowerShell:
    """A pipeline that has begun and waits at the gate."""
    shell = PowerShell(pool).add_cmdlet("Wait-TalosGate").add_parameter("Records", records)
    shell.begin_invoke()
    assert functions.entered.acquire(timeout=60)
    return shell


def numbers(results: Sequence[Any]) -> list[int]:
    return [each.extended_properties["Number"] for each in results]


def test_an_operation_that_times_out_is_asked_again(endpoint: WinRmEndpoint, functions: TableOfFunctions) -> None:
    with wsman(endpoint, operation_timeout=1, read_timeout=5) as client, RunspacePool(client) as pool:
        load(pool)
        shell = begin(pool, functions, records=1)
        shell.poll_invoke(timeout=0)
        assert endpoint.stats().faults[TIMED_OUT] == 1
        assert shell.state == PSInvocationState.RUNNING
        functions.gate.release()
        assert numbers(shell.end_invoke()) == [0]
        shell.close()


def test_a_pool_is_neither_disconnected_nor_listed(endpoint: WinRmEndpoint, pool: RunspacePool) -> None:
    for operation in (pool.disconnect, lambda: RunspacePool.get_runspace_pools(pool.connection)):
        with pytest.raises(WSManFaultError, match="not supported"):
            operation()
    assert call(pool, "Get-TalosItems", Id=["a"])[0] == [{"Id": "a"}]
    assert endpoint.stats().open_shells == 1


def test_a_shell_that_is_not_there(endpoint: WinRmEndpoint, pool: RunspacePool) -> None:
    with RunspacePool(wsman(endpoint)) as other:
        gone = PowerShell(other).add_cmdlet("Get-TalosEcho")
    other.state = pool.state
    with pytest.raises(WSManFaultError) as fault:
        gone.begin_invoke()
    assert fault.value.code == UNKNOWN_SELECTORS


def test_a_command_is_gone_after_terminate(pool: RunspacePool) -> None:
    with PowerShell(pool) as shell:
        shell.add_cmdlet("Get-TalosItems").add_parameter("Id", ["a"]).invoke()
    with pytest.raises(WSManFaultError) as fault:
        pool.shell.receive("stdout", command_id=shell.id)
    assert fault.value.code == UNKNOWN_SELECTORS


def test_a_command_id_in_use_is_refused_and_the_first_goes_on(pool: RunspacePool, functions: TableOfFunctions) -> None:
    first = begin(pool, functions, records=1)
    second = PowerShell(pool).add_cmdlet("Get-TalosItems").add_parameter("Id", ["a"])
    second.id = first.id
    with pytest.raises(WSManFaultError) as fault:
        second.begin_invoke()
    assert fault.value.code == 87
    pool.pipelines[first.id] = first
    functions.gate.release()
    assert numbers(first.end_invoke()) == [0]


def test_quotas(start: Callable[..., WinRmEndpoint]) -> None:
    endpoint = start(limits=Limits(shells_per_user=2, commands_per_shell=2))
    with wsman(endpoint) as client, RunspacePool(client) as pool, RunspacePool(client):
        with pytest.raises(WSManFaultError) as shells:
            RunspacePool(client).open()
        assert shells.value.code == 2150859173
        load(pool)
        for _ in range(2):
            PowerShell(pool).add_cmdlet("Get-TalosItems").add_parameter("Id", ["a"]).invoke()
        with pytest.raises(WSManFaultError) as commands:
            PowerShell(pool).add_cmdlet("Get-TalosItems").add_parameter("Id", ["a"]).invoke()
        assert commands.value.code == 2150859241
    assert endpoint.stats().open_shells == 0


def test_an_envelope_that_is_too_large(start: Callable[..., WinRmEndpoint]) -> None:
    endpoint = start(limits=Limits(envelope_kb=150))
    with wsman(endpoint) as client, RunspacePool(client) as pool:
        client.max_payload_size = 400_000
        with pytest.raises(WSManFaultError) as fault:
            client.send(
                "http://schemas.microsoft.com/powershell/Microsoft.PowerShell",
                _send_of(200_000),
                None,
                pool.shell._selector_set,
            )
        assert fault.value.code == 2150859025


def _send_of(size: int) -> ET.Element:
    body = ET.Element("{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}Send")
    ET.SubElement(body, "{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}Stream", Name="stdin").text = (
        "A" * size
    )
    return body


def test_an_idle_shell_expires(start: Callable[..., WinRmEndpoint]) -> None:
    time = [100.0]
    endpoint = start(monotonic=lambda: time[0])
    with wsman(endpoint) as client:
        pool = RunspacePool(client, idle_timeout=60)
        pool.open()
        load(pool)
        time[0] += 59
        load(pool)
        time[0] += 61
        with pytest.raises(WSManFaultError) as fault:
            load(pool)
        assert fault.value.code == UNKNOWN_SELECTORS
    assert endpoint.stats().open_shells == 0


def test_a_restricted_configuration_has_the_functions_and_no_scripts(endpoint: WinRmEndpoint, kernel: Kernel) -> None:
    kernel.state.accounts.append(Account("hv", "hv", ["Hyper-V Administrators"]))
    with wsman(endpoint, username="hv", password="hv") as client:
        with pytest.raises(WSManFaultError) as fault:
            RunspacePool(client).open()
        assert fault.value.code == 5
        with RunspacePool(client, configuration_name="TalosHyperV") as pool:
            assert call(pool, "Get-TalosItems", Id=["a"])[0] == [{"Id": "a"}]
            assert load(pool).streams.error[0].fq_error == "ScriptsNotAllowed"
    assert endpoint.stats().module_loads == 0


def test_another_session_configuration_is_unknown(endpoint: WinRmEndpoint) -> None:
    with pytest.raises(WSManFaultError) as fault:
        RunspacePool(wsman(endpoint), configuration_name="Nobody").open()
    assert fault.value.code == 2150858811


def test_the_service_tells_its_envelope_size(endpoint: WinRmEndpoint) -> None:
    client = wsman(endpoint)
    client.update_max_payload_size()
    assert client.max_envelope_size == 512000


def test_a_receive_with_the_same_message_id_gets_the_same_answer(
    pool: RunspacePool, functions: TableOfFunctions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one with another id gets what comes next."""
    shell = begin(pool, functions, records=2)
    functions.gate.release()
    transport = pool.connection.transport
    sent: list[bytes] = []
    send = transport.send

    def noting(message: bytes, **rest: Any) -> bytes:
        sent.append(message)
        return send(message, **rest)

    monkeypatch.setattr(transport, "send", noting)
    shell.poll_invoke(timeout=2)
    monkeypatch.undo()
    [receive] = [each for each in sent if b"windows/shell/Receive<" in each]
    again = send(receive)
    streams = re.findall(rb"<rsp:Stream[^>]*>([^<]*)<", again)
    assert b"Number" in b"".join(base64.b64decode(each) for each in streams)
    assert streams == re.findall(rb"<rsp:Stream[^>]*>([^<]*)<", send(receive))
    functions.gate.release()
    assert numbers(shell.end_invoke()) == [0, 1]


def test_ids_are_taken_in_any_case(pool: RunspacePool) -> None:
    shell = PowerShell(pool).add_cmdlet("Get-TalosItems").add_parameter("Id", ["a"])
    shell.id = str(uuid.uuid4()).lower()
    assert len(shell.invoke()) == 1
