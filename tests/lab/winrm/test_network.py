"""Bad networks: what is lost, what is kept, and that nothing runs twice."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from pypsrp.exceptions import AuthenticationError, WinRMTransportError, WSManFaultError
from pypsrp.powershell import PowerShell, RunspacePool

from provisioner.lab.winrm import WinRmEndpoint
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import Failure, Injection
from tests.lab.winrm.doubles import TableOfFunctions, call, load, until, wsman
from tests.lab.winrm.test_shells import begin, numbers

WAYS: dict[str, dict[str, Any]] = {
    "basic over TLS": {"auth": "basic"},
    "NTLM over TLS": {"auth": "ntlm"},
    "NTLM over HTTP": {"auth": "ntlm", "ssl": False},
}


def stubborn(pool: RunspacePool) -> list[Exception]:
    """Lets the client send a message again, the very same, over a fresh connection until it is through; gives the failures."""
    transport = pool.connection.transport
    send = transport.send
    failures: list[Exception] = []

    def again(message: bytes, **rest: Any) -> bytes:
        for _ in range(500):
            try:
                return send(message, **rest | {"retries_on_read_timeout": 0})
            except (requests.ConnectionError, requests.Timeout, WinRMTransportError) as error:
                if (
                    isinstance(error, WinRMTransportError) and error.code != 400
                ):  # 400: keys of a connection that is gone
                    raise
                failures.append(error)
                transport.close()
                transport.session = transport.encryption = None
                threading.Event().wait(0.01)
        raise AssertionError("500 failures in a row")

    setattr(transport, "send", again)
    return failures


def link(kernel: Kernel, *, up: bool, failure: Failure = "reset") -> None:
    with kernel.lock:
        kernel.state.lan.link.up = up
        kernel.state.lan.link.failure = failure
        kernel.changed("link")


def inject(kernel: Kernel, name: str, place: str = "", value: float = 0.0, times: int = 1) -> None:
    with kernel.lock:
        kernel.state.injections.append(Injection(name, place, times, value))


@pytest.fixture(params=WAYS)
def pool(request: pytest.FixtureRequest, endpoint: WinRmEndpoint) -> Iterator[RunspacePool]:
    with wsman(endpoint, operation_timeout=1, read_timeout=3, **WAYS[request.param]) as client:
        opened = RunspacePool(client)
        opened.open()
        load(opened)
        yield opened


def test_three_resets_lose_nothing(pool: RunspacePool, kernel: Kernel, functions: TableOfFunctions) -> None:
    shell = begin(pool, functions, records=6)
    failures = stubborn(pool)
    results: list[int] = []
    done = threading.Event()

    def collect() -> None:
        results.extend(numbers(shell.end_invoke()))
        done.set()

    thread = threading.Thread(target=collect)
    thread.start()
    for _ in range(3):
        failed = len(failures)
        functions.gate.release()
        link(kernel, up=False)
        functions.gate.release()
        until(lambda: len(failures) > failed)
        link(kernel, up=True)
    assert done.wait(60)
    thread.join()
    assert results == [0, 1, 2, 3, 4, 5]
    assert functions.runs == {"Wait-TalosGate": 1}


def test_while_the_link_is_reset_new_connections_are_refused(
    pool: RunspacePool, endpoint: WinRmEndpoint, kernel: Kernel, functions: TableOfFunctions
) -> None:
    link(kernel, up=False)
    for port in (endpoint.https_port, endpoint.http_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 2)
    with pytest.raises(requests.ConnectionError):
        call(pool, "Get-TalosItems", Id=["a"])
    link(kernel, up=True)
    assert functions.runs == {}
    pool.connection.transport.session = pool.connection.transport.encryption = None
    assert call(pool, "Get-TalosItems", Id=["a"])[0] == [{"Id": "a"}]


def test_a_connection_is_reset_and_not_closed_politely(endpoint: WinRmEndpoint, kernel: Kernel) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.http_port), 2) as client:
        client.sendall(b"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert b" 401 " in client.recv(4096)
        link(kernel, up=False)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_silence_swallows_and_then_delivers(
    pool: RunspacePool, endpoint: WinRmEndpoint, kernel: Kernel, functions: TableOfFunctions
) -> None:
    shell = begin(pool, functions, records=2)
    link(kernel, up=False, failure="silence")
    functions.gate.release(2)
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", endpoint.https_port), 0.2)
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.extend(numbers(shell.end_invoke())))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    link(kernel, up=True)
    thread.join(10)
    assert results == [0, 1]


def test_output_is_not_lost_to_a_client_that_gave_up_in_silence(
    pool: RunspacePool, kernel: Kernel, functions: TableOfFunctions
) -> None:
    shell = begin(pool, functions, records=2)
    failures = stubborn(pool)
    link(kernel, up=False, failure="silence")
    functions.gate.release(2)
    transport = pool.connection.transport
    read_timeout = transport.read_timeout
    setattr(transport, "read_timeout", 0.2)  # requests takes fractions
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.extend(numbers(shell.end_invoke())))
    thread.start()
    until(lambda: len(failures) > 0)
    transport.read_timeout = read_timeout
    link(kernel, up=True)
    thread.join(10)
    assert results == [0, 1]


@pytest.mark.parametrize("noticed", [0, 1])
@pytest.mark.parametrize("verb", ["Receive", "Signal"])
def test_lost_answers_are_given_again(
    verb: str, noticed: int, pool: RunspacePool, kernel: Kernel, functions: TableOfFunctions
) -> None:
    failures = stubborn(pool)
    inject(kernel, "winrm-lose-answer", verb, noticed, times=2)
    results, _ = call(pool, "Get-TalosItems", Id=["a", "b"])
    assert [each["Id"] for each in results] == ["a", "b"]
    assert functions.runs == {"Get-TalosItems": 1}
    assert len(failures) == 2


def test_a_lost_command_has_run_and_can_be_asked_for(
    pool: RunspacePool, kernel: Kernel, functions: TableOfFunctions
) -> None:
    shell = PowerShell(pool).add_cmdlet("Get-TalosItems").add_parameter("Id", ["a"])
    inject(kernel, "winrm-lose-answer", "Get-TalosItems")
    with pytest.raises(requests.ConnectionError):
        shell.begin_invoke()
    pool.connection.transport.session = pool.connection.transport.encryption = None
    streams = pool.shell.receive("stdout", command_id=shell.id)[2]["stdout"]
    assert b"<S>a</S>" in streams or b'N="Id">a<' in streams
    assert functions.runs == {"Get-TalosItems": 1}


def test_a_dropped_command_has_not_run(pool: RunspacePool, kernel: Kernel, functions: TableOfFunctions) -> None:
    inject(kernel, "winrm-drop", "Get-TalosItems")
    failures = stubborn(pool)
    assert call(pool, "Get-TalosItems", Id=["a"])[0] == [{"Id": "a"}]
    assert functions.runs == {"Get-TalosItems": 1}
    assert len(failures) == 1


def test_all_is_dropped_after_so_many_pipelines(pool: RunspacePool, kernel: Kernel) -> None:
    inject(kernel, "winrm-drop-after", value=2)
    assert call(pool, "Get-TalosItems", Id=["a"])[0]
    with pytest.raises(requests.ConnectionError):
        call(pool, "Get-TalosItems", Id=["a"])


def test_a_stalled_and_a_slow_answer_arrive(pool: RunspacePool, kernel: Kernel) -> None:
    inject(kernel, "winrm-stall", "Command", value=0.05)
    inject(kernel, "winrm-slow", "Receive", value=50_000)
    assert call(pool, "Get-TalosItems", Id=["a"])[0] == [{"Id": "a"}]


def test_a_sign_in_that_is_refused(endpoint: WinRmEndpoint, kernel: Kernel) -> None:
    inject(kernel, "winrm-refuse", "Administrator")
    with pytest.raises(AuthenticationError):
        RunspacePool(wsman(endpoint)).open()
    with RunspacePool(wsman(endpoint)):
        pass


def test_a_quota_by_name(endpoint: WinRmEndpoint, kernel: Kernel) -> None:
    inject(kernel, "winrm-quota", "Administrator")
    with pytest.raises(WSManFaultError) as fault:
        RunspacePool(wsman(endpoint)).open()
    assert fault.value.code == 2150859173


def test_a_strange_certificate_is_refused_by_the_client(endpoint: WinRmEndpoint, kernel: Kernel) -> None:
    with RunspacePool(wsman(endpoint)):
        pass
    inject(kernel, "winrm-certificate")
    for _ in range(2):
        with pytest.raises(requests.exceptions.SSLError):
            RunspacePool(wsman(endpoint)).open()


@pytest.mark.parametrize("by_reboot", [True, False])
def test_shells_are_forgotten(by_reboot: bool, pool: RunspacePool, kernel: Kernel) -> None:
    stubborn(pool)
    if by_reboot:
        with kernel.lock:
            kernel.state.host.booted = 5.0
            kernel.changed("host")
    else:
        inject(kernel, "winrm-forget", "Command")
    with pytest.raises(WSManFaultError) as fault:
        call(pool, "Get-TalosItems", Id=["a"])
    assert fault.value.code == 2150858843


class Table:
    """Routes as the lab's process keeps them."""

    def __init__(self) -> None:
        self.ports: dict[tuple[str, int], int] = {}

    def publish(self, address: str, port: int, loopback_port: int) -> None:
        self.ports[address, port] = loopback_port

    def withdraw(self, address: str, port: int) -> None:
        del self.ports[address, port]

    def loopback_port(self, address: str, port: int) -> int:
        return self.ports[address, port]

    def listener(self, address: str, port: int) -> socket.socket:
        raise NotImplementedError


