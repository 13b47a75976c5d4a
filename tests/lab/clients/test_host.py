"""The host's client against the lab's WinRM endpoint: what it costs, what it refuses, and what it outlives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import pytest

from provisioner.errors import HostRefused, Malformed, NotTrusted, Rejected, Unreachable
from provisioner.hyperv import pool
from provisioner.lab.functions.api import Terminating
from provisioner.lab.winrm import WinRmEndpoint
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import Failure, Injection
from provisioner.ports import ObserveQuery, Progress, VmChange
from tests.lab.clients.helpers import CONTRACT, Client, ScriptedHost, host_row, refused, request, row, taken, vm_row
from tests.lab.winrm.doubles import client_certificate


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test

    asyncio.run(bounded())


def inject(kernel: Kernel, name: str, place: str = "", times: int = 1, value: float = 0.0) -> None:
    with kernel.lock:
        kernel.state.injections.append(Injection(name, place, times, value))


def link(kernel: Kernel, *, up: bool, failure: Failure = "reset") -> None:
    with kernel.lock:
        kernel.state.lan.link.up, kernel.state.lan.link.failure = up, failure
        kernel.changed("link", "")


# --- what it costs ---


@pytest.fixture
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy this computer is, no second session is made."""
    monkeypatch.setattr(pool, "SECOND_S", 60.0)


@pytest.mark.usefixtures("one_worker")
def test_one_call_observes_all(endpoint: WinRmEndpoint) -> None:
    async def test() -> None:
        async with Client(endpoint) as host:
            seen = await host.observe(ObserveQuery(switch="LAB", image_name="metal.iso"))
            assert seen.host.computer_name == "HV01"
            assert seen.switch is not None
            assert not seen.switch.exists
            assert [image.path for image in seen.images] == ["metal.iso"]
            assert [vm.id for vm in seen.vms] == ["a", "b"]
            before = endpoint.stats().actions["Command"]
            await host.observe(ObserveQuery())
            assert endpoint.stats().actions["Command"] - before == 1

    run(test())


def test_the_module_is_loaded_once_in_each_runspace_and_asked_for_first(
    endpoint: WinRmEndpoint, scripted: ScriptedHost
) -> None:
    scripted.behaviours["Get-TalosConsole"] = scripted.waiting

    async def test() -> None:
        async with Client(endpoint) as host:
            await host.find_vms(["a"])
            assert endpoint.stats().module_loads == 1
            held = asyncio.create_task(host.stop_vm("a", turn_off=True))
            scripted.behaviours["Stop-TalosVM"] = scripted.waiting
            await asyncio.to_thread(scripted.entered.wait, 10)
            await asyncio.gather(*(host.find_vms([str(number)]) for number in range(3)))
            assert endpoint.stats().module_loads == 2
            assert endpoint.stats().shells == 2
            scripted.gate.set()
            await held

    run(test())


