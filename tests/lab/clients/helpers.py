"""A host whose functions a test scripts, behind the lab's real endpoint: parameters and fields are the contract's."""

from __future__ import annotations

import asyncio
import gzip
import io
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import yaml
from google.protobuf.empty_pb2 import Empty

from provisioner.errors import Unreachable
from provisioner.hyperv.client import HyperVHost
from provisioner.lab.functions.api import ErrorRecord, Streams, Terminating, contract
from provisioner.lab.winrm import WinRmEndpoint
from provisioner.model.cluster import HostSpec
from provisioner.ports import CallInfo, Endpoint, TalosAccess, VmRequest
from provisioner.talos.api.client import TalosMachines
from tests.conftest import ROOT

USER, PASSWORD = "Administrator", "Pa:ss w0rd!ä"
CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "powershell/TalosHyperV/contract.yaml").read_text())
_PLAIN = {"string": "", "bool": False, "int32": 0, "int64": 0, "string[]": [], "json": "[]", "bytes": "", "guid": ""}
_TIME = "2026-11-24T05:00:00.1234567Z"

Behaviour = Callable[[Mapping[str, Any], Streams], Iterator[Mapping[str, Any]]]


def row(type_name: str, **given: Any) -> dict[str, Any]:
    """An object of the contract, plain but for what is given."""
    fields = CONTRACT["types"][type_name]
    unknown = set(given) - set(fields)
    assert not unknown, f"{type_name} has no {unknown}"
    return {name: given.get(name, _TIME if kind == "time" else _PLAIN[kind]) for name, kind in fields.items()}


def vm_row(vm_id: str, **given: Any) -> dict[str, Any]:
    return row("TalosHyperV.VM", Id=vm_id, Name=given.pop("Name", f"vm-{vm_id}"), **given)


def host_row(**given: Any) -> dict[str, Any]:
    return row(
        "TalosHyperV.Host",
        **{
            "ModuleVersion": CONTRACT["module_version"],
            "HyperVModule": True,
            "VmmsStatus": "Running",
            "ComputerName": "HV01",
        }
        | {"IsAdministrator": True, "LanguageMode": "FullLanguage"}
        | given,
    )


def refused(error_id: str, target: str, category: str = "ObjectNotFound") -> ErrorRecord:
    return ErrorRecord(id=error_id, category=category, message=f"仮 {error_id} {target}", target=target)


class ScriptedHost:
    """All functions of the contract. Each has a plain behaviour; a test replaces what it is about."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.arguments: list[tuple[str, Mapping[str, Any]]] = []
        self.gate = threading.Event()
        """Opened by the test: what `waiting` waits for."""
        self.entered = threading.Event()
        self.stopped = threading.Event()
        self.behaviours: dict[str, Behaviour] = {
            "Get-TalosHost": lambda _given, _streams: iter([host_row()]),
            "Get-TalosSwitch": lambda given, _s: iter([row("TalosHyperV.Switch", Name=given.get("Name", ""))]),
            "Get-TalosImage": lambda given, _s: (row("TalosHyperV.Image", Path=path) for path in given["Path"]),
            "New-TalosVM": lambda given, _s: iter([vm_row(f"id-{given['Name']}", Name=given["Name"])]),
            "Get-TalosFolder": lambda _given, _s: iter(()),
            "Get-TalosVM": lambda given, _s: (vm_row(vm_id) for vm_id in given.get("Id", ["a", "b"])),
            "Start-TalosVM": lambda given, _s: (vm_row(vm_id, State="Running") for vm_id in given["Id"]),
        }

    def waiting(self, given: Mapping[str, Any], streams: Streams) -> Iterator[Mapping[str, Any]]:
        """A behaviour that waits for the gate, and notes when it is stopped."""
        self.entered.set()
        while not self.gate.wait(0.01):
            if streams.stopping.is_set():
                self.stopped.set()
                return
        yield vm_row(given.get("Id", ["a"])[0] if "Id" in given else "a", Name=given.get("Name", "a"))

    table = contract().functions

    def run(self, name: str, arguments: Mapping[str, Any], streams: Streams) -> Iterator[Mapping[str, Any]]:
        self.runs[name] += 1
        self.arguments.append((name, dict(arguments)))
        if name not in self.behaviours:
            raise Terminating(refused("Test.NotScripted", name))
        yield from self.behaviours[name](arguments, streams)


class RealClock:
    rate = 1.0

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class TableDialer:
    """Where addresses of the virtual LAN are reached, as a lab publishes it; a test may move them."""

    def __init__(self, **ports: int) -> None:
        self.table: dict[tuple[str, int], int] = {}
        self.asked = 0

    def resolve(self, address: str, port: int) -> Endpoint:
        self.asked += 1
        try:
            return Endpoint(host="127.0.0.1", port=self.table[address, port], server_name="127.0.0.1")
        except KeyError:
            raise Unreachable(f"nothing at {address}:{port}") from None


class Client:
    """A HyperVHost and what it told."""

    def __init__(self, endpoint: WinRmEndpoint, **given: Any) -> None:
        self.dialer = TableDialer()
        self.dialer.table["192.0.2.10", 5986] = endpoint.https_port
        self.dialer.table["192.0.2.10", 5985] = endpoint.http_port
        self.calls: list[CallInfo] = []
        self.away: list[str | None] = []
        self.gone = asyncio.Event()
        """Set once the client has noticed an outage."""
        spec = {"name": "hv01", "address": "192.0.2.10", "user": USER} | given.pop("spec", {})
        plain: dict[str, Any] = {
            "password": PASSWORD,
            "dialer": self.dialer,
            "clock": RealClock(),
            "on_call": self.calls.append,
            "on_away": self._hear,
            "ca_path": endpoint.ca_path,
        }
        self.host = HyperVHost(HostSpec(**spec), **plain | given)

    def _hear(self, reason: str | None) -> None:
        self.away.append(reason)
        self.gone.set()

    async def __aenter__(self) -> HyperVHost:
        return self.host

    async def __aexit__(self, *_: object) -> None:
        await self.host.close()


async def taken(endpoint: WinRmEndpoint, scripted: ScriptedHost, receives: int) -> None:
    """Until the function runs and the client knows that its call was taken: it asks for the output, beyond the `receives` of before."""
    assert await asyncio.to_thread(scripted.entered.wait, 10)
    async with asyncio.timeout(10):
        while endpoint.stats().actions["Receive"] <= receives:  # noqa: ASYNC110 - the counter of another thread
            await asyncio.sleep(0.005)


def request(name: str) -> VmRequest:
    return VmRequest(
        name=name,
        cpus=2,
        memory_mib=4096,
        disk_gib=20,
        mac="02155D000011",
        switch="LAB",
        vlan=None,
        iso_path=r"C:\iso\metal-amd64.iso",
        folder="",
        mark=f"provision/1 cluster=c1 machine={name}",
        start_delay_s=0,
    )


async def fetched_kubeconfig(machines: TalosMachines, address: str, access: TalosAccess) -> bytes:
    """The one that Talos makes, as its own client takes it: a gzipped archive that lacks its end, read entry by entry."""
    packed = io.BytesIO()
    await machines._connections.download(
        address, access, lambda service: service.Kubeconfig, Empty(), packed, most=2**20
    )
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed.getvalue()))) as archive:
        entry = archive.next()
        assert entry is not None
        content = archive.extractfile(entry)
        assert content is not None
        return content.read()
