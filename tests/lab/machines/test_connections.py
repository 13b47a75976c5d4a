"""How connections end, and fall silent, as machines reboot, lose their power or their link."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest
import yaml
from google.protobuf.empty_pb2 import Empty
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from provisioner.lab import pki, tls
from provisioner.lab.machines.grpc_server import GrpcServer, Methods
from provisioner.lab.world.clock import RunningClock
from provisioner.lab.world.state import Vm
from provisioner.talos.api.gen import cosi_pb2 as cosi
from provisioner.talos.api.gen import machine_pb2 as pb
from provisioner.talos.api.gen.machine_grpc import MachineServiceStub
from tests.lab.machines.clients import (
    STATUS,
    PatientChannel,
    Watching,
    get,
    handshake,
    hang_up,
    insecure,
    run,
    secure,
)
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan, Served, serving


def test_a_power_cut_ends_connections_at_once(lan: Lan, served: Served) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()
    port = served.port(vm)

    async def work() -> None:
        async with served.maintenance(vm) as channel:
            request = cosi.WatchRequest(namespace="runtime", type=STATUS, id="machine", options={}, api_version=1)
            async with Watching(channel, request) as responses:
                await anext(responses)
                await anext(responses)
                lan.power_off(vm)
                with pytest.raises((StreamTerminatedError, GRPCError)):
                    await anext(responses)

    run(work())
    served.servers.settle()
    with pytest.raises(ConnectionRefusedError):
        handshake(port, insecure())


def test_behind_a_dead_link_there_is_silence_and_then_everything_at_once(lan: Lan, served: Served) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()

    async def work() -> None:
        async with served.maintenance(vm) as channel:
            await get(channel, STATUS, "machine")
            lan.unplugged.add(vm.id)
            lan.kernel.changed("switch")
            served.servers.settle()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await get(channel, STATUS, "machine")
            with socket.create_connection(("127.0.0.1", served.port(vm)), timeout=0.2) as bare:
                with pytest.raises(TimeoutError):
                    insecure().wrap_socket(bare)
            lan.unplugged.clear()
            lan.kernel.changed("switch")
            served.servers.settle()
            assert (await get(channel, STATUS, "machine"))["stage"] == "maintenance", "the old connection goes on"
        async with served.maintenance(vm) as channel:
            await get(channel, STATUS, "machine")

    run(work())


@pytest.mark.parametrize("method", ["ApplyConfiguration", "Bootstrap"])
def test_an_answer_that_is_lost_leaves_the_work_done(lan: Lan, served: Served, cluster: Cluster, method: str) -> None:
    (vm,) = lan.to_maintenance("a")
    lan.inject("talos-lose-answer", method)
    config = pb.ApplyConfigurationRequest(data=cluster.config("controlplane"))
    if method == "Bootstrap":
        lan.installed(vm, config.data)
    served.servers.settle()

    async def work() -> None:
        context = insecure() if method == "ApplyConfiguration" else secure(cluster, cluster.client())
        async with served.channel(served.port(vm), context) as channel:
            api = MachineServiceStub(channel)
            with pytest.raises(StreamTerminatedError):
                await (
                    api.Bootstrap(pb.BootstrapRequest()) if method == "Bootstrap" else api.ApplyConfiguration(config)
                )

    run(work())
    lan.advance(30)
    if method == "Bootstrap":
        assert lan.guest(vm).stage == "running"
    else:
        assert lan.noted("config_applied") == [vm.id]


def test_an_ejected_iso_shows_at_once(lan: Lan, served: Served) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()

    async def work() -> None:
        async with served.maintenance(vm) as channel:
            request = cosi.WatchRequest(
                namespace="runtime", type="Disks.block.talos.dev", id="sr0", options={}, api_version=1
            )
            async with Watching(channel, request) as responses:
                await anext(responses)
                assert yaml.safe_load((await anext(responses)).event[0].resource.spec.yaml_spec)["size"] > 0
                with lan.kernel.lock:
                    vm.dvd_drives[0].path = ""
                    lan.kernel.changed("vm", vm.id)
                assert yaml.safe_load((await anext(responses)).event[0].resource.spec.yaml_spec)["size"] == 0

    run(work())


def test_answers_arrive_though_the_server_stops_a_moment_later() -> None:
    """At full speed a machine closes its maintenance server within a millisecond of taking the config."""
    lan, cluster = Lan(), Cluster()
    vms = lan.to_maintenance(*"abcdefgh")
    lan.kernel.clock = RunningClock(1000.0, start=lan.kernel.now())
    lan.kernel.start()
    try:
        with serving(lan) as served:

            async def apply(vm: Vm) -> None:
                async with served.maintenance(vm) as channel:
                    request = pb.ApplyConfigurationRequest(data=cluster.config("worker"))
                    assert len((await MachineServiceStub(channel).ApplyConfiguration(request)).messages) == 1

            async def work() -> None:
                await asyncio.gather(*(apply(vm) for vm in vms))

            run(work())
            assert lan.kernel.wait_for(lambda: len(lan.noted("install_done")) == len(vms), 400)
    finally:
        lan.kernel.stop()


def test_a_running_clock_serves_as_well() -> None:
    """The world's own thread moves the machine while clients ask; at full speed the whole boot takes a moment."""
    lan = Lan()
    lan.kernel.clock = RunningClock(1000.0)
    lan.kernel.start()
    try:
        vm = lan.start("a")
        assert lan.kernel.wait_for(lambda: bool(lan.noted("maintenance")), 300)
        with serving(lan) as served:

            async def work() -> None:
                async with served.maintenance(vm) as channel:
                    assert (await get(channel, STATUS, "machine"))["stage"] == "maintenance"

            run(work())
    finally:
        lan.kernel.stop()