def test_a_host_that_comes_back_with_another_address(
    start: Callable[..., WinRmEndpoint], kernel: Kernel, functions: TableOfFunctions
) -> None:
    routes = Table()
    endpoint = start(routes=routes)
    ports = {5986: endpoint.https_port, 5985: endpoint.http_port}
    assert routes.ports == {(name, port): at for port, at in ports.items() for name in ("192.0.2.10", "hv01.lab")}
    with wsman(endpoint, operation_timeout=1, read_timeout=1) as client, RunspacePool(client) as pool:
        load(pool)
        shell = begin(pool, functions, records=1)
        failures = stubborn(pool)
        link(kernel, up=False, failure="silence")
        with kernel.lock:
            kernel.state.host.address = "192.0.2.77"
        functions.gate.release()
        link(kernel, up=True)
        assert numbers(shell.end_invoke()) == [0]
        assert len(failures) == 1  # the old connection stayed silent
    assert routes.ports == {(name, port): at for port, at in ports.items() for name in ("192.0.2.77", "hv01.lab")}


def test_a_host_without_an_address_for_a_while(
    start: Callable[..., WinRmEndpoint], kernel: Kernel, functions: TableOfFunctions
) -> None:
    routes = Table()
    endpoint = start(routes=routes)
    with wsman(endpoint, operation_timeout=5, read_timeout=10) as client, RunspacePool(client) as pool:
        load(pool)
        shell = begin(pool, functions, records=1)
        functions.gate.release()
        for address, places in (("", {"hv01.lab"}), ("192.0.2.10", {"192.0.2.10", "hv01.lab"})):
            with kernel.lock:
                kernel.state.host.address = address
                kernel.changed("host")
            assert {name for name, _ in routes.ports} == places
        assert numbers(shell.end_invoke()) == [0]
        assert endpoint.stats().connections == 1  # the old one came to life again


def test_stop_ends_everything(start: Callable[..., WinRmEndpoint], functions: TableOfFunctions) -> None:
    endpoint = start()
    pool = RunspacePool(wsman(endpoint))
    pool.open()
    load(pool)
    begin(pool, functions)
    endpoint.stop()
    assert functions.stopped.wait(60)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", endpoint.https_port), 2)
    with pytest.raises(requests.ConnectionError):
        call(pool, "Get-TalosItems", Id=["a"])
