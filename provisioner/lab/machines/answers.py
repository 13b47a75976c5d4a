"""What a configured machine answers to each call, as Talos' v1alpha1_server.go does. One function per method; the world's lock is held only while looking or changing."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from provisioner.lab.machines import apply, kubeconfig_file
from provisioner.lab.machines.calls import Answerer, as_grpc
from provisioner.lab.world.guests import clusters, sequences
from provisioner.lab.world.guests.events import MachineEvent
from provisioner.lab.world.guests.machine import Machine
from provisioner.lab.world.guests.sequences import Refused
from provisioner.lab.world.state import KubeCluster
from provisioner.talos.api.gen import common_pb2
from provisioner.talos.api.gen import machine_pb2 as pb

T = TypeVar("T")
TIME_WAIT_S = 5.0
"""How long Bootstrap waits for the clock."""
CHUNK = 1024
_RESET_LABELS = {"STATE", "EPHEMERAL", "META"}


async def apply_in_maintenance(answerer: Answerer, request: pb.ApplyConfigurationRequest) -> pb.ApplyConfiguration:
    with answerer.kernel.lock:
        return apply.in_maintenance(answerer, request)


async def apply_configuration(answerer: Answerer, request: pb.ApplyConfigurationRequest) -> pb.ApplyConfiguration:
    with answerer.kernel.lock:
        return apply.on_configured(answerer, request, sequences.new_actor(answerer.machine))


async def bootstrap(answerer: Answerer, request: pb.BootstrapRequest) -> pb.Bootstrap:
    if request.recover_etcd:
        raise GRPCError(Status.UNIMPLEMENTED, "the lab's machines keep no etcd snapshots to recover from")
    try:
        with answerer.locked() as machine:
            sequences.check_bootstrap(machine)
        await _time_in_sync(answerer)
        with answerer.locked() as machine:
            sequences.check_bootstrap(machine)
            sequences.bootstrap(machine)
    except Refused as refused:
        raise as_grpc(refused) from None
    return pb.Bootstrap()


async def _time_in_sync(answerer: Answerer) -> None:
    until = answerer.kernel.now() + TIME_WAIT_S
    while True:
        ring = answerer.bell.listen()
        with answerer.locked() as machine:
            if machine.talos.time_synced:
                return
        if not await answerer.wait(ring, until - answerer.kernel.now()):
            raise Refused("FAILED_PRECONDITION", "time is not in sync yet")


async def etcd_member_list(answerer: Answerer, request: pb.EtcdMemberListRequest) -> pb.EtcdMembers:
    with answerer.locked() as machine:
        cluster = _running_cluster(machine, "member list")
        if not request.query_local and not clusters.has_quorum(machine.environment, cluster):
            raise GRPCError(Status.DEADLINE_EXCEEDED, "context deadline exceeded: etcd has no leader")
        members = [
            pb.EtcdMember(
                id=member.id,
                hostname=member.hostname,
                peer_urls=[f"https://{member.address}:2380"],
                client_urls=[f"https://{member.address}:2379"],
                is_learner=member.learner,
            )
            for member in sorted(cluster.roster.values(), key=lambda member: member.id)
        ]
        return pb.EtcdMembers(legacy_members=[member.hostname for member in members], members=members)


async def etcd_status(answerer: Answerer, _request: Empty) -> pb.EtcdStatus:
    with answerer.locked() as machine:
        cluster = _running_cluster(machine, "etcd status")
        voters = [member.id for member in cluster.roster.values() if not member.learner]
        index = 100 + int(machine.kernel.now() - cluster.bootstrapped)
        return pb.EtcdStatus(
            member_status=pb.EtcdMemberStatus(
                storage_version="3.6.0",
                protocol_version="3.6.5",
                member_id=clusters.member_id(machine),
                leader=min(voters) if clusters.has_quorum(machine.environment, cluster) else 0,
                db_size=4 * 2**20,
                db_size_in_use=2**20,
                raft_index=index,
                raft_applied_index=index,
                raft_term=2,
                is_learner=cluster.roster[clusters.member_id(machine)].learner,
            )
        )


async def hostname(answerer: Answerer, _request: Empty) -> pb.Hostname:
    with answerer.locked() as machine:
        return pb.Hostname(hostname=machine.talos.hostname)


async def memory(answerer: Answerer, _request: Empty) -> pb.Memory:
    with answerer.locked() as machine:
        total = machine.talos.memory_bytes // 1024
    return pb.Memory(meminfo=pb.MemInfo(memtotal=total, memfree=total // 2, memavailable=total * 2 // 3))


async def reboot(answerer: Answerer, request: pb.RebootRequest) -> pb.Reboot:
    with answerer.locked() as machine:
        actor = sequences.new_actor(machine)
        sequences.reboot(machine, powercycle=request.mode == pb.RebootRequest.POWERCYCLE, actor=actor)
    return pb.Reboot(actor_id=actor)


async def shutdown(answerer: Answerer, _request: pb.ShutdownRequest) -> pb.Shutdown:
    with answerer.locked() as machine:
        actor = sequences.new_actor(machine)
        sequences.shut_down(machine, actor=actor)
    return pb.Shutdown(actor_id=actor)


async def reset(answerer: Answerer, request: pb.ResetRequest) -> pb.Reset:
    labels = tuple(partition.label for partition in request.system_partitions_to_wipe)
    with answerer.locked() as machine:
        _check_reset(machine, request, labels)
        actor = sequences.new_actor(machine)
        wiping = sequences.Wiping(
            labels=labels,
            system_disk=request.mode != pb.ResetRequest.USER_DISKS,
            user_disks=tuple(request.user_disks_to_wipe),
        )
        sequences.reset(machine, wiping, graceful=request.graceful, then_reboot=request.reboot, actor=actor)
    return pb.Reset(actor_id=actor)


def _check_reset(machine: Machine, request: pb.ResetRequest, labels: tuple[str, ...]) -> None:
    """What Talos' v1alpha1_server.go refuses of a reset."""
    if request.mode == pb.ResetRequest.SYSTEM_DISK and request.user_disks_to_wipe:
        text = "reset failed: invalid input, wipe mode SYSTEM_DISK doesn't support UserDisksToWipe parameter"
        raise GRPCError(Status.INVALID_ARGUMENT, text)
    if request.mode == pb.ResetRequest.USER_DISKS and labels:
        text = "reset failed: invalid input, wipe mode USER_DISKS doesn't support SystemPartitionsToWipe parameter"
        raise GRPCError(Status.INVALID_ARGUMENT, text)
    known = {f"/dev/{disk.device}" for disk in machine.hardware.disks()}
    for disk in request.user_disks_to_wipe:
        if disk not in known:
            raise GRPCError(Status.INVALID_ARGUMENT, f"reset user disk failed: device {disk} wasn't found")
    for label in labels:
        if label not in _RESET_LABELS:
            raise GRPCError(Status.INVALID_ARGUMENT, f'failed to reset: volume "{label}" is not located')


