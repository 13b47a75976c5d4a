"""Calls of functions by an unmodified pypsrp: values, streams, statements, stop."""

from __future__ import annotations

import base64
import re
import threading
from typing import Any

import pytest
from pypsrp.complex_objects import PSInvocationState
from pypsrp.exceptions import WSManFaultError
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.serializer import TaggedValue

from provisioner.lab.winrm import WinRmEndpoint
from tests.lab.winrm.doubles import TableOfFunctions, call, load, until, wsman


def test_values_come_and_go_unchanged(pool: RunspacePool, endpoint: WinRmEndpoint) -> None:
    text = "仮想🚀\r\n_x000A_\t<&>"
    [result], shell = call(
        pool, "get-talosecho", Text=text, Names=["a", "b"], Flag=True, Bytes=TaggedValue("I64", 1 << 33), Force=None
    )
    assert not shell.had_errors
    assert result == {
        "Given": ["Bytes", "Count", "Flag", "Force", "Names", "Text"],
        "Text": text,
        "Names": ["a", "b"],
        "Count": 7,
        "Bytes": 1 << 33,
        "Flag": True,
        "Force": False,
        "Null": None,
        "Large": 1 << 40,
    }
    assert endpoint.stats().calls == {"Get-TalosEcho": 1}


def test_results_carry_their_type_name(pool: RunspacePool) -> None:
    with PowerShell(pool) as shell:
        [result] = shell.add_cmdlet("Get-TalosEcho").add_parameter("Text", "x").invoke()
    assert result.types[0] == "TalosHyperV.Echo"


def test_an_int64_stays_one_and_an_int32_too(pool: RunspacePool) -> None:
    transport = pool.connection.transport
    answers: list[bytes] = []
    send = transport.send

    def noting(message: bytes, **rest: Any) -> bytes:
        answers.append(send(message, **rest))
        return answers[-1]

    setattr(transport, "send", noting)
    call(pool, "Get-TalosEcho", Text="x", Bytes=3)
    streams = b"".join(map(base64.b64decode, re.findall(rb"<rsp:Stream[^>]*>([^<]*)<", b"".join(answers))))
    assert b'<I64 N="Bytes">3</I64>' in streams
    assert b'<I32 N="Count">7</I32>' in streams
    assert b'<I64 N="Large">1099511627776</I64>' in streams


def test_an_integer_out_of_its_range_is_a_fault_and_not_a_dead_connection(pool: RunspacePool) -> None:
    with pytest.raises(WSManFaultError) as refused:
        call(pool, "Get-TalosEcho", Text="x", Bytes=1 << 33)
    assert refused.value.code == 87
    assert call(pool, "Get-TalosEcho", Text="x")[0]


def test_large_payloads_both_ways(pool: RunspacePool) -> None:
    text = "あ" * 1_000_000
    [result], _ = call(pool, "Get-TalosEcho", Text=text)
    assert result["Text"] == text
    results, _ = call(pool, "Get-TalosMany", Count=1000, Size=10)
    assert [each["Number"] for each in results] == list(range(1000))


def test_errors_that_are_gone_on_from(pool: RunspacePool) -> None:
    results, shell = call(pool, "Get-TalosItems", Id=["a", "missing", "b"])
    assert [each["Id"] for each in results] == ["a", "b"]
    assert (shell.state, shell.had_errors) == (PSInvocationState.COMPLETED, False)
    [error] = shell.streams.error
    assert error.fq_error == "VMNotFound,Get-TalosItems"
    assert (int(error.category or 0), error.target_name, str(error)) == (13, "missing", "no missing")
    assert [str(each) for each in shell.streams.warning] == ["that was all"]
    [progress] = shell.streams.progress
    assert (progress.activity, progress.description, progress.percent_complete) == ("Items", "reading", 50)


def test_a_terminating_error_keeps_what_came_before(pool: RunspacePool) -> None:
    results, shell = call(pool, "Get-TalosItems", Id=["a", "fatal", "b"])
    assert [each["Id"] for each in results] == ["a"]
    assert shell.state == PSInvocationState.FAILED
    assert [error.fq_error for error in shell.streams.error] == ["VMFatal,Get-TalosItems"]


@pytest.mark.parametrize(
    ("action", "ids", "errors", "state"),
    [
        ("Stop", ["a"], 1, PSInvocationState.FAILED),
        ("SilentlyContinue", ["a", "b"], 0, PSInvocationState.COMPLETED),
        ("ignore", ["a", "b"], 0, PSInvocationState.COMPLETED),
    ],
)
def test_error_action(action: str, ids: list[str], errors: int, state: int, pool: RunspacePool) -> None:
    results, shell = call(pool, "Get-TalosItems", Id=["a", "missing", "b"], ErrorAction=action)
    assert ([each["Id"] for each in results], len(shell.streams.error), shell.state) == (ids, errors, state)


def test_what_if_only_where_something_changes(pool: RunspacePool) -> None:
    assert call(pool, "Set-TalosEcho", Text="x", WhatIf=True)[0] == [{"Text": "x", "Changed": False}]
    _, shell = call(pool, "Get-TalosEcho", Text="x", WhatIf=True)
    assert shell.streams.error[0].fq_error == "NamedParameterNotFound,Get-TalosEcho"


