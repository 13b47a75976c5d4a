"""Talos' API over real sockets, asked by an ordinary gRPC client and by bare TLS."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import socket
import ssl
import tarfile
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import pytest
import yaml
from cryptography import x509
from google.protobuf.empty_pb2 import Empty
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from provisioner.lab.machines import pki
from provisioner.lab.world.clock import RunningClock
from provisioner.lab.world.guests import add_foreign
from provisioner.lab.world.state import Vm
from provisioner.talos.api.gen import cosi_pb2 as cosi
from provisioner.talos.api.gen import machine_pb2 as pb
from provisioner.talos.api.gen.cosi_grpc import StateStub
from provisioner.talos.api.gen.machine_grpc import MachineServiceStub
from tests.lab.machines.helpers import Cluster, Lan, Served, insecure, secure, serving

STATUS = "MachineStatuses.runtime.talos.dev"


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(5):
            await work

    asyncio.run(bounded())


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def lan() -> Lan:
    return Lan()


@pytest.fixture
def served(lan: Lan) -> Iterator[Served]:
    with serving(lan) as served:
        yield served


@pytest.fixture(scope="module")
def whole() -> Iterator[tuple[Served, Cluster, list[Vm]]]:
    """A running cluster of three control planes and a worker. Tests only read from it."""
    lan, cluster = Lan(), Cluster()
    vms = lan.running_cluster(cluster, control_planes=3, workers=1)
    with serving(lan) as served:
        yield served, cluster, vms


def maintenance(served: Served, vm: Vm) -> Any:
    return served.channel(served.port(vm), insecure())


async def get(channel: Channel, type: str, id: str, namespace: str = "runtime") -> Any:
    reply = await StateStub(channel).Get(cosi.GetRequest(namespace=namespace, type=type, id=id))
    return yaml.safe_load(reply.resource.spec.yaml_spec)


async def refusal(call: Any) -> tuple[Status, str]:
    with pytest.raises(GRPCError) as refused:
        await call
    return refused.value.status, refused.value.message or ""


def handshake(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    bare = socket.create_connection(("127.0.0.1", port), timeout=5)
    try:
        return context.wrap_socket(bare, server_hostname="127.0.0.1")
    except BaseException:
        bare.close()
        raise


# --- TLS ------------------------------------------------------------------------------------------------------------


def test_maintenance_shows_a_leaf_alone_of_a_ca_that_nobody_has(lan: Lan, served: Served) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()
    with handshake(served.port(vm), insecure()) as connection:
        chain = connection._sslobj.get_unverified_chain()
        assert connection.selected_alpn_protocol() == "h2"
        der = connection.getpeercert(binary_form=True)
    assert len(chain) == 1
    assert der is not None
    leaf = x509.load_der_x509_certificate(der)
    assert leaf.issuer == x509.Name([])
    assert leaf.subject.rfc4514_string() == "CN=maintenance-service.talos.dev"
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {lan.guest(vm).address, "127.0.0.1", "::1"} == {str(ip) for ip in san.get_values_for_type(x509.IPAddress)}
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(served.port(vm), ssl.create_default_context())


def test_the_key_changes_with_the_clock_and_the_port_stays(lan: Lan, served: Served) -> None:
    lan.inject("time-not-synced", "a", value=60)
    vm = lan.start("a")
    assert lan.kernel.wait_for(lambda: bool(lan.noted("maintenance")), 90)
    served.servers.settle()

    def fingerprint() -> str:
        with handshake(served.port(vm), insecure()) as connection:
            der = connection.getpeercert(binary_form=True)
        assert der is not None
        return pki.fingerprint(x509.load_der_x509_certificate(der))

    port, before = served.port(vm), fingerprint()
    assert fingerprint() == before
    served.advance(120)
    assert fingerprint() != before
    assert served.port(vm) == port


@pytest.mark.parametrize(
    ("client", "alert"),
    [("none", "CERTIFICATE_REQUIRED"), ("stranger", "UNKNOWN_CA"), ("expired", "CERTIFICATE_EXPIRED")],
)
def test_apid_tells_why_it_refuses_a_client(whole: tuple[Served, Cluster, list[Vm]], client: str, alert: str) -> None:
    served, cluster, vms = whole
    # Minus one day: five minutes ago it was made, so it ended long ago.
    certificates = {"none": None, "stranger": Cluster().client(), "expired": cluster.client(days=0)}
    with handshake(served.port(vms[0]), secure(cluster, certificates[client])) as connection:
        with pytest.raises(ssl.SSLError, match=alert):
            connection.recv(1)  # in TLS 1.3 the server judges after the client's handshake ended


def test_two_clusters_certificates_refuse_each_other(lan: Lan, served: Served) -> None:
    ours, theirs = Cluster(name="ours"), Cluster(name="theirs")
    one, two = lan.to_maintenance("a", "b")
    lan.apply(one, ours.config("controlplane", "one"))
    lan.apply(two, theirs.config("controlplane", "two"))
    served.advance(200)
    with handshake(served.port(one), secure(ours, ours.client())) as connection:
        assert connection.recv(1)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(served.port(two), secure(ours, ours.client()))
    trusting = insecure()
    trusting.load_verify_locations(cadata=pki_pem(theirs))
    with handshake(served.port(two), trusting) as connection, pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        connection.recv(1)


def pki_pem(cluster: Cluster) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return cluster.os_ca[0].public_bytes(Encoding.PEM).decode()


# --- maintenance ----------------------------------------------------------------------------------------------------


def test_maintenance_answers_who_the_machine_is(lan: Lan, served: Served) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()

    async def work() -> None:
        async with maintenance(served, vm) as channel:
            assert await get(channel, STATUS, "machine") == {
                "stage": "maintenance",
                "status": {"ready": True, "unmetConditions": []},
            }
            system = await get(channel, "SystemInformations.hardware.talos.dev", "systeminformation", "hardware")
            assert system["uuid"] == vm.bios_uuid.lower()
            links = await StateStub(channel).List(
                cosi.ListRequest(namespace="network", type="LinkStatuses.net.talos.dev")
            )
            specs = [yaml.safe_load(reply.resource.spec.yaml_spec) for reply in links]
            assert [spec["hardwareAddr"] for spec in specs if spec["type"] == "ether"] == ["02:15:5d:00:00:01"]
            disk = await get(channel, "Disks.block.talos.dev", "sda")
            assert (disk["size"], disk["dev_path"], disk["readonly"]) == (20 * 2**30, "/dev/sda", False)
            assert (await get(channel, "Versions.runtime.talos.dev", "version")) == {"version": "v1.11.5"}
            absent = StateStub(channel).Get(
                cosi.GetRequest(namespace="runtime", type="SystemDisks.block.talos.dev", id="system-disk")
            )
            assert (await refusal(absent))[0] is Status.NOT_FOUND

    run(work())


def test_maintenance_refuses_all_that_needs_a_config(lan: Lan, served: Served) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()

    async def work() -> None:
        async with maintenance(served, vm) as channel:
            api, state = MachineServiceStub(channel), StateStub(channel)
            not_there = (Status.UNIMPLEMENTED, "API is not implemented in maintenance mode")
            assert await refusal(api.Version(Empty())) == not_there
            assert await refusal(api.Reset(pb.ResetRequest())) == not_there
            assert await refusal(api.Bootstrap(pb.BootstrapRequest())) == (
                Status.UNIMPLEMENTED,
                "method Bootstrap not implemented",
            )
            assert (await refusal(api.Events(pb.EventsRequest())))[0] is Status.UNIMPLEMENTED
            for kind, namespace, text in (
                ("MachineConfigs.config.talos.dev", "config", "not authorized"),
                ("Nonsense.talos.dev", "runtime", 'resource type "Nonsense.talos.dev" is not supported'),
                (STATUS, "nonsense", 'namespace "nonsense" is not supported'),
            ):
                call = state.Get(cosi.GetRequest(namespace=namespace, type=kind, id="x"))
                assert await refusal(call) == (Status.PERMISSION_DENIED, text)
            assert await refusal(state.Destroy(cosi.DestroyRequest())) == (Status.PERMISSION_DENIED, "not authorized")

    run(work())


def test_unknown_methods_are_answered_with_a_content_type(lan: Lan, served: Served) -> None:
    """A client in Go takes an answer without one for a broken server."""
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()

    async def work() -> None:
        from grpclib.const import Cardinality

        async with maintenance(served, vm) as channel:
            async with channel.request("/time.TimeService/Time", Cardinality.UNARY_UNARY, Empty, Empty) as stream:
                await stream.send_message(Empty(), end=True)
                with pytest.raises(GRPCError, match=r"unknown service time\.TimeService"):
                    await stream.recv_message()

    run(work())


@pytest.mark.parametrize(
    ("mode", "dry_run", "answer"),
    [
        (pb.ApplyConfigurationRequest.AUTO, True, "Dry run summary:\nNode is running in maintenance mode"),
        (pb.ApplyConfigurationRequest.NO_REBOOT, False, "--mode='no-reboot' is not supported in maintenance mode"),
        (pb.ApplyConfigurationRequest.STAGED, True, "--mode='staged' is not supported in maintenance mode"),
    ],
)
def test_modes_and_dry_runs_in_maintenance(
    served: Served, cluster: Cluster, mode: Any, dry_run: bool, answer: str
) -> None:
    lan = served.lan
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()
    request = pb.ApplyConfigurationRequest(data=cluster.config("controlplane"), mode=mode, dry_run=dry_run)

    async def work() -> None:
        async with maintenance(served, vm) as channel:
            call = MachineServiceStub(channel).ApplyConfiguration(request)
            if "not supported" in answer:
                assert answer in (await refusal(call))[1]
            else:
                assert (await call).messages[0].mode_details.startswith(answer)

    run(work())
    lan.advance(60)
    assert lan.guest(vm).stage == "maintenance", "nothing was taken"


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (b"\tnot: yaml", Status.UNKNOWN, "failed to parse config: yaml: line 1"),
        (
            b"version: v1alpha1\nmachine: {type: worker}\n",
            Status.INVALID_ARGUMENT,
            "configuration validation failed: 1 error",
        ),
    ],
)
def test_bad_configs_are_refused_and_the_machine_waits_on(
    lan: Lan, served: Served, data: bytes, status: Status, text: str
) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()

    async def work() -> None:
        async with maintenance(served, vm) as channel:
            call = MachineServiceStub(channel).ApplyConfiguration(pb.ApplyConfigurationRequest(data=data))
            code, message = await refusal(call)
            assert code is status
            assert message.startswith(text)

    run(work())
    lan.advance(60)
    assert lan.guest(vm).stage == "maintenance"


def test_a_foreign_machine_keeps_every_byte_it_was_sent(lan: Lan, served: Served, cluster: Cluster) -> None:
    foreign = add_foreign(lan.kernel, "n", "02155D000001", "ffffffff-0000-4000-8000-000000000001", "192.0.2.60")
    served.advance(70)
    config = cluster.config("worker")

    async def work() -> None:
        port = served.routes.loopback_port("192.0.2.60", 50000)
        async with served.channel(port, insecure()) as channel:
            system = await get(channel, "SystemInformations.hardware.talos.dev", "systeminformation", "hardware")
            assert system["uuid"] == foreign.uuid
            assert foreign.received == []
            api = MachineServiceStub(channel)
            await api.ApplyConfiguration(pb.ApplyConfigurationRequest(data=config, dry_run=True))
            await refusal(api.ApplyConfiguration(pb.ApplyConfigurationRequest(data=b"rubbish")))
            await api.ApplyConfiguration(pb.ApplyConfigurationRequest(data=config))

    run(work())
    assert foreign.received == [config, b"rubbish", config]
    served.advance(10)
    assert lan.kernel.state.guests["foreign:n"].stage == "installing", "it takes the config as any Talos would"


# --- from maintenance to a cluster, over the wire -------------------------------------------------------------------


def test_apply_install_bootstrap_and_the_files_for_users(lan: Lan, served: Served) -> None:
    cluster = Cluster()
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()
    cluster.endpoint = f"https://{lan.guest(vm).address}:6443"
    port, config = served.port(vm), cluster.config("controlplane", "cp")

    async def apply() -> None:
        async with maintenance(served, vm) as channel:
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
            assert (await refusal(api.Read(pb.ReadRequest(path="/nowhere"))))[0] is Status.NOT_FOUND
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
    import base64

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


# --- roles, proxying ------------------------------------------------------------------------------------------------


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
            calls = {
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


# --- streams --------------------------------------------------------------------------------------------------------


class Watching:
    """An open watch in a test's own loop."""

    def __init__(self, channel: Channel, request: cosi.WatchRequest) -> None:
        self._context = StateStub(channel).Watch.open()
        self._request = request

    async def __aenter__(self) -> AsyncIterator[cosi.WatchResponse]:
        stream = self._stream = await self._context.__aenter__()
        await stream.send_message(self._request, end=True)
        return stream.__aiter__()

    async def __aexit__(self, *error: object) -> None:
        with contextlib.suppress(Exception):  # the stream may be dead already; the test has said so
            await self._stream.cancel()
        await self._context.__aexit__(*error)


