"""What the API pushes: watches, events, logs."""

from __future__ import annotations

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from provisioner.lab.world.state import Vm
from provisioner.talos.api.gen import cosi_pb2 as cosi
from provisioner.talos.api.gen import machine_pb2 as pb
from provisioner.talos.api.gen.machine_grpc import MachineServiceStub
from tests.lab.machines.clients import (
    STATUS,
    Watching,
    get,
    handshake,
    insecure,
    refusal,
    run,
    secure,
    stage_of,
)
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan, Served


def test_a_watch_is_pushed_each_stage_and_ends_with_the_reboot(lan: Lan, served: Served, cluster: Cluster) -> None:
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, cluster.config("controlplane"))
    served.servers.settle()
    port = served.port(vm)

    async def work() -> None:
        async with served.channel(port, secure(cluster, cluster.client())) as channel:
            request = cosi.WatchRequest(namespace="runtime", type=STATUS, id="machine", options={}, api_version=1)
            async with Watching(channel, request) as responses:
                assert len((await anext(responses)).event) == 0, "a hello first"
                first = await anext(responses)
                assert (stage_of(first), first.event[0].event_type) == ("booting", cosi.CREATED)
                await MachineServiceStub(channel).Reboot(pb.RebootRequest())
                lan.advance(1)
                second = await anext(responses)
                assert (stage_of(second), second.event[0].event_type) == ("rebooting", cosi.UPDATED)
                assert int(second.event[0].resource.metadata.version) > int(first.event[0].resource.metadata.version)
                lan.advance(8)
                with pytest.raises((StreamTerminatedError, GRPCError, StopAsyncIteration)):
                    await anext(responses)
        served.servers.settle()
        with pytest.raises(ConnectionRefusedError):
            handshake(port, insecure())
        served.advance(60)
        async with served.channel(port, secure(cluster, cluster.client())) as channel:
            assert (await get(channel, STATUS, "machine"))["stage"] == "booting"

    run(work())


def test_a_watch_of_a_kind_tells_what_is_then_what_comes(lan: Lan, served: Served, cluster: Cluster) -> None:
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, cluster.config("controlplane"))
    served.servers.settle()

    async def work() -> None:
        async with served.channel(served.port(vm), secure(cluster, cluster.client())) as channel:
            request = cosi.WatchRequest(
                namespace="etcd",
                type="EtcdMembers.etcd.talos.dev",
                options=cosi.WatchOptions(bootstrap_contents=True),
                api_version=1,
            )
            async with Watching(channel, request) as responses:
                await anext(responses)
                assert (await anext(responses)).event[0].event_type == cosi.BOOTSTRAPPED
                await MachineServiceStub(channel).Bootstrap(pb.BootstrapRequest())
                lan.advance(30)
                (event,) = (await anext(responses)).event
                assert (event.event_type, event.resource.metadata.id) == (cosi.CREATED, "local")
            absent = cosi.WatchRequest(namespace="runtime", type=STATUS, id="nothing", options={}, api_version=1)
            async with Watching(channel, absent) as responses:
                await anext(responses)
                (event,) = (await anext(responses)).event
                assert (event.event_type, event.resource.metadata.version) == (cosi.DESTROYED, "undefined")

    run(work())


def test_events_begin_with_a_hello_and_follow_an_actor(lan: Lan, served: Served, cluster: Cluster) -> None:
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, cluster.config("controlplane"))
    served.servers.settle()

    async def work() -> None:
        async with served.channel(served.port(vm), secure(cluster, cluster.client())) as channel:
            api = MachineServiceStub(channel)
            async with api.Events.open() as stream:
                await stream.send_message(pb.EventsRequest(tail_events=-1), end=True)
                hello = await stream.recv_message()
                assert hello is not None
                assert not hello.HasField("data")
                first = await stream.recv_message()
                assert first is not None
                assert first.data.type_url == "talos/runtime/machine.SequenceEvent"
                assert pb.SequenceEvent.FromString(first.data.value).sequence == "initialize"
                second = await stream.recv_message()
                assert second is not None
                assert first.id < second.id
                await stream.cancel()
            async with api.Events.open() as stream:
                reboot = (await api.Reboot(pb.RebootRequest())).messages[0]
                assert reboot.actor_id
                await stream.send_message(pb.EventsRequest(with_actor_id=reboot.actor_id), end=True)
                await stream.recv_message()
                lan.advance(0.5)
                event = await stream.recv_message()
                assert event is not None
                assert event.actor_id == reboot.actor_id
                assert pb.SequenceEvent.FromString(event.data.value) == pb.SequenceEvent(
                    sequence="reboot", action=pb.SequenceEvent.START
                )
                await stream.cancel()

    run(work())


def test_logs_and_kernel_messages(whole: tuple[Served, Cluster, list[Vm]]) -> None:
    served, cluster, vms = whole

    async def work() -> None:
        async with served.channel(served.port(vms[0]), secure(cluster, cluster.client("os:reader"))) as channel:
            api = MachineServiceStub(channel)
            log = b"".join(
                [m.bytes for m in await api.Logs(pb.LogsRequest(namespace="system", id="etcd", tail_lines=-1))]
            )
            assert b"Preparing" in log
            assert b"Running" in log
            tail = b"".join([m.bytes for m in await api.Logs(pb.LogsRequest(id="etcd", tail_lines=1))])
            assert tail == log.splitlines(keepends=True)[-1]
            assert (await refusal(api.Logs(pb.LogsRequest(id="nope"))))[0] is Status.NOT_FOUND
            records = await api.Dmesg(pb.DmesgRequest())
            assert any(b"stage: running" in record.bytes for record in records)

    run(work())