def test_statements_run_in_order_and_end_at_a_terminating_error(
    pool: RunspacePool, functions: TableOfFunctions
) -> None:
    with PowerShell(pool) as shell:
        shell.add_cmdlet("Get-TalosItems").add_parameter("Id", ["a", "missing"]).add_statement()
        shell.add_cmdlet("Get-TalosItems").add_parameter("Id", "c").add_statement()
        shell.add_cmdlet("Get-TalosItems").add_parameter("Id", "fatal").add_statement()
        shell.add_cmdlet("Get-TalosItems").add_parameter("Id", "d")
        results = shell.invoke()
    assert [each.extended_properties["Id"] for each in results] == ["a", "c"]
    assert functions.runs == {"Get-TalosItems": 3}
    assert [str(error.fq_error).split(",")[0] for error in shell.streams.error] == ["VMNotFound", "VMFatal"]


# -- the module's text


def test_functions_are_those_of_the_text(endpoint: WinRmEndpoint) -> None:
    with wsman(endpoint) as client, RunspacePool(client) as pool:
        _, shell = call(pool, "Get-TalosEcho", Text="x")
        assert shell.streams.error[0].fq_error == "CommandNotFoundException"
        load(pool, "# TalosHyperV module 1.1.0\nfunction Get-TalosEcho {\n}\nfunction Get-TalosUnknown {\n}\n")
        assert call(pool, "Get-TalosEcho", Text="x")[0]
        for name in ("Get-TalosItems", "Get-TalosUnknown"):
            assert call(pool, name)[1].streams.error[0].fq_error == "CommandNotFoundException"
    assert endpoint.stats().module_loads == 1


def test_definitions_of_a_local_scope_end_with_it(endpoint: WinRmEndpoint) -> None:
    with wsman(endpoint) as client, RunspacePool(client) as pool:
        load(pool, local=True)
        assert call(pool, "Get-TalosEcho", Text="x")[1].had_errors


def test_another_script_fails_and_shows_its_beginning(pool: RunspacePool) -> None:
    shell = load(pool, "Get-VM | " + "x" * 200)
    [error] = shell.streams.error
    assert shell.had_errors
    assert "'Get-VM | " + "x" * 111 + "'" in str(error)
    assert load(pool, "# TalosHyperV module of mine\nfunction Get-TalosEcho {}").had_errors


def test_a_pipeline_into_something_unknown_fails(pool: RunspacePool) -> None:
    with PowerShell(pool) as shell:
        shell.add_cmdlet("Get-TalosItems").add_parameter("Id", ["a"]).add_cmdlet("Sort-Object").invoke()
    assert "Sort-Object" in str(shell.streams.error[0])


def test_functions_live_in_one_runspace(endpoint: WinRmEndpoint, functions: TableOfFunctions) -> None:
    with wsman(endpoint) as client, RunspacePool(client, max_runspaces=2) as pool:
        load(pool)
        first = PowerShell(pool).add_cmdlet("Wait-TalosGate")
        first.begin_invoke()
        assert functions.entered.acquire(timeout=60)
        _, second = call(pool, "Get-TalosEcho", Text="x")
        assert second.streams.error[0].fq_error == "CommandNotFoundException"
        functions.gate.release()
        first.end_invoke()
        first.close()


def test_a_pool_of_one_runs_one_after_the_other(pool: RunspacePool, functions: TableOfFunctions) -> None:
    first = PowerShell(pool).add_cmdlet("Wait-TalosGate").add_parameter("Records", 1)
    first.begin_invoke()
    assert functions.entered.acquire(timeout=60)
    second = PowerShell(pool).add_cmdlet("Get-TalosItems").add_parameter("Id", ["a"])
    second.begin_invoke()
    assert functions.runs["Get-TalosItems"] == 0
    functions.gate.release()
    assert len(second.end_invoke()) == 1
    assert len(first.end_invoke()) == 1
    first.close()
    second.close()


def test_stop_ends_a_function_at_work(pool: RunspacePool, functions: TableOfFunctions, endpoint: WinRmEndpoint) -> None:
    receives = endpoint.stats().actions["Receive"]
    shell = PowerShell(pool).add_cmdlet("Wait-TalosGate")
    shell.begin_invoke()
    ended = threading.Event()

    def wait() -> None:
        shell.end_invoke()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    assert functions.entered.acquire(timeout=60)
    until(lambda: endpoint.stats().actions["Receive"] > receives)
    shell.stop()
    assert ended.wait(60)
    assert functions.stopped.wait(60)
    assert shell.state == PSInvocationState.STOPPED
    assert call(pool, "Get-TalosItems", Id=["a"])[0] == [{"Id": "a"}]


def test_pool_requests(endpoint: WinRmEndpoint) -> None:
    with wsman(endpoint) as client, RunspacePool(client, max_runspaces=3) as pool:
        pool.exchange_keys()
        with pytest.raises(WSManFaultError, match="does not model GetAvailableRunspaces"):
            pool.get_available_runspaces()
        assert pool.application_private_data is not None
        table = pool.application_private_data.data["PSVersionTable"]
        assert table["PSVersion"] == "5.1.20348.2227"


def test_one_pool_per_thread_holds_under_any_switching(
    endpoint: WinRmEndpoint, fast_switching: None, functions: TableOfFunctions
) -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        with wsman(endpoint, ssl=number % 2 == 0) as client, RunspacePool(client) as pool:
            load(pool)
            for turn in range(10):
                wanted = f"{number}/{turn}"
                results, shell = call(pool, "Get-TalosEcho", Text=wanted)
                if [each["Text"] for each in results] != [wanted]:
                    wrong.append((wanted, results, [str(error) for error in shell.streams.error]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert functions.runs["Get-TalosEcho"] == 40