def stage_of(response: cosi.WatchResponse) -> str:
    (event,) = response.event
    return str(yaml.safe_load(event.resource.spec.yaml_spec)["stage"])


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


# --- changes on a configured machine --------------------------------------------------------------------------------


def changed_config(cluster: Cluster, **machine: Any) -> bytes:
    document = cluster.document("controlplane", "cp")
    document["machine"] |= machine
    return yaml.safe_dump(document, sort_keys=False).encode()


@pytest.mark.parametrize(
    ("machine", "mode", "used", "said"),
    [
        ({"nodeLabels": {"a": "b"}}, "AUTO", "NO_REBOOT", "Applied configuration without a reboot"),
        (
            {"udev": {"rules": ["x"]}},
            "AUTO",
            "REBOOT",
            "Applied configuration with a reboot\nfields that need a reboot: machine.udev",
        ),
        ({"udev": {"rules": ["x"]}}, "STAGED", "STAGED", "Staged configuration to be applied after the next reboot"),
        (
            {"nodeLabels": {"a": "b"}},
            "TRY",
            "TRY",
            "Applied configuration without a reboot\nThe config is applied in 'try' mode",
        ),
        ({"udev": {"rules": ["x"]}}, "NO_REBOOT", None, "can't be applied in immediate mode: machine.udev"),
        ({"nonsense": 1}, "AUTO", None, "unknown keys found during decoding:\nmachine:\n  nonsense: 1"),
        ({"type": "worker"}, "AUTO", None, "issuing Talos API CA key is not allowed on non-controlplane nodes"),
    ],
)
def test_another_config_for_a_configured_machine(
    served: Served, machine: dict[str, Any], mode: str, used: str | None, said: str
) -> None:
    lan, cluster = served.lan, Cluster()
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, cluster.config("controlplane", "cp"))
    served.servers.settle()
    boot_id, config = lan.guest(vm).boot_id, changed_config(cluster, **machine)
    system = lan.disk(vm).system
    assert system is not None

    async def work() -> None:
        async with served.channel(served.port(vm), secure(cluster, cluster.client())) as channel:
            api = MachineServiceStub(channel)
            request = pb.ApplyConfigurationRequest(data=config, mode=mode, dry_run=True)
            if used is None:
                code, text = await refusal(api.ApplyConfiguration(request))
                assert code is Status.INVALID_ARGUMENT
                assert said in text
                return
            details = (await api.ApplyConfiguration(request)).messages[0].mode_details
            assert details.startswith("Dry run summary:\nApplied" if "Applied" in said else "Dry run summary:\nStaged")
            assert "Config diff:" in details
            assert system.config != config, "a dry run changes nothing"
            request.dry_run = False
            reply = (await api.ApplyConfiguration(request)).messages[0]
            assert reply.mode == pb.ApplyConfigurationRequest.Mode.Value(used)
            assert reply.mode_details.startswith(said)

    run(work())
    if used is None:
        return
    assert (system.config == config) == (used != "TRY")
    assert (lan.guest(vm).config == config) == (used in ("NO_REBOOT", "TRY"))
    lan.advance(90)
    assert (lan.guest(vm).boot_id != boot_id) == (used == "REBOOT")
    assert (lan.guest(vm).config == config) == (used in ("NO_REBOOT", "REBOOT")), "what was tried is taken back"


