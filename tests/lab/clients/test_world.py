"""All three clients on one lab: a switch that takes the host's network down, VMs, their addresses, Talos, Kubernetes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provisioner.errors import HostRefused, KubeRefused, TransportError, Unreachable
from provisioner.hyperv.client import HyperVHost
from provisioner.kubernetes.client import KubeClient
from provisioner.lab.functions.lab import LabFunctions
from provisioner.lab.kubernetes.servers import KubeServers
from provisioner.lab.machines.servers import MachineServers
from provisioner.lab.winrm.endpoint import WinRmEndpoint
from provisioner.lab.world.build import HOST_NAME, RELEASES, new_world
from provisioner.lab.world.clock import RunningClock
from provisioner.lab.world.guests.guests import TalosGuests
from provisioner.lab.world.interfaces import Guests
from provisioner.lab.world.kube.rules import LabKube
from provisioner.lab.world.state import Account
from provisioner.lab.world.world import World
from provisioner.model.cluster import HostSpec
from provisioner.ports import CallInfo, Endpoint, ObserveQuery, SwitchRequest, VmRequest
from provisioner.talos.api.client import TalosMachines
from tests.lab.clients.helpers import PASSWORD, USER, RealClock, fetched_kubeconfig
from tests.lab.clients.test_host import run
from tests.lab.clients.test_machines import access_of
from tests.lab.machines.clusters import Cluster

SPEED = 200.0
MARK = "provision/1 cluster=c1 machine="
URL = f"{RELEASES}/v1.11.5/metal-amd64.iso"
SUMS = f"{RELEASES}/v1.11.5/sha256sum.txt"


class LabClock(RealClock):
    rate = SPEED

    def now(self) -> float:
        return super().now() * SPEED

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)


@dataclass
class Served:
    """A lab, with what is there from the first moment."""

    world: World
    endpoint: WinRmEndpoint

    def resolve(self, address: str, port: int) -> Endpoint:
        """As a lab's card tells it."""
        with self.world.kernel.lock:
            reached = self.world.state.routes.get(f"{address}:{port}")
        if reached is None:
            raise Unreachable(f"nothing at {address}:{port}")
        return Endpoint(host="127.0.0.1", port=reached, server_name=address)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Served]:
    made: dict[str, Any] = {}

    def guests(world: World) -> Guests:
        made["kube"] = LabKube(world.kernel)
        world.kube = made["kube"]
        guests = made["guests"] = TalosGuests(world.kernel, world.hyperv.power, made["kube"])
        return guests

    world = new_world(clock=RunningClock(SPEED), guests=guests, accounts=[Account(USER, PASSWORD)])
    machines = MachineServers(world.kernel, made["guests"], world.routes)
    kube = KubeServers(world.kernel, made["kube"], world.routes)
    endpoint = WinRmEndpoint(world.kernel, LabFunctions(world), tmp_path, host_name=HOST_NAME, routes=world.routes)
    machines.start()
    kube.start()
    world.start()
    endpoint.start()
    yield Served(world, endpoint)
    endpoint.stop()
    kube.stop()
    machines.stop()
    world.stop()


async def until(probe: Any, *, bound_s: float = 30) -> Any:
    """The probe's first true answer; transport errors are waits."""
    async with asyncio.timeout(bound_s):
        while True:
            try:
                if answer := await probe():
                    return answer
            except (TransportError, KubeRefused):
                pass
            await asyncio.sleep(0.05)


def test_a_cluster_of_one(lab: Served) -> None:
    calls: list[CallInfo] = []
    away: list[str | None] = []
    clock = LabClock()

    async def test() -> None:
        host = HyperVHost(
            HostSpec(name="hv01", address=HOST_NAME, user=USER),
            password=PASSWORD,
            dialer=lab,
            clock=clock,
            on_call=calls.append,
            on_away=away.append,
            ca_path=lab.endpoint.ca_path,
        )
        talos = TalosMachines(lab)
        kubernetes = KubeClient(lab, clock)
        cluster = Cluster()
        try:
            await make_switch(host)
            image = await host.save_image(
                url=URL, sha256="", sha256_url=SUMS, path="metal-v1.11.5.iso", progress=lambda _p: None
            )
            vm = await host.new_vm(cp1(image.path))
            assert (vm.state, vm.complete, vm.iso) == ("Running", True, image.path)
            address = ""
            async for row in host.watch_neighbors([vm.mac], wait_s=300):
                address = row.address
            facts = await until(lambda: talos.read(address, None))
            assert facts.macs == (vm.mac,)
            assert facts.uuid == vm.bios_uuid

            cluster.endpoint = f"https://{address}:6443"
            access = access_of(cluster)
            await until(lambda: applied(talos, address, cluster))
            facts = await until(lambda: talos.read(address, access))
            assert facts.from_disk
            await talos.bootstrap(address, access)
            kubeconfig = await fetched_kubeconfig(talos, address, access)
            await until(lambda: kubernetes.ready(kubeconfig))
            (node,) = await until(lambda: ready_nodes(kubernetes, kubeconfig))
            assert (node.name, node.address) == ("cp1", address)
            assert (await host.dismount_iso(vm.id)).iso == ""

            await host.remove_vm(vm.id, cluster_id="c1")
            assert await host.find_vms([vm.id]) == ()
            await host.remove_vm(vm.id, cluster_id="c1")  # what is gone already is success
        finally:
            await host.close()
            await talos.close()
            await kubernetes.close()

    run(test())
    assert lab.endpoint.stats().module_loads <= 2
    assert lab.endpoint.stats().open_shells == 0


async def make_switch(host: HyperVHost) -> None:
    """The host's network drops within; the job's result is read once it is back."""
    seen = await host.observe(ObserveQuery(switch="LAB"))
    assert seen.switch is not None
    assert not seen.switch.exists
    job = await host.new_switch(
        SwitchRequest(
            name="LAB",
            adapter="Ethernet",
            allow_management_os=True,
            vlan=None,
            mark=f"{MARK}switch:LAB",
            watchdog_s=90,
            retry=False,
        )
    )
    assert job.state in ("Running", "Done")

    async def made() -> bool:
        switch = await host.find_switch("LAB")
        if switch.job is not None and switch.job.state == "Running" and switch.exists:
            await host.confirm_switch(name="LAB", job_id=job.id)
        return switch.exists and switch.job is not None and switch.job.state == "Done"

    await until(made)
    with pytest.raises(HostRefused, match="VMSwitchNotFound"):
        await host.new_vm(cp1("nowhere.iso", switch="LOB"))


async def applied(talos: TalosMachines, address: str, cluster: Cluster) -> bool:
    await talos.apply(address, None, cluster.config("controlplane", "cp1"), dry_run=False)
    return True


async def ready_nodes(kubernetes: KubeClient, kubeconfig: bytes) -> Any:
    async for nodes in kubernetes.watch_nodes(kubeconfig):
        if nodes and all(node.ready for node in nodes):
            return nodes
    return None


def cp1(iso: str, *, switch: str = "LAB") -> VmRequest:
    return VmRequest(
        name="cp1",
        cpus=2,
        memory_mib=4096,
        disk_gib=20,
        mac="025D00000011",
        switch=switch,
        vlan=None,
        iso_path=iso,
        folder="",
        mark=f"{MARK}cp1",
        start_delay_s=0,
    )
