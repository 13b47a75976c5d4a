"""The API of configured machines: from the first config to a cluster, roles, proxying, resources."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import yaml
from cryptography import x509
from google.protobuf.empty_pb2 import Empty
from grpclib.const import Status

from provisioner.lab.world.state import Vm
from provisioner.talos.api.gen import cosi_pb2 as cosi
from provisioner.talos.api.gen import machine_pb2 as pb
from provisioner.talos.api.gen.cosi_grpc import StateStub
from provisioner.talos.api.gen.machine_grpc import MachineServiceStub
from tests.lab.machines.clients import (
    STATUS,
    get,
    handshake,
    insecure,
    refusal,
    run,
    secure,
)
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan, Served


def test_apply_install_bootstrap_and_the_files_for_users(lan: Lan, served: Served) -> None:
    cluster = Cluster()
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()
    cluster.endpoint = f"https://{lan.guest(vm).address}:6443"
    port, config = served.port(vm), cluster.config("controlplane", "cp")

    async def apply() -> None:
        async with served.maintenance(vm) as channel:
            reply = await MachineServiceStub(channel).ApplyConfiguration(pb.ApplyConfigurationRequest(data=config))
            assert list(reply.messages[0].warnings) == []

    run(apply())
    served.advance(3)
    with pytest.raises(ConnectionRefusedError):
        handshake(port, insecure())
    served.advance(200)
    assert served.port(vm) == port

    async def configured() -> None:
        async with served.channel(port, secure(cluster, cluster.client())) as channel:
            api = MachineServiceStub(channel)
            version = (await api.Version(Empty())).messages[0]
            assert (version.version.tag, version.platform.mode, version.features.rbac) == ("v1.11.5", "metal", True)
            assert not version.HasField("metadata"), "a direct answer has none"
            assert (await get(channel, STATUS, "machine"))["stage"] == "booting"
            assert (await get(channel, "SystemDisks.block.talos.dev", "system-disk"))["devPath"] == "/dev/sda"
            cmdline = await get(channel, "KernelCmdlines.runtime.talos.dev", "cmdline")
            assert "halt_if_installed" not in cmdline["cmdline"]
            services = {s.id: s for s in (await api.ServiceList(Empty())).messages[0].services}
            assert services["etcd"].state == "Preparing"
            assert services["apid"].health.healthy
            assert services["apid"].events.events[-1].state == "Running"
            await api.Bootstrap(pb.BootstrapRequest())
            code, text = await refusal(api.Bootstrap(pb.BootstrapRequest()))
            assert (code, text) == (Status.ALREADY_EXISTS, "etcd data directory is not empty")
            (archive,) = await api.Kubeconfig(Empty())
            check_kubeconfig(archive.bytes, cluster)
            (boot_id,) = await api.Read(pb.ReadRequest(path="/proc/sys/kernel/random/boot_id"))
            assert boot_id.bytes.decode().strip() == lan.guest(vm).boot_id
            assert (await refusal(api.Read(pb.ReadRequest(path="/nowhere"))))[0] is Status.UNIMPLEMENTED
            reply = await StateStub(channel).Get(
                cosi.GetRequest(namespace="config", type="MachineConfigs.config.talos.dev", id="v1alpha1")
            )
            assert reply.resource.spec.yaml_spec.encode() == config
            assert config in reply.resource.spec.proto_spec

    run(configured())
    served.advance(20)

    async def members() -> None:
        async with served.channel(port, secure(cluster, cluster.client("os:reader"))) as channel:
            api = MachineServiceStub(channel)
            (member,) = (await api.EtcdMemberList(pb.EtcdMemberListRequest())).messages[0].members
            assert (member.hostname, member.is_learner) == ("cp", False)
            assert list(member.peer_urls) == [f"https://{lan.guest(vm).address}:2380"]
            status = (await api.EtcdStatus(Empty())).messages[0].member_status
            assert (status.member_id, status.leader) == (member.id, member.id)
            assert (await get(channel, "EtcdMembers.etcd.talos.dev", "local", "etcd")) == {
                "memberID": f"{member.id:016x}"
            }

    run(members())


def check_kubeconfig(archive: bytes, cluster: Cluster) -> None:
    content = gzip.decompress(archive)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar, pytest.raises(tarfile.ReadError):
        tar.getnames()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        member = tar.next()
        assert member is not None
        assert (member.name, member.mode) == ("kubeconfig", 0o600)
        file = tar.extractfile(member)
        assert file is not None
        kubeconfig = yaml.safe_load(file.read())
    assert kubeconfig["clusters"][0]["cluster"]["server"] == cluster.endpoint
    assert kubeconfig["current-context"] == f"admin@{cluster.name}"
    crt = base64.b64decode(kubeconfig["users"][0]["user"]["client-certificate-data"])
    leaf = x509.load_pem_x509_certificate(crt)
    leaf.verify_directly_issued_by(cluster.kubernetes_ca[0])
    assert leaf.subject.rfc4514_string() == "CN=admin,O=system:masters"


def test_bootstrap_waits_for_the_clock_and_then_refuses(lan: Lan, served: Served, cluster: Cluster) -> None:
    (vm,) = lan.to_maintenance("a")
    lan.inject("time-not-synced", "a")
    lan.installed(vm, cluster.config("controlplane"))
    served.servers.settle()

    async def work() -> None:
        async with served.channel(served.port(vm), secure(cluster, cluster.client())) as channel:
            call = MachineServiceStub(channel).Bootstrap(pb.BootstrapRequest())
            assert await refusal(call) == (Status.FAILED_PRECONDITION, "time is not in sync yet")

    # The world's clock must go on while the call waits: a hand clock needs a hand.
    done = threading.Event()

    def hand() -> None:
        while not done.wait(0.002):
            lan.advance(1)

    mover = threading.Thread(target=hand)
    mover.start()
    try:
        run(work())
    finally:
        done.set()
        mover.join()


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("os:reader", {"Version", "ServiceList", "EtcdMemberList"}),
        ("os:operator", {"Version", "ServiceList", "EtcdMemberList"}),
        ("os:etcd:backup", {"EtcdMemberList"}),
        ("nobody", set()),
    ],
)
def test_roles(whole: tuple[Served, Cluster, list[Vm]], role: str, allowed: set[str]) -> None:
    served, cluster, vms = whole

    async def work() -> None:
        async with served.channel(served.port(vms[0]), secure(cluster, cluster.client(role))) as channel:
            api = MachineServiceStub(channel)
            calls: dict[str, Callable[[], Awaitable[Any]]] = {
                "Version": lambda: api.Version(Empty()),
                "ServiceList": lambda: api.ServiceList(Empty()),
                "EtcdMemberList": lambda: api.EtcdMemberList(pb.EtcdMemberListRequest()),
                "Bootstrap": lambda: api.Bootstrap(pb.BootstrapRequest()),
                "Kubeconfig": lambda: api.Kubeconfig(Empty()),
                "Reset": lambda: api.Reset(pb.ResetRequest()),
                "Read": lambda: api.Read(pb.ReadRequest(path="/proc/cmdline")),
            }
            for name, call in calls.items():
                if name in allowed:
                    await call()
                else:
                    assert await refusal(call()) == (Status.PERMISSION_DENIED, "not authorized"), name
            if role == "os:reader":
                sensitive = cosi.GetRequest(namespace="config", type="MachineConfigs.config.talos.dev", id="v1alpha1")
                assert await refusal(StateStub(channel).Get(sensitive)) == (Status.PERMISSION_DENIED, "not authorized")

    run(work())


def test_nodes_fans_out_and_names_each_target(whole: tuple[Served, Cluster, list[Vm]]) -> None:
    served, cluster, vms = whole
    names = [served.lan.guest(vm).address for vm in vms]

    async def work() -> None:
        async with served.channel(served.port(vms[0]), secure(cluster, cluster.client())) as channel:
            api = MachineServiceStub(channel)
            metadata = [("nodes", name) for name in [*names, "192.0.2.99"]]
            messages = (await api.Hostname(Empty(), metadata=metadata)).messages
            assert [m.metadata.hostname for m in messages] == [*names, "192.0.2.99"]
            assert [m.hostname for m in messages] == ["cp0", "cp1", "cp2", "w0", ""]
            assert "code = Unavailable" in messages[-1].metadata.error
            assert messages[-1].metadata.status.code == Status.UNAVAILABLE.value
            one = (await api.Hostname(Empty(), metadata=[("node", "w0")])).messages[0]
            assert (one.hostname, one.HasField("metadata")) == ("w0", False)
            both = api.Hostname(Empty(), metadata=[("node", "w0"), ("node", "cp1")])
            assert await refusal(both) == (Status.INVALID_ARGUMENT, "node metadata must be single-valued")
            refused = (await api.EtcdMemberList(pb.EtcdMemberListRequest(), metadata=[("nodes", names[3])])).messages[0]
            assert "member list is only available on control plane nodes" in refused.metadata.error
            read = await api.Read(
                pb.ReadRequest(path="/etc/hostname"), metadata=[("nodes", names[1]), ("nodes", names[2])]
            )
            assert {(m.metadata.hostname, m.bytes) for m in read} == {(names[1], b"cp1\n"), (names[2], b"cp2\n")}

    run(work())


def test_cosi_takes_one_node_and_no_more(whole: tuple[Served, Cluster, list[Vm]]) -> None:
    served, cluster, vms = whole

    async def work() -> None:
        async with served.channel(served.port(vms[0]), secure(cluster, cluster.client())) as channel:
            state = StateStub(channel)
            request = cosi.GetRequest(namespace="config", type="MachineTypes.config.talos.dev", id="machine-type")
            reply = await state.Get(request, metadata=[("node", served.lan.guest(vms[3]).address)])
            assert reply.resource.spec.yaml_spec == "worker\n"
            assert reply.resource.spec.proto_spec == b"\x08\x03"
            many = state.Get(request, metadata=[("nodes", "a")])
            text = "one-2-many proxying is not supported for COSI methods"
            assert await refusal(many) == (Status.INVALID_ARGUMENT, text)

    run(work())


def test_workers_forward_nothing(whole: tuple[Served, Cluster, list[Vm]]) -> None:
    served, cluster, vms = whole

    async def work() -> None:
        async with served.channel(served.port(vms[3]), secure(cluster, cluster.client())) as channel:
            api = MachineServiceStub(channel)
            own = (await api.Hostname(Empty(), metadata=[("nodes", served.lan.guest(vms[3]).address)])).messages[0]
            assert own.hostname == "w0"
            for key in ("node", "nodes"):
                call = api.Hostname(Empty(), metadata=[(key, served.lan.guest(vms[0]).address)])
                assert await refusal(call) == (Status.PERMISSION_DENIED, "no request forwarding")
            kubeconfig = api.Kubeconfig(Empty())
            text = "kubeconfig is only available on control plane nodes"
            assert await refusal(kubeconfig) == (Status.UNIMPLEMENTED, text)

    run(work())


def test_resources_of_a_whole_cluster(whole: tuple[Served, Cluster, list[Vm]]) -> None:
    served, cluster, vms = whole

    async def work() -> None:
        async with served.channel(served.port(vms[0]), secure(cluster, cluster.client("os:reader"))) as channel:
            state = StateStub(channel)

            async def listed(type: str, namespace: str) -> dict[str, Any]:
                replies = await state.List(cosi.ListRequest(namespace=namespace, type=type))
                return {r.resource.metadata.id: yaml.safe_load(r.resource.spec.yaml_spec) for r in replies}

            members = await listed("Members.cluster.talos.dev", "cluster")
            assert {name: member["machineType"] for name, member in members.items()} == {
                "cp0": "controlplane",
                "cp1": "controlplane",
                "cp2": "controlplane",
                "w0": "worker",
            }
            info = await get(channel, "Infos.cluster.talos.dev", "current", "cluster")
            assert info == {"clusterId": cluster.id, "clusterName": cluster.name}
            nodes = await listed("NodeStatuses.kubernetes.talos.dev", "k8s")
            assert nodes == {"cp0": {"nodename": "cp0", "nodeReady": True, "unschedulable": False}}
            node = served.lan.kernel.state.clusters[served.lan.machine(vms[0]).kubelet_in].objects["nodes/cp0"].body
            node["spec"]["unschedulable"] = True
            assert (await listed("NodeStatuses.kubernetes.talos.dev", "k8s"))["cp0"]["unschedulable"] is True
            del node["spec"]["unschedulable"]
            pods = await listed("StaticPodStatuses.kubernetes.talos.dev", "k8s")
            assert "kube-system/kube-apiserver-cp0" in pods
            definitions = await listed("ResourceDefinitions.meta.cosi.dev", "meta")
            assert definitions["machineconfigs.config.talos.dev"]["sensitivity"] == "sensitive"
            machine = definitions["machinestatuses.runtime.talos.dev"]
            assert (machine["displayType"], machine["defaultNamespace"]) == ("MachineStatus", "runtime")
            assert "machinestatuses.runtime" in machine["allAliases"]
            assert await listed("Diagnostics.runtime.talos.dev", "runtime") == {}

    run(work())
