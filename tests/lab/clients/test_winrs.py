"""The second transport against the lab's command shell: the same port, the same results, errors and bad days."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from provisioner.errors import HostRefused, NotTrusted, Rejected
from provisioner.lab.winrm import WinRmEndpoint
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import Failure
from provisioner.ports import ObserveQuery
from tests.lab.clients.helpers import Client, ScriptedHost, refused, request, row, taken, vm_row
from tests.lab.clients.test_host import inject, link, run

WINRS = {"transport": "winrs"}


def test_one_host_by_either_transport(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    scripted.behaviours["Get-TalosVM"] = lambda given, _s: (
        vm_row(vm_id, Name="仮想", Addresses=["192.0.2.1"], MemoryBytes=2**33) for vm_id in given.get("Id", ["a"])
    )

    async def test() -> None:
        async with Client(endpoint) as first, Client(endpoint, spec=WINRS) as second:
            query = ObserveQuery(switch="LAB", image_name="metal.iso")
            one, other = await first.observe(query), await second.observe(query)
            assert (one.host, one.switch, one.images, one.vms) == (other.host, other.switch, other.images, other.vms)
            assert other.vms[0].name == "仮想"
            assert await first.find_vms(["a", "b"]) == await second.find_vms(["a", "b"])
        assert endpoint.stats().open_shells == 0

    run(test())


def test_arguments_arrive_with_their_values(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    async def test() -> None:
        async with Client(endpoint, spec=WINRS) as host:
            assert (await host.new_vm(request("仮想-01"))).name == "仮想-01"
        arguments = dict(scripted.arguments)["New-TalosVM"]
        assert (arguments["Name"], arguments["MemoryBytes"], arguments["Start"]) == ("仮想-01", 2**32, True)

    run(test())


def test_each_caller_gets_its_own_error_or_result(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    def start(given: Any, streams: Any) -> Any:
        for vm_id in given["Id"]:
            if vm_id.startswith("gone"):
                streams.error(refused("VMNotFound", vm_id))
            else:
                yield vm_row(vm_id, State="Running")

    scripted.behaviours["Start-TalosVM"] = start

    async def test() -> None:
        async with Client(endpoint, spec=WINRS) as host:
            names = ["a", "gone-1", "b"]
            answers = await asyncio.gather(*(host.start_vm(name) for name in names), return_exceptions=True)
            assert [getattr(answer, "id", "") for answer in answers] == ["a", "VMNotFound", "b"]
            assert isinstance(answers[1], HostRefused)
            assert answers[1].target == "gone-1"

    run(test())


def test_who_is_there_and_who_are_we(endpoint: WinRmEndpoint) -> None:
    async def test() -> None:
        async with Client(endpoint, spec=WINRS, password="wrong") as host:
            with pytest.raises(Rejected):
                await host.find_vms(["a"])
        assert endpoint.stats().sign_in_failures == 1
        async with Client(endpoint, spec=WINRS, ca_path=None) as host:
            with pytest.raises(NotTrusted):
                await host.find_vms(["a"])
        pin = endpoint.certificates.server_hash().hex()
        async with Client(endpoint, spec=WINRS | {"pin": pin}, ca_path=None) as host:
            assert await host.find_vms(["a"])
        async with Client(endpoint, spec=WINRS | {"port": 5985}) as host:
            assert await host.find_vms(["a"])

    run(test())


@pytest.mark.parametrize("failure", ["reset", "silence"])
def test_an_outage_within_a_call_is_outlived(
    endpoint: WinRmEndpoint, kernel: Kernel, scripted: ScriptedHost, failure: Failure
) -> None:
    scripted.behaviours["New-TalosVM"] = scripted.waiting

    async def test() -> None:
        client = Client(endpoint, spec=WINRS)
        async with client as host:
            await host.find_vms(["a"])
            receives = endpoint.stats().actions["Receive"]
            call = asyncio.create_task(host.new_vm(request("a")))
            await taken(endpoint, scripted, receives)
            link(kernel, up=False, failure=failure)
            scripted.gate.set()
            await client.gone.wait()
            link(kernel, up=True)
            assert (await call).name == "a"
            assert scripted.runs["New-TalosVM"] == 1

    run(test())


@pytest.mark.parametrize("verb", ["Create", "Command", "Send", "Receive", "Signal"])
@pytest.mark.parametrize("fault", ["winrm-drop", "winrm-lose-answer"])
def test_lost_requests_and_lost_answers(
    endpoint: WinRmEndpoint, kernel: Kernel, scripted: ScriptedHost, fault: str, verb: str
) -> None:
    """What cannot be asked for is run again: the functions look before they change."""

    async def test() -> None:
        async with Client(endpoint, spec=WINRS) as host:
            inject(kernel, fault, verb)
            assert (await host.new_vm(request("a"))).name == "a"
            assert 1 <= scripted.runs["New-TalosVM"] <= 2
            assert len(await host.find_vms(["b"])) == 1
        with kernel.lock:
            assert not any(injection.times for injection in kernel.state.injections), "the fault was met"

    run(test())


def test_leaving_ends_the_process(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    scripted.behaviours["Get-TalosVM"] = scripted.waiting

    async def test() -> None:
        async with Client(endpoint, spec=WINRS) as host:
            reading = asyncio.create_task(host.find_vms(["a"]))
            assert await asyncio.to_thread(scripted.entered.wait, 10)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert await asyncio.to_thread(scripted.stopped.wait, 10)

    run(test())


def test_long_texts_both_ways(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    picture = "QUJD" * 200_000
    scripted.behaviours["Get-TalosConsole"] = lambda given, _s: iter(
        [row("TalosHyperV.Console", Id=given["Id"], Width=1, Height=1, Pixels=picture)]
    )

    async def test() -> None:
        async with Client(endpoint, spec=WINRS) as host:
            assert (await host.console("a", width=1, height=1)).pixels == b"ABC" * 200_000

    run(test())
