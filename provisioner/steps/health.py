"""Step 11: is the cluster healthy? Watches of Talos and of Kubernetes ring the bell; what counts is read at that moment.

The conditions are those of Talos' own health check, from low to high: etcd, machines, nodes, system pods; without what the machine
configs switch off. Source: https://www.talos.dev/v1.11/reference/cli/#talosctl-health
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from provisioner.errors import Fault, TransportError
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.effective import EffectiveConfig
from provisioner.model.endpoint import is_fixed
from provisioner.model.facts import EtcdMemberFacts, MachineFacts, NodeFacts, Observed, PodFacts
from provisioner.model.naming import spaced_mac
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import STEP, StepId
from provisioner.model.unmet import Layer, Unmet
from provisioner.model.work import AwaitHealth
from provisioner.steps.blame import lost_hosts, unless_host_lost
from provisioner.steps.run_context import Run
from provisioner.steps.vm import find_vm
from provisioner.steps.waiting import Pending, Ready, TimedOut

SILENT_S = 150.0
"""After this long without a word from any machine the host is asked whether it is there at all."""

NODE_READY = "nodeReady"
"""Talos' name of the condition that a machine's node is Ready in Kubernetes."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """All that health is judged by. None: not read; the reasons stand beside it."""

    cluster: Cluster
    configs: Mapping[str, EffectiveConfig] = field(default_factory=dict)
    machines: Mapping[str, MachineFacts] = field(default_factory=dict)
    stopped: Mapping[str, str] = field(default_factory=dict)
    """Machines that cannot answer, and why: no VM, a VM that is Off."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Machines that could not be read, and why."""
    etcd: tuple[EtcdMemberFacts, ...] | None = None
    etcd_unread: str = ""
    nodes: tuple[NodeFacts, ...] | None = None
    nodes_unread: str = ""
    pods: tuple[PodFacts, ...] | None = None
    """None leaves pods out."""

    def config(self, machine: str) -> EffectiveConfig:
        return self.configs.get(machine) or EffectiveConfig(hostname=machine, node_name=machine)


def plan(cluster: Cluster, seen: Observed, restarted: Collection[str] = ()) -> Iterator[Action]:
    """`restarted`: machines that the step of the VMs restarts; what was seen of them will not be true any more."""
    picture = picture_of(cluster, seen)
    unmet = list(unmet_conditions(picture))
    if not restarted and all(each.by_config for each in unmet):
        nodes = _nodes_words(picture)
        why = f"{nodes}, etcd {len(seen.etcd or ())} of {len(cluster.control_planes)}"
        yield Action(step=StepId.HEALTH, verb=Verb.KEEP, object=cluster.name, why=why, seen=nodes)
        return
    yield Action(
        step=StepId.HEALTH,
        verb=Verb.WAIT,
        object=cluster.name,
        work=AwaitHealth(),
        why=f"{len(cluster.machines)} nodes Ready" if not _own_cni(picture) else "etcd, machines and nodes registered",
    )


def picture_of(cluster: Cluster, seen: Observed) -> Picture:
    """What was observed, as health is judged by it."""
    stopped: dict[str, str] = {}
    for machine in cluster.machines:
        state = seen.hosts.get(machine.host)
        if state is None or not state.whole:
            continue
        vm = find_vm(machine, state, seen.secrets)
        if vm is None:
            stopped[machine.name] = "no VM"
        elif vm.state != "Running":
            stopped[machine.name] = f"the VM is {vm.state}"
    return Picture(
        cluster=cluster,
        configs=seen.configs,
        machines=seen.machines,
        stopped=stopped,
        unread=seen.unread,
        etcd=seen.etcd,
        etcd_unread=seen.etcd_unread,
        nodes=seen.nodes,
        nodes_unread=seen.nodes_unread,
    )


