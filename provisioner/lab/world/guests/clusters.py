"""What machines are to each other: who serves whose certificates, who is a member of which etcd cluster, who has quorum."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.lab.world.guests import scalars, times
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.guests.machine import Environment, Machine
from provisioner.lab.world.guests.process import Steps, UntilWoken
from provisioner.lab.world.kernel import SYNCED
from provisioner.lab.world.state import EtcdData, EtcdMember, KubeCluster

# --- finding each other ---------------------------------------------------------------------------------------------


def peers(machine: Machine, *, with_etcd: bool = False) -> Iterator[Machine]:
    """Other machines of the same cluster by the secrets in their configs, that run and can be reached."""
    for other in machine.environment.machines.values():
        if (
            other is not machine
            and (other.etcd_running or not with_etcd)
            and other.config is not None
            and other.reachable
            and other.running_config.same_cluster(machine.running_config)
        ):
            yield other


def addresses(machine: Machine) -> list[str]:
    """Its own address, and the virtual one while it holds it."""
    if machine.guest is None or not machine.guest.address:
        return []
    return [machine.guest.address, *([virtual] if (virtual := held_virtual_ip(machine)) else [])]


def held_virtual_ip(machine: Machine) -> str:
    """The virtual IP is elected through etcd, so it exists only after bootstrap (controllers/network/operator/vip.go). Lowest member id wins here."""
    if machine.config is None or not machine.config.virtual_ip or not etcd_healthy(machine):
        return ""
    ids = {other.owner: member_id(other) for other in (machine, *peers(machine, with_etcd=True)) if etcd_healthy(other)}
    return machine.config.virtual_ip if member_id(machine) == min(ids.values()) else ""


def _finds(machine: Machine, other: Machine) -> bool:
    """Whether the machine comes upon that control plane: by the endpoint of its own config, or by the discovery service."""
    config = machine.running_config
    return _is_address_of(config.endpoint_host, other) or (
        config.discovery and _discovers(config, other.running_config)
    )


def _is_address_of(host: str, machine: Machine) -> bool:
    if not scalars.is_address(host):
        return bool(host)  # a name: the lab has no DNS of its own and takes it that the user's is right
    return host in addresses(machine)


def _discovers(config: MachineConfig, other: MachineConfig) -> bool:
    return other.discovery and (config.cluster_id, config.cluster_secret) == (other.cluster_id, other.cluster_secret)


def trustd_for(machine: Machine) -> Machine | None:
    """The control plane that signs the worker's certificate.

    Real Talos answers as soon as trustd runs and is found, which may be before bootstrap or, with a virtual IP as endpoint, only
    after it. The lab always takes the later: a client that waits for workers before bootstrap must not get by.
    """
    return next((o for o in peers(machine, with_etcd=True) if etcd_healthy(o) and _finds(machine, o)), None)


def kube_api_for(machine: Machine) -> Machine | None:
    """The control plane at the endpoint, as the kubelet reaches it."""
    host = machine.running_config.endpoint_host
    around = (machine, *peers(machine, with_etcd=True))
    return next((o for o in around if o.etcd_running and _is_address_of(host, o)), None)


# --- etcd -----------------------------------------------------------------------------------------------------------


def etcd_data(machine: Machine) -> EtcdData | None:
    return machine.system.etcd if machine.system is not None else None


def member_id(machine: Machine) -> int:
    data = etcd_data(machine)
    return data.member_id if data is not None else 0


def etcd_healthy(machine: Machine) -> bool:
    service = machine.guest.services.get("etcd") if machine.guest is not None else None
    return machine.etcd_running and service is not None and service.healthy


def cluster_of(machine: Machine) -> KubeCluster | None:
    data = etcd_data(machine)
    return machine.kernel.state.clusters.get(data.cluster_id) if data is not None else None


def running_members(environment: Environment, cluster: KubeCluster) -> list[Machine]:
    return [
        machine
        for machine in environment.machines.values()
        if machine.etcd_running and (data := etcd_data(machine)) is not None and data.cluster_id == cluster.id
    ]


def has_quorum(environment: Environment, cluster: KubeCluster) -> bool:
    voters = {member.id for member in cluster.roster.values() if not member.learner}
    up = {member_id(machine) for machine in running_members(environment, cluster) if machine.reachable}
    return len(voters & up) > len(voters) // 2


def run_etcd(machine: Machine) -> Steps:
    """Etcd of a control plane: waits in Preparing until it is asked to bootstrap or finds a cluster to join; then runs."""
    kernel = machine.kernel
    machine.service("etcd", "Preparing", "Running pre state")
    joins = False
    while etcd_data(machine) is None and not machine.bootstrap_asked:
        cluster = _to_join(machine)
        if cluster is not None:
            yield times.ETCD_JOIN.draw(kernel)
            if _to_join(machine) is cluster:
                _add_member(machine, cluster, learner=True)
                joins = True
            continue
        yield UntilWoken()
    machine.service("etcd", "Starting", "Starting service")
    yield times.ETCD_START.draw(kernel) + (kernel.injected("etcd-slow", machine.name) or 0)
    if etcd_data(machine) is None:
        _new_cluster(machine)
    _started(machine)
    if joins:
        yield times.ETCD_PROMOTE.draw(kernel)
        promote(machine)


def _to_join(machine: Machine) -> KubeCluster | None:
    """A healthy cluster of the same secrets that this machine finds, and that has no other learner yet (etcd allows one)."""
    if not machine.reachable:
        return None
    for other in peers(machine, with_etcd=True):
        cluster = cluster_of(other)
        if (
            cluster is not None
            and etcd_healthy(other)
            and other.running_config.etcd_ca == machine.running_config.etcd_ca
            and _finds(machine, other)
            and not any(member.learner for member in cluster.roster.values())
        ):
            return cluster
    return None


def _new_cluster(machine: Machine) -> None:
    config, kernel = machine.running_config, machine.kernel
    cluster = KubeCluster(
        id=f"{kernel.random.getrandbits(64):016x}",
        name=config.cluster_name,
        bootstrapped=kernel.now(),
        talos_id=config.cluster_id,
    )
    kernel.state.clusters[cluster.id] = cluster
    _add_member(machine, cluster, learner=False)


def _add_member(machine: Machine, cluster: KubeCluster, *, learner: bool) -> None:
    """The cluster takes it in. A member of the same host name goes first, as in Talos (system/services/etcd.go)."""
    assert machine.system is not None, "etcd data lies on the disk"
    for old in [member for member in cluster.roster.values() if member.hostname == machine.talos.hostname]:
        del cluster.roster[old.id]
        cluster.members = {owner: number for owner, number in cluster.members.items() if number != old.id}
    member = EtcdMember(
        id=machine.kernel.random.getrandbits(63) | 1,
        hostname=machine.talos.hostname,
        address=machine.talos.address,
        learner=learner,
    )
    cluster.roster[member.id] = member
    cluster.members[machine.owner] = member.id
    machine.system.etcd = EtcdData(cluster_id=cluster.id, member_id=member.id, hostname=member.hostname)
    machine.kernel.changed(SYNCED, machine.owner)  # etcd answers no one before that


def _started(machine: Machine) -> None:
    cluster = cluster_of(machine)
    if cluster is None or member_id(machine) not in cluster.roster:
        machine.service("etcd", "Failed", "the member has been permanently removed from the cluster", healthy=False)
        return
    number = member_id(machine)
    cluster.roster[number].address = machine.talos.address
    others = {owner: member for owner, member in cluster.members.items() if member != number}
    cluster.members = others | {machine.owner: number}  # the disk may have come from a VM that is gone
    machine.etcd_running = True
    machine.service("etcd", "Running", "Started task etcd")
    machine.etcd_cause = machine.note("etcd_up", cluster=cluster.id)
    machine.environment.kube.etcd_started(machine.talos, cluster.id)
    changed(machine.environment)


def promote(machine: Machine) -> None:
    """A learner that caught up becomes a voting member."""
    cluster = cluster_of(machine)
    if cluster is not None and machine.etcd_running and member_id(machine) in cluster.roster:
        cluster.roster[member_id(machine)].learner = False
        machine.say("[talos] etcd: promoted from learner")
        changed(machine.environment)


def leave(machine: Machine) -> bool:
    """The member takes itself out. False without quorum, and for the last one, which etcd does not let go."""
    cluster = cluster_of(machine)
    if cluster is None:
        return True
    if not has_quorum(machine.environment, cluster) or len(cluster.roster) < 2:
        return False
    cluster.roster.pop(member_id(machine), None)
    cluster.members.pop(machine.owner, None)
    return True


# --- telling each other ---------------------------------------------------------------------------------------------


def changed(environment: Environment) -> None:
    """A machine came, went, or moved: quorums, kubelets and those who wait for a cluster look again."""
    for machine in list(environment.machines.values()):
        if machine.guest is None or machine.config is None:
            continue
        if machine.etcd_running:
            cluster = cluster_of(machine)
            healthy = cluster is not None and has_quorum(environment, cluster)
            machine.service("etcd", "Running", "Health check successful" if healthy else "no quorum", healthy=healthy)
        report_kubelet(machine)
        machine.wake("apid", "etcd")


def report_kubelet(machine: Machine) -> None:
    """Tells the Kubernetes part of kubelets that reach the API by their endpoint, and of those that no longer do."""
    talos = machine.talos
    kubelet = talos.services.get("kubelet")
    api = kube_api_for(machine) if kubelet is not None and kubelet.state == "Running" and talos.reachable else None
    data = etcd_data(api) if api is not None else None
    if data is not None and not machine.kubelet_in:
        machine.kubelet_in = data.cluster_id
        machine.environment.kube.kubelet_started(talos, data.cluster_id)
    elif data is None and machine.kubelet_in:
        machine.kubelet_in = ""
        machine.environment.kube.kubelet_stopped(talos)