def test_another_version_is_replaced_by_ours(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    versions = iter(["0.9.0", CONTRACT["module_version"], CONTRACT["module_version"]])
    scripted.behaviours["Get-TalosHost"] = lambda _g, _s: iter([host_row(ModuleVersion=next(versions))])

    async def test() -> None:
        async with Client(endpoint) as host:
            with pytest.raises(HostRefused, match="ModuleVersion"):
                await host.observe(ObserveQuery())
            assert (await host.observe(ObserveQuery())).host.module_version == CONTRACT["module_version"]

    run(test())


@pytest.mark.usefixtures("one_worker")
def test_forty_calls_at_once_are_few_on_the_wire(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    async def test() -> None:
        client = Client(endpoint)
        async with client as host:
            await host.observe(ObserveQuery())
            before = endpoint.stats().actions["Command"]
            started, found, made = await asyncio.gather(
                asyncio.gather(*(host.start_vm(f"s{number}") for number in range(20))),
                asyncio.gather(*(host.find_vms([f"f{number}"]) for number in range(10))),
                asyncio.gather(*(host.new_vm(request(f"n{number}")) for number in range(10))),
            )
            assert [vm.id for vm in started] == [f"s{number}" for number in range(20)]
            assert [vms[0].id for vms in found] == [f"f{number}" for number in range(10)]
            assert [vm.name for vm in made] == [f"n{number}" for number in range(10)]
            assert scripted.runs["Start-TalosVM"] == scripted.runs["Get-TalosVM"] - 1 == 1
        assert sorted(call.functions[0] for call in client.calls[1:]) == ["Get-TalosVM", "New-TalosVM", "Start-TalosVM"]
        assert all(call.outcome == "ok" for call in client.calls)
        assert endpoint.stats().open_shells == 0
        assert endpoint.stats().actions["Command"] - before == 3

    run(test())


def test_the_counted_requests_are_those_of_the_endpoint(endpoint: WinRmEndpoint) -> None:
    async def test() -> None:
        client = Client(endpoint)
        async with client as host:
            await host.observe(ObserveQuery())
            await host.find_vms(["a"])
        asked = sum(endpoint.stats().actions.values()) - endpoint.stats().actions["Delete"]
        assert sum(call.requests for call in client.calls) == asked

    run(test())


# --- arguments, results, errors ---


def test_each_caller_gets_its_own_error_or_result(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    def start(given: Any, streams: Any) -> Any:
        for vm_id in given["Id"]:
            if vm_id.startswith("gone"):
                streams.error(refused("VMNotFound", vm_id))
            else:
                yield vm_row(vm_id, State="Running")

    def new(given: Any, _streams: Any) -> Any:
        if given["Name"] == "taken":
            raise Terminating(refused("VMNotOurs", "taken", "ResourceExists"))
        yield vm_row("x", Name=given["Name"])

    scripted.behaviours["Start-TalosVM"], scripted.behaviours["New-TalosVM"] = start, new

    async def test() -> None:
        async with Client(endpoint) as host:
            names = ["a", "gone-1", "b", "gone-2"]
            answers = await asyncio.gather(*(host.start_vm(name) for name in names), return_exceptions=True)
            assert [getattr(answer, "id", "") for answer in answers] == ["a", "VMNotFound", "b", "VMNotFound"]
            assert isinstance(answers[3], HostRefused)
            assert answers[3].target == "gone-2"
            assert answers[3].function == "Start-TalosVM"
            assert answers[3].message == "仮 VMNotFound gone-2"
            names = ["m1", "taken", "m2", "m3"]
            answers = await asyncio.gather(*(host.new_vm(request(name)) for name in names), return_exceptions=True)
            assert [getattr(answer, "name", type(answer)) for answer in answers] == ["m1", HostRefused, "m2", "m3"]
            assert scripted.runs["New-TalosVM"] == 4, (
                "what came after the terminating error ran once, in a second pipeline"
            )

    run(test())


def test_arguments_arrive_with_their_types(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    scripted.behaviours["Set-TalosVM"] = lambda given, _s: iter([vm_row(given["Id"])])

    async def test() -> None:
        async with Client(endpoint) as host:
            await host.new_vm(request("仮想-01"))
            await host.set_vm(VmChange(id="a", mark="m", memory_mib=1024, vlan=7, boot_order=True))
        arguments = dict(scripted.arguments)
        assert arguments["New-TalosVM"]["Name"] == "仮想-01"
        assert arguments["New-TalosVM"]["MemoryBytes"] == 4 * 2**30
        assert arguments["New-TalosVM"]["Start"] is True
        assert arguments["Set-TalosVM"] == {
            "Id": "a",
            "Mark": "m",
            "MemoryBytes": 2**30,
            "VlanId": 7,
            "FixBootOrder": True,
            **dict.fromkeys(("StaticMemory", "SecureBootOff", "FixActions", "FixNotes"), False),
        }

    run(test())


def test_a_malformed_answer_names_function_and_field(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    scripted.behaviours["Get-TalosVM"] = lambda _g, _s: iter([vm_row("a") | {"Cpus": "two"}])

    async def test() -> None:
        async with Client(endpoint) as host:
            with pytest.raises(Malformed, match=r'Get-TalosVM wrote "two" in Cpus, where a whole number is due'):
                await host.find_vms(["a"])

    run(test())


def test_progress_arrives_while_the_function_runs(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    def save(given: Any, streams: Any) -> Any:
        streams.progress("Download", "half", 50)
        assert scripted.gate.wait(60)
        yield row("TalosHyperV.Image", Path=given["Path"], Exists=True)

    scripted.behaviours["Save-TalosImage"] = save

    async def test() -> None:
        said: list[Progress] = []

        def hear(progress: Progress) -> None:
            said.append(progress)
            scripted.gate.set()

        async with Client(endpoint) as host:
            image = await host.save_image(url="http://u", sha256="", sha256_url="", path="p", progress=hear)
            assert image.exists
        assert said == [Progress(activity="Download", status="half", percent=50)]

    run(test())


def test_neighbours_come_as_they_are_found_and_closing_stops_the_host(
    endpoint: WinRmEndpoint, scripted: ScriptedHost
) -> None:
    def neighbours(given: Any, streams: Any) -> Any:
        yield row("TalosHyperV.Neighbor", MacAddress=given["MacAddress"][0], IPAddress="192.0.2.101")
        yield from scripted.waiting(given, streams)

    scripted.behaviours["Get-TalosNeighbor"] = neighbours

    async def test() -> None:
        async with Client(endpoint) as host:
            watching = host.watch_neighbors(["02155D000011"], wait_s=120)
            first = await anext(watching)
            assert (first.mac, first.address) == ("02155D000011", "192.0.2.101")
            await host.find_vms(["a"])  # the other worker is free
            assert isinstance(watching, AsyncGenerator)
            await watching.aclose()
            assert await asyncio.to_thread(scripted.stopped.wait, 10)
            await host.find_vms(["b"])

    run(test())


# --- who is there, and who are we ---


def test_a_wrong_password_is_tried_once(endpoint: WinRmEndpoint) -> None:
    async def test() -> None:
        async with Client(endpoint, password="wrong") as host:
            answers = await asyncio.gather(
                host.observe(ObserveQuery()), host.find_vms(["a"]), host.start_vm("b"), return_exceptions=True
            )
            assert [type(answer) for answer in answers] == [Rejected] * 3
            with pytest.raises(Rejected):
                await host.find_vms(["a"])
        assert endpoint.stats().sign_in_failures == 1

    run(test())


def test_an_untrusted_certificate_is_named_by_its_fingerprint(endpoint: WinRmEndpoint) -> None:
    shown = endpoint.certificates.server_hash().hex()

    async def test() -> None:
        async with Client(endpoint, ca_path=None) as host:
            with pytest.raises(NotTrusted, match=f"not trusted.*{shown}"):
                await host.observe(ObserveQuery())
        assert endpoint.stats().requests == 0, "not a byte of HTTP went out"

    run(test())


def test_a_pin_stands_in_for_any_authority(endpoint: WinRmEndpoint) -> None:
    right = endpoint.certificates.server_hash().hex()
    spelled = ":".join(right[at : at + 2] for at in range(0, 64, 2)).upper()

    async def test() -> None:
        async with Client(endpoint, ca_path=None, spec={"pin": spelled}) as host:
            assert await host.find_vms(["a"])
        before = endpoint.stats().requests
        async with Client(endpoint, spec={"pin": "ab" * 32}) as host:
            with pytest.raises(NotTrusted, match=f"expected SHA-256 {'ab' * 32}, shown {right}"):
                await host.find_vms(["a"])
        assert endpoint.stats().requests == before

    run(test())


def test_over_http_messages_are_encrypted(endpoint: WinRmEndpoint) -> None:
    async def test() -> None:
        async with Client(endpoint, spec={"port": 5985}) as host:
            assert await host.find_vms(["a"])

    run(test())


def test_a_client_certificate_signs_in(endpoint: WinRmEndpoint) -> None:
    pem = client_certificate(endpoint, "Administrator")

    async def test() -> None:
        async with Client(endpoint, certificate=(pem, pem), password="", spec={"user": ""}) as host:
            assert await host.find_vms(["a"])

    run(test())


def test_a_host_that_is_not_there_is_told_soon(endpoint: WinRmEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provisioner.winrm.connection.FIRST_CONTACT_S", 0.3)
    endpoint.stop()

    async def test() -> None:
        client = Client(endpoint)
        async with client as host:
            with pytest.raises(Unreachable, match=r"^connection refused at 192\.0\.2\.10:5986$"):
                await host.observe(ObserveQuery())
        assert client.away == [], "a host that was never there does not go away"
        assert client.calls[0].outcome == "dropped"

    run(test())


def test_a_sign_in_may_begin_before_anybody_asks(endpoint: WinRmEndpoint) -> None:
    async def test() -> None:
        client = Client(endpoint)
        async with client as host:
            host.begin()
            await host.observe(ObserveQuery())
            assert endpoint.stats().shells == 1
        assert len(client.calls) == 1, "to sign in is no call"
        assert endpoint.stats().open_shells == 0

    run(test())


def test_what_goes_wrong_at_that_sign_in_is_told_to_who_asks(
    endpoint: WinRmEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.winrm.connection.FIRST_CONTACT_S", 0.3)

    async def test() -> None:
        async with Client(endpoint, password="wrong") as host:
            host.begin()
            with pytest.raises(Rejected):
                await host.observe(ObserveQuery())
        assert endpoint.stats().sign_in_failures == 1, "tried once for both"
        endpoint.stop()
        async with Client(endpoint) as host:
            host.begin()
            with pytest.raises(Unreachable, match=r"^connection refused at 192\.0\.2\.10:5986$"):
                await host.observe(ObserveQuery())

    run(test())


def test_who_leaves_at_once_leaves_no_session(endpoint: WinRmEndpoint) -> None:
    async def test() -> None:
        async with Client(endpoint) as host:
            host.begin()
        assert endpoint.stats().shells == 1, "signed in before anybody asked"
        assert endpoint.stats().open_shells == 0

    run(test())


# --- bad days ---


@pytest.mark.parametrize("port", [5986, 5985], ids=["https", "http encrypted"])
@pytest.mark.parametrize("failure", ["reset", "silence"])
def test_an_outage_within_a_call_is_outlived(
    endpoint: WinRmEndpoint, kernel: Kernel, scripted: ScriptedHost, failure: Failure, port: int
) -> None:
    scripted.behaviours["New-TalosVM"] = scripted.waiting

    async def test() -> None:
        client = Client(endpoint, spec={"port": port})
        async with client as host:
            await host.observe(ObserveQuery())
            receives = endpoint.stats().actions["Receive"]
            call = asyncio.create_task(host.new_vm(request("a")))
            await taken(endpoint, scripted, receives)
            link(kernel, up=False, failure=failure)
            scripted.gate.set()  # the function ends while nobody can hear it
            await client.gone.wait()
            link(kernel, up=True)
            assert (await call).name == "a"
            assert scripted.runs["New-TalosVM"] == 1
            assert client.away[-1] is None, "and it is told that the host is back"
            assert await host.find_vms(["b"])

    run(test())


def test_a_host_that_comes_back_elsewhere_is_found(
    endpoint: WinRmEndpoint, kernel: Kernel, scripted: ScriptedHost
) -> None:
    scripted.behaviours["New-TalosVM"] = scripted.waiting

    async def test() -> None:
        client = Client(endpoint)
        async with client as host:
            await host.observe(ObserveQuery())
            receives = endpoint.stats().actions["Receive"]
            call = asyncio.create_task(host.new_vm(request("a")))
            await taken(endpoint, scripted, receives)
            with kernel.lock:
                kernel.state.host.address = "192.0.2.77"  # connections to the old one stay silent for ever
                kernel.changed("host", "")
            port = client.dialer.table.pop(("192.0.2.10", 5986))
            await client.gone.wait()
            client.dialer.table["192.0.2.10", 5986] = port  # name resolution follows it
            scripted.gate.set()
            assert (await call).name == "a"
            assert scripted.runs["New-TalosVM"] == 1
            assert client.away[1:] == [None]

    run(test())


@pytest.mark.parametrize("verb", ["Create", "Command", "Receive", "Signal"])
@pytest.mark.parametrize("fault", ["winrm-drop", "winrm-lose-answer"])
def test_lost_requests_and_lost_answers(
    endpoint: WinRmEndpoint, kernel: Kernel, scripted: ScriptedHost, fault: str, verb: str
) -> None:
    """At each verb, before and after it was worked on: the function runs once, and its result arrives once."""

    async def test() -> None:
        async with Client(endpoint) as host:
            if verb != "Create":
                await host.observe(ObserveQuery())
            inject(kernel, fault, verb)
            assert (await host.new_vm(request("a"))).name == "a"
            assert scripted.runs["New-TalosVM"] == 1
            assert len(await host.find_vms(["b"])) == 1
        with kernel.lock:
            assert not any(injection.times for injection in kernel.state.injections), "the fault was met"

    run(test())


def test_records_arrive_once_each_through_resets(
    endpoint: WinRmEndpoint, kernel: Kernel, scripted: ScriptedHost
) -> None:
    def many(_given: Any, _streams: Any) -> Any:
        for number in range(30):
            if number % 10 == 5:  # all connections are reset while records are on their way
                link(kernel, up=False)
                link(kernel, up=True)
            yield row("TalosHyperV.Neighbor", MacAddress=f"{number:012}", IPAddress="192.0.2.1")

    scripted.behaviours["Get-TalosNeighbor"] = many

    async def test() -> None:
        async with Client(endpoint) as host:
            rows = await host.find_neighbors(["02155D000011"], sweep=True)
            assert [int(each.mac) for each in rows] == list(range(30))
        assert scripted.runs["Get-TalosNeighbor"] == 1

    run(test())


def test_too_many_shells_is_the_hosts_own_word(endpoint: WinRmEndpoint, kernel: Kernel) -> None:
    inject(kernel, "winrm-quota")

    async def test() -> None:
        async with Client(endpoint) as host:
            with pytest.raises(HostRefused, match=r"WinRM: WinRM\.\d+: .*too many shells"):
                await host.find_vms(["a"])
            assert await host.find_vms(["a"])

    run(test())


def test_a_restricted_endpoint_gets_no_text(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    restricted = {"endpoint": "TalosHyperV"}  # has the module installed

    async def test() -> None:
        async with Client(endpoint, spec=restricted) as host:
            assert (await host.find_vms(["a"]))[0].id == "a"
        scripted.behaviours["Get-TalosHost"] = lambda _g, _s: iter([host_row(ModuleVersion="0.9.0")])
        async with Client(endpoint, spec=restricted) as host:
            with pytest.raises(HostRefused, match=r"ModuleNotInstalled: the endpoint TalosHyperV has no TalosHyperV 1"):
                await host.find_vms(["a"])
        assert endpoint.stats().module_loads == 0

    run(test())


def test_text_that_an_earlier_run_found_needed_is_loaded_with_the_session(endpoint: WinRmEndpoint) -> None:
    """What is learned is told: whether the host lacks the module. Then nothing is asked before the call itself."""
    told: list[bool] = []

    async def test() -> None:
        for known, pipelines in ((False, 3), (True, 2)):
            before = endpoint.stats().actions["Command"]
            async with Client(endpoint, lacks_module=known, on_module=told.append) as host:
                await host.observe(ObserveQuery())
            assert endpoint.stats().actions["Command"] - before == pipelines
        before = endpoint.stats().actions["Command"]
        async with Client(endpoint, lacks_module=True) as host:
            host.begin()
            await host.find_vms(["a"])
        assert endpoint.stats().actions["Command"] - before == 2
        assert (told, endpoint.stats().module_loads) == ([True, True], 3)

    run(test())


@pytest.mark.parametrize("open_by_name", [False, True])
def test_an_installed_module_is_used_whatever_an_earlier_run_found(
    endpoint: WinRmEndpoint, monkeypatch: pytest.MonkeyPatch, open_by_name: bool
) -> None:
    """An endpoint that takes no text is sent none, or has refused it: it is asked for its own module then."""
    monkeypatch.setattr("provisioner.winrm.psrp.accepts_scripts", lambda _endpoint: open_by_name)
    told: list[bool] = []

    async def test() -> None:
        given: dict[str, Any] = {"lacks_module": True, "on_module": told.append}
        async with Client(endpoint, spec={"endpoint": "TalosHyperV"}, **given) as host:
            assert (await host.find_vms(["a"]))[0].id == "a"
            assert (await host.observe(ObserveQuery())).host.computer_name == "HV01"
        assert (told, endpoint.stats().module_loads) == ([False], 0)

    run(test())


def test_constrained_powershell_is_asked_for_an_installed_module_the_next_time(
    endpoint: WinRmEndpoint, scripted: ScriptedHost
) -> None:
    scripted.behaviours["Get-TalosHost"] = lambda _g, _s: iter([host_row(LanguageMode="ConstrainedLanguage")])
    told: list[bool] = []

    async def test() -> None:
        async with Client(endpoint, lacks_module=True, on_module=told.append) as host:
            await host.observe(ObserveQuery())
        assert told == [False]

    run(test())


def test_a_session_that_the_host_forgot_is_made_anew(endpoint: WinRmEndpoint, kernel: Kernel) -> None:
    async def test() -> None:
        async with Client(endpoint) as host:
            await host.observe(ObserveQuery())
            inject(kernel, "winrm-forget", "Command")
            assert len(await host.find_vms(["b"])) == 1
            inject(kernel, "winrm-forget", "Receive")
            assert len(await host.find_vms(["c"])) == 1
        assert endpoint.stats().module_loads == 3

    run(test())


@pytest.mark.usefixtures("one_worker")
def test_a_refused_sign_in_in_the_middle_is_not_repeated(endpoint: WinRmEndpoint, kernel: Kernel) -> None:
    async def test() -> None:
        async with Client(endpoint) as host:
            await host.observe(ObserveQuery())
            inject(kernel, "winrm-refuse", times=2)  # the request, and the sign-in that it asks for
            with pytest.raises(Rejected):
                await host.find_vms(["b"])
            with pytest.raises(Rejected):
                await host.find_vms(["b"])
        assert endpoint.stats().sign_in_failures == 2

    run(test())


# --- leaving ---


def test_a_read_is_stopped_when_nobody_waits(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    scripted.behaviours["Get-TalosVM"] = scripted.waiting

    async def test() -> None:
        async with Client(endpoint) as host:
            reading = asyncio.create_task(host.find_vms(["a"]))
            assert await asyncio.to_thread(scripted.entered.wait, 10)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert await asyncio.to_thread(scripted.stopped.wait, 10)

    run(test())


def test_a_download_is_stopped_too(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    scripted.behaviours["Save-TalosImage"] = scripted.waiting

    async def test() -> None:
        async with Client(endpoint) as host:
            saving = asyncio.create_task(
                host.save_image(url="u", sha256="", sha256_url="", path="p", progress=lambda _p: None)
            )
            assert await asyncio.to_thread(scripted.entered.wait, 10)
            saving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await saving
            assert await asyncio.to_thread(scripted.stopped.wait, 10)

    run(test())


def test_a_change_in_flight_is_let_end(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    scripted.behaviours["New-TalosVM"] = scripted.waiting

    async def test() -> None:
        async with Client(endpoint) as host:
            await host.observe(ObserveQuery())
            making = asyncio.create_task(host.new_vm(request("a")))
            assert await asyncio.to_thread(scripted.entered.wait, 10)
            making.cancel()
            threading.Timer(0.1, scripted.gate.set).start()
            with pytest.raises(asyncio.CancelledError):
                await making
            assert scripted.gate.is_set()
            assert not scripted.stopped.is_set()

    run(test())


def test_what_has_not_begun_never_will(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    scripted.behaviours["Get-TalosVM"] = scripted.waiting

    async def test() -> None:
        async with Client(endpoint) as host:
            reading = asyncio.create_task(
                host.find_vms(["a"])
            )  # the first call of all: until it is answered, others wait
            making, other = (asyncio.create_task(host.new_vm(request(name))) for name in ("a", "b"))
            await asyncio.sleep(0.01)
            making.cancel()
            with pytest.raises(asyncio.CancelledError):
                await making
            scripted.gate.set()
            await reading
            assert (await other).name == "b"
            assert scripted.runs["New-TalosVM"] == 1, "of two that would have gone together"

    run(test())


def test_secrets_are_in_no_repr(endpoint: WinRmEndpoint) -> None:
    from provisioner.winrm.transport import SignIn

    assert "hunter2" not in repr(SignIn(user="u", password="hunter2"))
    assert "hunter2" not in repr(vars(Client(endpoint, password="hunter2").host))