def unmet_conditions(picture: Picture) -> Iterator[Unmet]:
    """What keeps the cluster from being healthy, lowest layer first. Pure."""
    yield from _unmet_etcd(picture)
    for machine in picture.cluster.machines:
        yield from _unmet_machine(picture, machine)
    if picture.nodes is None:
        if picture.nodes_unread:
            yield Unmet(layer=Layer.NODE, reason=f"nodes not read ({picture.nodes_unread})", unread=True)
    else:
        yield from _unmet_nodes(picture, picture.nodes)
    if picture.pods is not None:
        yield from _unmet_pods(picture, picture.pods)


def _unmet_etcd(picture: Picture) -> Iterator[Unmet]:
    if picture.etcd is None:
        if picture.etcd_unread:
            yield Unmet(layer=Layer.ETCD, reason=f"etcd not read ({picture.etcd_unread})", unread=True)
        else:
            yield Unmet(layer=Layer.ETCD, reason="etcd does not run: no control plane has its config")
        return
    members = {member.hostname for member in picture.etcd if not member.learner}
    for machine in picture.cluster.control_planes:
        if picture.config(machine.name).hostname not in members:
            yield Unmet(layer=Layer.ETCD, machine=machine.name, reason="not a member of etcd")


def _unmet_machine(picture: Picture, machine: MachineSpec) -> Iterator[Unmet]:
    name, facts = machine.name, picture.machines.get(machine.name)
    if facts is None:
        if name in picture.stopped:
            yield Unmet(layer=Layer.MACHINE, machine=name, reason=picture.stopped[name])
        else:
            why = picture.unread.get(name, "does not answer")
            yield Unmet(layer=Layer.MACHINE, machine=name, reason=why, unread=True)
    elif facts.mode != "secure" or facts.stage != "running":
        yield Unmet(layer=Layer.MACHINE, machine=name, reason=f"stage {facts.stage}")
    elif not facts.ready:
        config = picture.config(name)
        open_ = [u for u in facts.unmet if u.name != NODE_READY or config.registers_node]
        reasons = ", ".join(f"{u.name}: {u.reason}" for u in open_) or "not ready"
        if open_ or not facts.unmet:
            by_config = config.brings_own_cni and bool(open_) and all(u.name == NODE_READY for u in open_)
            yield Unmet(layer=Layer.MACHINE, machine=name, reason=reasons, by_config=by_config)


def _unmet_nodes(picture: Picture, nodes: tuple[NodeFacts, ...]) -> Iterator[Unmet]:
    by_name = {node.name: node for node in nodes}
    for machine in picture.cluster.machines:
        config = picture.config(machine.name)
        if not config.registers_node:
            continue
        node = by_name.get(config.node_name)
        if node is None:
            yield Unmet(layer=Layer.NODE, machine=machine.name, reason="not registered")
        elif not node.ready:
            lacks_cni = node.lacks_network and config.brings_own_cni
            reason = node.reason or "not Ready"
            yield Unmet(layer=Layer.NODE, machine=machine.name, reason=reason, by_config=lacks_cni)


_STATIC_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


def _unmet_pods(picture: Picture, pods: tuple[PodFacts, ...]) -> Iterator[Unmet]:
    """Pods in kube-system that Talos itself puts there, and that the config does not switch off."""
    for component in _STATIC_PODS:
        for machine in picture.cluster.control_planes:
            config = picture.config(machine.name)
            off = {"kube-controller-manager": not config.controller_manager, "kube-scheduler": not config.scheduler}
            if off.get(component) or not config.registers_node:  # a static pod is seen only through its node
                continue
            if not any(p.ready and p.node == config.node_name and p.name.startswith(component) for p in pods):
                yield Unmet(layer=Layer.PODS, machine=machine.name, reason=f"{component} is not ready")
    config = picture.config(picture.cluster.control_planes[0].name)
    for app, wanted in (("kube-proxy", config.proxy), ("kube-dns", config.core_dns)):
        of_app = [p for p in pods if p.app == app]
        not_ready = [p for p in of_app if not p.ready]
        if not wanted:
            continue
        if not of_app and app == "kube-dns":
            yield Unmet(layer=Layer.PODS, reason=f"{app}: no pods yet", by_config=config.brings_own_cni)
        elif not_ready:
            ready = len(of_app) - len(not_ready)
            by_config = config.brings_own_cni and app == "kube-dns"  # it needs the pod network
            yield Unmet(layer=Layer.PODS, reason=f"{app}: {ready} of {len(of_app)} pods ready", by_config=by_config)