async def service_list(answerer: Answerer, _request: Empty) -> pb.ServiceList:
    with answerer.locked() as machine:
        return pb.ServiceList(
            services=[
                pb.ServiceInfo(
                    id=name,
                    state=service.state,
                    events=pb.ServiceEvents(
                        events=[
                            pb.ServiceEvent(state=state, msg=text, ts=_stamp(date))
                            for date, state, text in service.history
                        ]
                    ),
                    health=pb.ServiceHealth(
                        unknown=service.unknown,
                        healthy=service.healthy,
                        last_message=service.message,
                        last_change=_stamp(service.history[-1][0]),
                    ),
                )
                for name, service in sorted(machine.talos.services.items())
            ]
        )


async def version(answerer: Answerer, _request: Empty) -> pb.Version:
    with answerer.locked() as machine:
        tag = machine.talos.version
        return pb.Version(
            version=pb.VersionInfo(
                tag=tag,
                sha=hashlib.sha256(tag.encode()).hexdigest()[:8],
                go_version="go1.24.9",
                os="linux",
                arch="amd64",
            ),
            platform=pb.PlatformInfo(name="metal", mode="metal"),
            features=pb.FeaturesInfo(rbac=machine.running_config.rbac),
        )


# --- streams --------------------------------------------------------------------------------------------------------


async def kubeconfig(answerer: Answerer, _request: Empty) -> AsyncIterator[common_pb2.Data]:
    with answerer.locked() as machine:
        if not machine.control_plane:
            raise GRPCError(Status.UNIMPLEMENTED, "kubeconfig is only available on control plane nodes")
        config = machine.running_config
    yield common_pb2.Data(bytes=kubeconfig_file.archive(kubeconfig_file.render(config)))


