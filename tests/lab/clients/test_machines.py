"""The client of Talos' API against the lab's machines: maintenance, mTLS, watches, and how each failure reads."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import stat
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from provisioner.errors import Dropped, NotTrusted, Rejected, TalosRefused, Unreachable
from provisioner.ports import Endpoint, TalosAccess
from provisioner.store.files import writing_atomically
from provisioner.talos.api.client import TalosMachines
from tests.lab.clients.helpers import fetched_kubeconfig
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan, Served, serving


class LanDialer:
    """As the lab publishes it: the address stands in the certificate, the place is on loopback."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.closed: set[str] = set()

    def resolve(self, address: str, port: int) -> Endpoint:
        if address in self.closed:
            raise Unreachable(address)
        return Endpoint(host="127.0.0.1", port=self._served.routes.loopback_port(address, port), server_name=address)


class Talos:
    """A client, and the world it looks at."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.lan = served.lan
        self.dialer = LanDialer(served)
        self.machines = TalosMachines(self.dialer)

    def advance(self, seconds: float) -> None:
        self.served.advance(seconds)

    def address(self, vm: Any) -> str:
        return self.lan.guest(vm).address


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Lan()) as running:
        yield running


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster()


def access_of(cluster: Cluster, role: str = "os:admin") -> TalosAccess:
    crt, key = cluster.client(role)
    return TalosAccess(
        ca=cluster.os_ca[0].public_bytes(Encoding.PEM), crt=crt, key=key.replace(b"PRIVATE KEY", b"ED25519 PRIVATE KEY")
    )


def run(served: Served, test: Any) -> None:
    async def bounded() -> None:
        talos = Talos(served)
        async with asyncio.timeout(60):
            try:
                await test(talos)
            finally:
                await talos.machines.close()
        assert len(asyncio.all_tasks()) == 1, "no task is left behind"

    asyncio.run(bounded())


async def to_the_end(watching: AsyncIterator[Any]) -> None:
    async for _ in watching:
        pass


# --- maintenance ---


def test_a_machine_in_maintenance_tells_who_it_is(served: Served) -> None:
    (vm,) = served.lan.to_maintenance("cp1")
    served.servers.settle()

    async def test(talos: Talos) -> None:
        facts = await talos.machines.read(talos.address(vm), None)
        assert (facts.mode, facts.stage) == ("maintenance", "maintenance")
        assert facts.uuid == vm.bios_uuid.lower()
        assert facts.macs == (vm.nics[0].mac,)
        assert facts.talos == "v1.11.5"
        assert facts.system_disk == ""
        assert not facts.from_disk
        assert "talos.halt_if_installed" in facts.cmdline
        assert [disk.path for disk in facts.disks if not disk.cdrom] == ["/dev/sda"]
        assert next(disk.size_bytes for disk in facts.disks if not disk.cdrom) == 20 * 2**30
        assert len(facts.fingerprint) == 44
        assert facts.cluster_id == ""

    run(served, test)


def test_a_pinned_key_is_checked_before_anything_is_sent(served: Served, cluster: Cluster) -> None:
    (vm,) = served.lan.to_maintenance("cp1")
    served.servers.settle()

    async def test(talos: Talos) -> None:
        address = talos.address(vm)
        seen = await talos.machines.read(address, None)
        assert await talos.machines.read(address, None, pin=seen.fingerprint) == seen
        with pytest.raises(NotTrusted, match=f"key is {seen.fingerprint.replace('+', '.')}, the pinned one AAAA"):
            await talos.machines.apply(address, None, cluster.config("controlplane"), dry_run=False, pin="AAAA")
        assert talos.lan.guest(vm).stage == "maintenance"

    run(served, test)


def test_a_dry_run_changes_nothing_and_refusals_come_with_their_text(served: Served, cluster: Cluster) -> None:
    (vm,) = served.lan.to_maintenance("cp1")
    served.servers.settle()

    async def test(talos: Talos) -> None:
        address = talos.address(vm)
        outcome = await talos.machines.apply(address, None, cluster.config("controlplane"), dry_run=True)
        assert "Dry run" in outcome.details
        assert talos.lan.guest(vm).stage == "maintenance"
        with pytest.raises(TalosRefused) as caught:
            await talos.machines.apply(address, None, b"version: v1alpha1\nmachine: {type: worker}\n", dry_run=True)
        assert caught.value.status == "INVALID_ARGUMENT"
        assert caught.value.message

    run(served, test)


# --- configured ---


def test_the_whole_life_from_maintenance_to_members(served: Served, cluster: Cluster) -> None:
    (vm,) = served.lan.to_maintenance("cp1")
    served.servers.settle()
    access = access_of(cluster)

    async def test(talos: Talos) -> None:
        address = talos.address(vm)
        with pytest.raises(NotTrusted):
            await talos.machines.read(address, access)  # still in maintenance: another authority
        with contextlib.suppress(Dropped):  # the server stops at once; a lost answer is no failure
            await talos.machines.apply(address, None, cluster.config("controlplane", "cp1"), dry_run=False)
        talos.advance(1)
        with pytest.raises(Unreachable):
            await talos.machines.read(address, access)
        talos.advance(200)
        facts = await talos.machines.read(address, access)
        assert (facts.mode, facts.stage, facts.system_disk) == ("secure", "booting", "/dev/sda")
        assert facts.from_disk
        assert facts.hostname == "cp1"
        assert facts.cluster_id == cluster.id
        with pytest.raises(Rejected):
            await talos.machines.read(address, None)  # it asks for a client certificate now
        await talos.machines.bootstrap(address, access)
        talos.advance(30)
        with pytest.raises(TalosRefused) as twice:
            await talos.machines.bootstrap(address, access)
        assert twice.value.status == "ALREADY_EXISTS"
        (member,) = await talos.machines.etcd_members(address, access)
        assert member.hostname == "cp1"
        services = {service.id: service for service in await talos.machines.services(address, access)}
        assert services["etcd"].state == "Running"
        assert services["apid"].healthy
        assert b"certificate-authority-data" in await fetched_kubeconfig(talos.machines, address, access)

    run(served, test)


def test_another_clusters_certificate_is_rejected_and_another_role_refused(served: Served, cluster: Cluster) -> None:
    (vm,) = served.lan.to_maintenance("cp1")
    served.lan.installed(vm, cluster.config("controlplane", "cp1"))
    served.servers.settle()
    ours, theirs = access_of(cluster), access_of(Cluster())

    async def test(talos: Talos) -> None:
        address = talos.address(vm)
        with pytest.raises(NotTrusted):
            await talos.machines.read(address, theirs)
        with pytest.raises(Rejected, match=r"(?i)alert"):
            await talos.machines.read(address, TalosAccess(ca=ours.ca, crt=theirs.crt, key=theirs.key))
        with pytest.raises(TalosRefused) as refused:
            await talos.machines.bootstrap(address, access_of(cluster, "os:reader"))
        assert refused.value.status == "PERMISSION_DENIED"

    run(served, test)


def test_a_watch_tells_each_change_until_the_machine_goes(served: Served, cluster: Cluster) -> None:
    (vm,) = served.lan.to_maintenance("cp1")
    served.lan.installed(vm, cluster.config("controlplane", "cp1"))
    served.servers.settle()

    async def test(talos: Talos) -> None:
        watching = talos.machines.watch(talos.address(vm), access_of(cluster))
        assert (await anext(watching)).stage == "booting"
        talos.lan.bootstrap(vm)
        talos.advance(400)
        facts = await anext(watching)
        while not facts.ready:
            facts = await anext(watching)
        assert (facts.stage, facts.unmet) == ("running", ())
        talos.lan.power_off(vm)
        talos.served.servers.settle()
        with pytest.raises(Unreachable):
            await to_the_end(watching)
        with pytest.raises(StopAsyncIteration):
            await anext(watching)

    run(served, test)


def test_a_watch_that_is_left_leaves_nothing(served: Served, cluster: Cluster) -> None:
    (vm,) = served.lan.to_maintenance("cp1")
    served.servers.settle()

    async def test(talos: Talos) -> None:
        watching = talos.machines.watch(talos.address(vm), None)
        await anext(watching)
        assert isinstance(watching, AsyncGenerator)
        await watching.aclose()
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("watch")]

    run(served, test)


# --- downloads ---


def test_a_file_of_a_machine_comes_whole_or_not_at_all(served: Served, cluster: Cluster, tmp_path: Path) -> None:
    access, path = access_of(cluster), tmp_path / "boot_id"
    (vm,) = served.lan.to_maintenance("cp1")
    served.lan.installed(vm, cluster.config("controlplane", "cp1"))
    served.servers.settle()

    async def test(talos: Talos) -> None:
        async def read(name: str, to: Path = path) -> int:
            with writing_atomically(to) as sink:
                return await talos.machines.read_file(talos.address(vm), access, name, sink, most=100)

        with pytest.raises(TalosRefused, match="UNIMPLEMENTED"):
            await read("/proc/nothing", tmp_path / "nothing")
        assert await read("/proc/sys/kernel/random/boot_id") == 37

    run(served, test)
    assert list(tmp_path.iterdir()) == [path]
    assert (len(path.read_text().strip()), stat.S_IMODE(path.stat().st_mode)) == (36, 0o600)


# --- connections ---


def test_one_connection_carries_all_and_is_dialed_anew_after_a_reboot(served: Served, cluster: Cluster) -> None:
    (vm,) = served.lan.to_maintenance("cp1")
    served.servers.settle()

    async def test(talos: Talos) -> None:
        address = talos.address(vm)
        await asyncio.gather(*(talos.machines.read(address, None) for _ in range(10)))
        (machine,) = talos.machines._connections._open.values()
        first = machine.channel.latest
        await talos.machines.read(address, None)
        assert machine.channel.latest is first
        talos.lan.power_off(vm)
        talos.served.servers.settle()
        with pytest.raises(Unreachable):
            await talos.machines.read(address, None)
        talos.lan.power_on(vm)
        talos.advance(90)
        await talos.machines.read(address, None)
        assert machine.channel.latest is not first

    run(served, test)


def test_an_address_that_nobody_has_is_unreachable(served: Served) -> None:
    async def test(talos: Talos) -> None:
        talos.dialer.closed.add("192.0.2.250")
        with pytest.raises(Unreachable):
            await talos.machines.read("192.0.2.250", None)

    run(served, test)


def test_nothing_is_left_open(served: Served, cluster: Cluster) -> None:
    (vm,) = served.lan.to_maintenance("cp1")
    served.servers.settle()

    async def test(talos: Talos) -> None:
        await talos.machines.read(talos.address(vm), None)
        await talos.machines.close()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(served, test)
        gc.collect()