def test_a_handshake_that_outlives_its_server_leads_nowhere(lan: Lan, served: Served) -> None:
    """Many connect at the moment of a reboot: whoever was still shaking hands is not left with a dead machine."""
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()
    with socket.create_connection(("127.0.0.1", served.port(vm)), timeout=2) as bare:
        tls = insecure().wrap_socket(bare, do_handshake_on_connect=False)
        with handshake(served.port(vm), insecure()):
            pass  # another one comes and goes meanwhile
        lan.power_off(vm)
        served.servers.settle()
        with tls:
            assert ends(tls)


def ends(connection: ssl.SSLSocket) -> bool:
    """Whether the peer ends it, in order or not, rather than leave it hanging."""
    try:
        connection.do_handshake()
        while connection.recv(1024):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def test_last_words_of_a_call_under_way_come_before_the_goodbye() -> None:
    async def work() -> None:
        called, may_answer = asyncio.Event(), asyncio.Event()

        async def slow(stream: Any) -> None:
            await stream.recv_message()
            called.set()
            await may_answer.wait()
            await stream.send_message(pb.HostnameResponse(messages=[pb.Hostname(hostname="late")]))

        path = "/machine.MachineService/Hostname"
        handler = Handler(slow, Cardinality.UNARY_UNARY, Empty, pb.HostnameResponse)
        server = GrpcServer(Methods({path: handler}, lambda _path: GRPCError(Status.UNIMPLEMENTED, "no")))
        leaf = pki.server_leaf(pki.new_maintenance_ca(), common_name="a", hosts=["127.0.0.1"])
        bound = socket.create_server(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        listener = await server.listen(bound, tls.server_context(leaf, "h2"))
        channel = PatientChannel("127.0.0.1", port, ssl=insecure())
        call = asyncio.create_task(MachineServiceStub(channel).Hostname(Empty()))
        await called.wait()
        listener.close()
        drained = asyncio.create_task(server.drain())
        await asyncio.sleep(0)
        may_answer.set()
        assert (await call).messages[0].hostname == "late"
        await drained
        await hang_up(channel)

    run(work())