def _own_cni(picture: Picture) -> bool:
    return any(picture.config(machine.name).brings_own_cni for machine in picture.cluster.machines)


def lacks_cni(unmet: Collection[Unmet]) -> bool:
    """Whether all that is missing is the CNI that the user installs."""
    return bool(unmet) and all(each.by_config for each in unmet)


def _nodes_words(picture: Picture) -> str:
    """`4 nodes Ready`; nodes of machines that the file does not name are told apart."""
    names = {
        picture.config(m.name).node_name for m in picture.cluster.machines if picture.config(m.name).registers_node
    }
    ready = sum(node.ready for node in picture.nodes or () if node.name in names)
    others = [node.name for node in picture.nodes or () if node.name not in names]
    more = f", {len(others)} more not in the file" if others else ""
    if ready < len(names) and _own_cni(picture):
        return f"{len(names)} nodes registered, {ready} Ready: no CNI is installed yet{more}"
    return f"{ready} nodes Ready{more}"


async def apply(_action: Action, run: Run) -> str:
    return await until_healthy(run, step=StepId.HEALTH)


async def until_healthy(run: Run, *, step: StepId) -> str:
    """The gate that any step may wait at before it touches the next machine: etcd, machines, nodes and system pods are healthy. Gives the
    proof in words. Raises P-KUBE-NOTREADY at the bound of the step of health, P-HOST-LOST, Interrupted.
    """
    watch = _Watch(run)

    async def late(late: TimedOut) -> Fault:
        fault = Fault(
            "P-KUBE-NOTREADY",
            f"{run.cluster.name} did not become healthy",
            expected=f"every condition met within {late.bound}",
            seen=tuple(str(each) for each in watch.unmet) or (late.reason,),
            next_steps=(f"provision up {run.cluster.name} --wait-scale 2", f"provision status {run.cluster.name}"),
        )
        return await unless_host_lost(run, _moved(run) or fault)

    async with watch.watching():
        met = await run.wait(
            watch.probe,
            step=step,
            bound_s=STEP[StepId.HEALTH].bound_s,
            what="healthy",
            why="etcd, machines, nodes and system pods",
            every_s=2.0,
            wake=watch.bell,
            late=late,
        )
    return met.seen


def _moved(run: Run) -> Fault | None:
    """The cause, where the first control plane has another address than the one that all configs carry."""
    first, sent = run.cluster.control_planes[0], run.ports.store.read_hints().endpoint
    now = run.endpoint() or ""
    if not sent or sent == now or is_fixed(run.cluster, run.config_of(first)):
        return None
    return Fault(
        "P-CONFIG-ENDPOINT",
        f"{first.name} has another address than the one in the machines' configs",
        expected=f"the Kubernetes API at {sent}",
        seen=(f"{first.name} is at {run.address_of(first.name)}: its lease has changed",),
        next_steps=(
            f"reserve {urlsplit(sent).hostname} for {spaced_mac(first.mac)} on the router, and restart the VM {first.name}",
            "so that it cannot happen again: endpoint:, vip: or address: in the cluster file, from the next rebuild on",
        ),
        machine=first.name,
    )