async def read(answerer: Answerer, request: pb.ReadRequest) -> AsyncIterator[common_pb2.Data]:
    """The few files of /proc and /etc that an orchestrator asks for. The lab's machines have no file system to look into."""
    with answerer.locked() as machine:
        talos, config = machine.talos, machine.running_config
        files = {
            "/proc/sys/kernel/random/boot_id": f"{talos.boot_id}\n",
            "/proc/cmdline": f"{talos.cmdline}\n",
            "/etc/hostname": f"{talos.hostname}\n",
            "/etc/hosts": f"127.0.0.1 localhost\n{talos.address} {talos.hostname}\n::1 localhost\n",
            "/etc/resolv.conf": "".join(f"nameserver {server}\n" for server in config.nameservers),
            "/etc/os-release": f'NAME="Talos"\nID=talos\nVERSION_ID={talos.version}\nPRETTY_NAME="Talos ({talos.version})"\n',
        }
    if request.path not in files:
        raise GRPCError(Status.UNIMPLEMENTED, f"the lab's machines keep no file {request.path} to read")
    yield common_pb2.Data(bytes=files[request.path].encode())


async def _follow(answerer: Answerer, look: Callable[[Machine], list[T]], *, follow: bool = True) -> AsyncIterator[T]:
    """What a look at the machine finds, and with `follow` what each later one does, until the machine goes or the client hangs up."""
    while True:
        ring = answerer.bell.listen()
        with answerer.locked() as machine:
            found = look(machine)
        for each in found:
            yield each
        if not follow:
            return
        await answerer.wait(ring)


async def dmesg(answerer: Answerer, request: pb.DmesgRequest) -> AsyncIterator[common_pb2.Data]:
    """One message per record. `tail` with `follow`: only what comes from now on."""
    with answerer.locked() as machine:
        shown = len(machine.log) if request.tail else 0

    def look(machine: Machine) -> list[str]:
        nonlocal shown
        begin, shown = shown, len(machine.log)
        return [
            f"kern:    info: [{_stamp(date).ToJsonString()}]: {line}\n" for _when, date, line in machine.log[begin:]
        ]

    async for line in _follow(answerer, look, follow=request.follow):
        yield common_pb2.Data(bytes=line.encode())


async def logs(answerer: Answerer, request: pb.LogsRequest) -> AsyncIterator[common_pb2.Data]:
    """A service's own log: what the world knows of it. Containers of Kubernetes have none here."""
    shown: int | None = None

    def look(machine: Machine) -> list[bytes]:
        nonlocal shown
        service = machine.talos.services.get(request.id)
        if service is None:
            raise GRPCError(Status.NOT_FOUND, f'log "{request.id}" was not registered')
        lines = [f"{_stamp(date).ToJsonString()} {state}: {text}\n" for date, state, text in service.history]
        if shown is None:
            shown = max(0, len(lines) - request.tail_lines) if request.tail_lines >= 0 else 0
        text, shown = "".join(lines[shown:]).encode(), len(lines)
        return [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]

    async for part in _follow(answerer, look, follow=request.follow):
        yield common_pb2.Data(bytes=part)


async def events(answerer: Answerer, request: pb.EventsRequest) -> AsyncIterator[pb.Event]:
    """An empty event as a hello, then the history asked for, then each new one."""
    yield pb.Event()
    with answerer.locked() as machine:
        last = _last_known(list(machine.ring), request, answerer.kernel.now())

    def look(machine: Machine) -> list[MachineEvent]:
        return [event for event in machine.ring if event.number > last]

    async for event in _follow(answerer, look):
        last = event.number
        if not request.with_actor_id or event.actor == request.with_actor_id:
            yield event.message()


def _last_known(ring: list[MachineEvent], request: pb.EventsRequest, now: float) -> int:
    """The number of the last event that the client does not ask for."""
    last = ring[-1].number if ring else 0
    if request.tail_events:
        return last - (len(ring) if request.tail_events < 0 else min(request.tail_events, len(ring)))
    if request.tail_id:
        return next((e.number for e in reversed(ring) if e.id <= request.tail_id), 0)
    if request.tail_seconds:
        return next((e.number for e in reversed(ring) if e.at < now - request.tail_seconds), 0)
    return last


def _running_cluster(machine: Machine, what: str) -> KubeCluster:
    if not machine.control_plane:
        raise GRPCError(Status.UNIMPLEMENTED, f"{what} is only available on control plane nodes")
    cluster = clusters.cluster_of(machine)
    if cluster is None or not machine.etcd_running:
        raise GRPCError(Status.UNAVAILABLE, "etcd is not running")
    return cluster


def _stamp(date: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromtimestamp(date, UTC))
    return stamp