def test_new_sans_of_the_config_come_into_the_certificate(lan: Lan, served: Served) -> None:
    cluster = Cluster()
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, cluster.config("controlplane", "cp"))
    served.servers.settle()
    config = changed_config(cluster, certSANs=["127.0.0.1", "talos.example.org"])

    async def work() -> None:
        async with served.channel(served.port(vm), secure(cluster, cluster.client())) as channel:
            await MachineServiceStub(channel).ApplyConfiguration(
                pb.ApplyConfigurationRequest(data=config, mode="NO_REBOOT")
            )

    run(work())
    served.servers.settle()
    context = secure(cluster, cluster.client())
    with socket.create_connection(("127.0.0.1", served.port(vm)), timeout=5) as bare:
        with context.wrap_socket(bare, server_hostname="talos.example.org") as connection:
            assert connection.recv(1)


# --- power and links ------------------------------------------------------------------------------------------------


def test_a_power_cut_ends_connections_at_once(lan: Lan, served: Served) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()
    port = served.port(vm)

    async def work() -> None:
        async with maintenance(served, vm) as channel:
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
        async with maintenance(served, vm) as channel:
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
        async with maintenance(served, vm) as channel:
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
        async with maintenance(served, vm) as channel:
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
                async with maintenance(served, vm) as channel:
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
                async with maintenance(served, vm) as channel:
                    assert (await get(channel, STATUS, "machine"))["stage"] == "maintenance"

            run(work())
    finally:
        lan.kernel.stop()