class _Watch:
    """Holds the newest word of every machine and of the API; reads the rest when the bell rings."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.bell = asyncio.Event()
        self.unmet: list[Unmet] = []
        self.machines: dict[str, MachineFacts] = {}
        self.silent: dict[str, str] = {}
        """Machines that do not answer now, and why."""
        self.heard = run.ports.clock.now()
        """When any machine was heard of last."""
        self.nodes: tuple[NodeFacts, ...] | None = None
        self.nodes_unread = "the Kubernetes API was not asked yet"
        self.configs = {m.name: run.ports.configs.effective(run.cluster, m) for m in run.cluster.machines}
        bundle, self.access = run.keys()
        endpoint = run.endpoint()
        assert endpoint is not None, "health begins after bootstrap, and bootstrap after an address"
        self.kubeconfig = run.ports.configs.kubeconfig(run.cluster, bundle, server=endpoint)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._watch_machine(m.name)) for m in self.run.cluster.machines]
        tasks.append(asyncio.create_task(self._watch_nodes()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_machine(self, name: str) -> None:
        clock = self.run.ports.clock
        while True:
            address = self.run.of(name).address
            if address and self.run.of(name).facts:
                try:
                    async for facts in self.run.ports.machines.watch(address, self.access):
                        self.machines[name] = facts
                        self.heard = clock.now()
                        self.bell.set()
                    self.silent[name] = "its watch ended, asking again"
                except TransportError as error:
                    self.silent[name] = str(error)
            self.machines.pop(name, None)
            await clock.sleep(1.0)

    async def _watch_nodes(self) -> None:
        while True:
            try:
                async for nodes in self.run.ports.kubernetes.watch_nodes(self.kubeconfig):
                    self.nodes = nodes
                    self.bell.set()
            except TransportError as error:
                self.nodes, self.nodes_unread = None, str(error)
            await self.run.ports.clock.sleep(1.0)

    async def probe(self) -> Ready[None] | Pending:
        run, cluster = self.run, self.run.cluster
        await self._check_hosts()
        early = [u for u in unmet_conditions(self._picture(etcd=())) if u.layer is not Layer.ETCD and not u.by_config]
        if early:  # no need to ask for more: these must be met first
            return self._not_yet(early)
        first = cluster.control_planes[0].name
        try:
            etcd = await run.ports.machines.etcd_members(run.address_of(first), self.access)
            pods = await run.ports.kubernetes.pods(self.kubeconfig, "kube-system")
        except TransportError as error:
            return self._not_yet([Unmet(layer=Layer.ETCD, reason=str(error), unread=True)])
        picture = self._picture(etcd=etcd, pods=pods)
        unmet = list(unmet_conditions(picture))
        if any(not each.by_config for each in unmet):
            return self._not_yet([each for each in unmet if not each.by_config])
        if lacks_cni(unmet):
            message = "the machine configs leave the CNI to you: install it now, nodes become Ready then"
            run.note("warning", message, step=StepId.HEALTH)
        run.health = _nodes_words(picture)
        return Ready(None, f"{run.health}, etcd {len(etcd)} of {len(cluster.control_planes)} healthy")

    def _picture(self, *, etcd: tuple[EtcdMemberFacts, ...], pods: tuple[PodFacts, ...] | None = None) -> Picture:
        return Picture(
            cluster=self.run.cluster,
            configs=self.configs,
            machines=self.machines,
            unread={name: f"does not answer ({why})" for name, why in self.silent.items()},
            etcd=etcd,
            nodes=self.nodes,
            nodes_unread=self.nodes_unread,
            pods=pods,
        )

    async def _check_hosts(self) -> None:
        """When no machine at all has been heard of for long, the host is the first suspect. Raises P-HOST-LOST."""
        clock = self.run.ports.clock
        if clock.now() - self.heard < SILENT_S:
            return
        self.heard = clock.now()
        gone = await lost_hosts(self.run)
        if gone is not None:
            raise gone

    def _not_yet(self, unmet: list[Unmet]) -> Pending:
        self.unmet = unmet
        more = f" (and {len(unmet) - 1} more)" if len(unmet) > 1 else ""
        return Pending(f"{unmet[0]}{more}")
