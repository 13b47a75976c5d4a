"""Reading a whole cluster: side by side, each machine proven, and nobody waited for who cannot answer."""

from __future__ import annotations

import asyncio
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from provisioner.errors import Fault, Unreachable
from provisioner.flow.observe import observe
from provisioner.model.facts import EtcdMemberFacts, HostState, MachineFacts, NodeFacts, Observed
from tests.unit.flow.test_engine import StillClock
from tests.unit.steps.world import HOST, cluster_of, observed_of

CP, WORKER = "home-cp-1", "home-worker-1"


def uuid_of(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


class World:
    """A cluster of two that is up, behind ports whose answers a test may hold back or replace."""

    def __init__(self) -> None:
        self.cluster = cluster_of({})
        self.vms = {name: {"name": name, "bios_uuid": uuid_of(name)} for name in (CP, WORKER)}
        self.uuids = {name: uuid_of(name) for name in (CP, WORKER)}
        self.silent: set[str] = set()
        """Addresses that take a connection and never answer."""
        self.given_up: list[str] = []
        self.machines_asked = asyncio.Event()
        self.host_waits_for_them = False
        self.host_error: Exception | None = None

    @property
    def whole(self) -> Observed:
        machines = {name: {"uuid": value} for name, value in self.uuids.items()}
        return observed_of({"all": "up", "vms": list(self.vms.values()), "machines": machines}, self.cluster)

    def ports(self) -> Any:
        whole = self.whole
        notes = {"machines": {name: {"address": facts.address} for name, facts in whole.machines.items()}}
        store = SimpleNamespace(
            secrets_facts=lambda: whole.secrets,
            read_secrets=lambda: b"secrets",
            read_notes=lambda: notes,
            contexts=lambda: whole.access,
        )
        configs = SimpleNamespace(
            read_bundle=lambda text: text, access=lambda bundle: bundle, kubeconfig=lambda *_, **__: b""
        )
        return SimpleNamespace(
            hosts={HOST: self}, machines=self, kubernetes=self, configs=configs, store=store, clock=StillClock()
        )

    async def observe(self, _query: Any) -> HostState:
        if self.host_waits_for_them:
            await self.machines_asked.wait()
        if self.host_error is not None:
            raise self.host_error
        return self.whole.hosts[HOST]

    async def read(self, address: str, _access: Any) -> MachineFacts:
        self.machines_asked.set()
        if address in self.silent:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up.append(address)
        return next(facts for facts in self.whole.machines.values() if facts.address == address)

    async def etcd_members(self, _address: str, _access: Any) -> tuple[EtcdMemberFacts, ...]:
        assert self.whole.etcd is not None
        return self.whole.etcd

    async def nodes(self, _kubeconfig: bytes) -> tuple[NodeFacts, ...]:
        assert self.whole.nodes is not None
        return self.whole.nodes


async def test_a_cluster_that_is_up_is_read_whole() -> None:
    world = World()
    seen = await observe(world.cluster, world.ports())
    assert set(seen.machines) == {CP, WORKER}
    assert seen.unread == {}
    assert (seen.etcd, seen.nodes) == (world.whole.etcd, world.whole.nodes)


async def test_machines_are_asked_while_the_host_still_works_on_its_answer() -> None:
    world = World()
    world.host_waits_for_them = True
    async with asyncio.timeout(10):
        seen = await observe(world.cluster, world.ports())
    assert set(seen.machines) == {CP, WORKER}


async def test_a_machine_whose_vm_is_off_is_not_waited_for() -> None:
    world = World()
    world.vms[WORKER]["state"] = "Off"
    silent = world.whole.machines[WORKER].address
    world.silent = {silent}
    async with asyncio.timeout(10):
        seen = await observe(world.cluster, world.ports())
    assert seen.unread == {WORKER: "the VM is Off"}
    assert world.given_up == [silent]


async def test_an_answer_counts_only_when_it_is_that_vms() -> None:
    world = World()
    world.uuids[CP] = uuid_of("somebody else")
    seen = await observe(world.cluster, world.ports())
    assert CP not in seen.machines
    assert "another machine answers" in seen.unread[CP]
    assert (seen.etcd, seen.nodes) == (None, None), "what a stranger's cluster says is not ours"


async def test_nothing_goes_on_when_the_host_cannot_be_read() -> None:
    world = World()
    world.host_error = Unreachable("no route")
    world.silent = {world.whole.machines[CP].address}
    world.host_waits_for_them = True
    with pytest.raises(Fault) as caught:
        await observe(world.cluster, world.ports())
    assert caught.value.id == "P-HOST-UNREACHABLE"
    assert world.given_up == list(world.silent)
