"""A machine goes while others look at it through a control plane: every stream ends, and says that it is unavailable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from provisioner.lab.world.guests import sequences
from provisioner.lab.world.state import Vm
from provisioner.talos.api.gen import cosi_pb2 as cosi
from provisioner.talos.api.gen import machine_pb2 as pb
from provisioner.talos.api.gen.cosi_grpc import StateStub
from provisioner.talos.api.gen.machine_grpc import MachineServiceStub
from tests.lab.machines.clients import STATUS, refusal, run, secure
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan, Served

STREAMS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "logs": (lambda channel: MachineServiceStub(channel).Logs, pb.LogsRequest(id="kubelet", follow=True, tail_lines=1)),
    "dmesg": (lambda channel: MachineServiceStub(channel).Dmesg, pb.DmesgRequest(follow=True)),
    "events": (lambda channel: MachineServiceStub(channel).Events, pb.EventsRequest()),
    "watch": (
        lambda channel: StateStub(channel).Watch,
        cosi.WatchRequest(namespace="runtime", type=STATUS, id="machine", options={}, api_version=1),
    ),
}


def goes(lan: Lan, vm: Vm, how: str) -> None:
    with lan.kernel.lock:
        if how == "reboot":
            sequences.reboot(lan.machine(vm), powercycle=False)
        elif how == "reset":
            sequences.reset(lan.machine(vm), sequences.Wiping(), graceful=False, then_reboot=False)
    if how == "power cut":
        lan.power_off(vm)
    else:
        lan.advance(60)


@pytest.mark.parametrize("how", ["reboot", "power cut", "reset"])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_ends_with_its_machine(lan: Lan, served: Served, name: str, how: str) -> None:
    cluster = Cluster()
    cp, worker = lan.running_cluster(cluster)
    served.servers.settle()
    address = lan.guest(worker).address
    method, request = STREAMS[name]

    async def work() -> None:
        async with served.channel(served.port(cp), secure(cluster, cluster.client())) as channel:
            async with method(channel).open(metadata={"node": address}) as stream:
                await stream.send_message(request, end=True)
                await stream.recv_message()
                goes(lan, worker, how)
                while await stream.recv_message() is not None:
                    pass
                await stream.recv_trailing_metadata()

    with pytest.raises(GRPCError) as ended:
        run(work())
    assert ended.value.status is Status.UNAVAILABLE


def test_one_of_several_that_goes_is_told_and_the_others_go_on(lan: Lan, served: Served) -> None:
    cluster = Cluster()
    cp, worker = lan.running_cluster(cluster)
    served.servers.settle()
    addresses = [lan.guest(vm).address for vm in (cp, worker)]

    async def work() -> None:
        async with served.channel(served.port(cp), secure(cluster, cluster.client())) as channel:
            request = pb.LogsRequest(id="kubelet", follow=True, tail_lines=-1)
            metadata = [("nodes", address) for address in addresses]
            async with MachineServiceStub(channel).Logs.open(metadata=metadata) as stream:
                await stream.send_message(request, end=True)
                goes(lan, worker, "power cut")
                while (message := await stream.recv_message()) is not None and not message.metadata.error:
                    pass
                assert message is not None
                assert message.metadata.hostname == addresses[1]
                assert message.metadata.status.code == Status.UNAVAILABLE.value
                await stream.cancel()

    run(work())


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nobody", "dial tcp: lookup nobody on 127.0.0.53:53: no such host"),
        ("192.0.2.250", "dial tcp 192.0.2.250:50000: connect: no route to host"),
    ],
)
def test_nobody_of_that_name(whole: tuple[Served, Cluster, list[Vm]], target: str, said: str) -> None:
    served, cluster, vms = whole

    async def work() -> None:
        async with served.channel(served.port(vms[0]), secure(cluster, cluster.client())) as channel:
            get = cosi.GetRequest(namespace="runtime", type=STATUS, id="machine")
            code, text = await refusal(StateStub(channel).Get(get, metadata={"node": target}))
            assert (code, said in text) == (Status.UNAVAILABLE, True)

    run(work())


def test_a_kind_lives_in_one_namespace(whole: tuple[Served, Cluster, list[Vm]]) -> None:
    served, cluster, vms = whole

    async def work() -> None:
        async with served.channel(served.port(vms[0]), secure(cluster, cluster.client())) as channel:
            api = StateStub(channel)
            for namespace, count in (("cluster", 4), ("k8s", 0)):
                request = cosi.ListRequest(namespace=namespace, type="Members.cluster.talos.dev")
                assert len(await api.List(request)) == count
            get = cosi.GetRequest(namespace="k8s", type=STATUS, id="machine")
            code, text = await refusal(api.Get(get))
            assert (code, text) == (Status.NOT_FOUND, f"resource {STATUS}(k8s/machine@undefined) doesn't exist")

    run(work())


def test_what_the_machines_do_not_keep_is_not_served(whole: tuple[Served, Cluster, list[Vm]]) -> None:
    """Never an empty answer where a real machine has something."""
    served, cluster, vms = whole

    async def work() -> None:
        async with served.channel(served.port(vms[0]), secure(cluster, cluster.client())) as channel:
            for kind in ("OSRootSecrets.secrets.talos.dev", "LinkSpecs.net.talos.dev", "VolumeConfigs.block.talos.dev"):
                code, text = await refusal(StateStub(channel).List(cosi.ListRequest(namespace="secrets", type=kind)))
                assert (code, text) == (Status.PERMISSION_DENIED, f'resource type "{kind}" is not supported')
            api = MachineServiceStub(channel)
            code, text = await refusal(api.Read(pb.ReadRequest(path="/proc/cpuinfo")))
            assert (code, "/proc/cpuinfo" in text) == (Status.UNIMPLEMENTED, True)
            (hosts,) = await api.Read(pb.ReadRequest(path="/etc/hosts"))
            assert served.lan.guest(vms[0]).address.encode() in hosts.bytes
            specs = await StateStub(channel).List(
                cosi.ListRequest(namespace="k8s", type="NodeTaintSpecs.k8s.talos.dev")
            )
            assert [spec.resource.metadata.id for spec in specs] == ["node-role.kubernetes.io/control-plane"]

    run(work())


def test_user_disks_are_wiped_and_the_system_stays(lan: Lan, served: Served) -> None:
    cluster = Cluster()
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, cluster.config("controlplane", "cp"))
    served.servers.settle()
    system = lan.disk(vm).system

    async def work() -> None:
        async with served.channel(served.port(vm), secure(cluster, cluster.client())) as channel:
            await MachineServiceStub(channel).Reset(pb.ResetRequest(graceful=False, reboot=True, mode="USER_DISKS"))

    run(work())
    lan.advance(120)
    assert lan.disk(vm).system is system
    assert (lan.guest(vm).booted_from, lan.guest(vm).hostname) == ("disk", "cp")
