"""Step 11: is the cluster healthy? Watches of Talos and of Kubernetes ring the bell; what counts is read at that moment.

The conditions are those of Talos' own health check, from low to high: etcd, machines, nodes, system pods; without what the machine
configs switch off. Source: https://www.talos.dev/v1.11/reference/cli/#talosctl-health
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator
from dataclasses import replace
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
from provisioner.steps.actions import act, keep
from provisioner.steps.blame import check_hosts, unless_host_lost
from provisioner.steps.run_context import Run
from provisioner.steps.vm import find_vm
from provisioner.steps.waiting import Pending, Ready, TimedOut

SILENT_S = 150.0
"""After this long without a word from any machine the host is asked whether it is there at all."""

NODE_READY = "nodeReady"
"""Talos' name of the condition that a machine's node is Ready in Kubernetes."""


def plan(cluster: Cluster, seen: Observed, restarted: Collection[str] = ()) -> Iterator[Action]:
    """`restarted`: machines that the step of the VMs restarts; what was seen of them will not be true any more."""
    unmet = list(unmet_conditions(cluster, seen))
    if not restarted and all(each.by_config for each in unmet):
        nodes = _nodes_words(cluster, seen)
        why = f"{nodes}, etcd {len(seen.etcd or ())} of {len(cluster.control_planes)}"
        yield keep(StepId.HEALTH, cluster.name, why, seen=nodes)
        return
    why = "etcd, machines and nodes registered" if _own_cni(cluster, seen) else f"{len(cluster.machines)} nodes Ready"
    yield act(StepId.HEALTH, cluster.name, Verb.WAIT, why, AwaitHealth())


def unmet_conditions(cluster: Cluster, seen: Observed, pods: tuple[PodFacts, ...] | None = None) -> Iterator[Unmet]:
    """What keeps the cluster from being healthy, lowest layer first. Pure. Without `pods` nothing is said of them."""
    yield from _unmet_etcd(cluster, seen)
    for machine in cluster.machines:
        yield from _unmet_machine(machine, seen)
    if seen.nodes is not None:
        yield from _unmet_nodes(cluster, seen, seen.nodes)
    elif seen.nodes_unread:
        yield Unmet(layer=Layer.NODE, reason=f"nodes not read ({seen.nodes_unread})", unread=True)
    if pods is not None:
        yield from _unmet_static_pods(cluster, seen, pods)
        yield from _unmet_apps(_config(seen, cluster.control_planes[0].name), pods)


def _config(seen: Observed, machine: str) -> EffectiveConfig:
    return seen.configs.get(machine) or EffectiveConfig(hostname=machine, node_name=machine)


def _unmet_etcd(cluster: Cluster, seen: Observed) -> Iterator[Unmet]:
    if seen.etcd is None:
        if seen.etcd_unread:
            yield Unmet(layer=Layer.ETCD, reason=f"etcd not read ({seen.etcd_unread})", unread=True)
        else:
            yield Unmet(layer=Layer.ETCD, reason="etcd does not run: no control plane has its config")
        return
    members = {member.hostname for member in seen.etcd if not member.learner}
    for machine in cluster.control_planes:
        if _config(seen, machine.name).hostname not in members:
            yield Unmet(layer=Layer.ETCD, machine=machine.name, reason="not a member of etcd")


def _unmet_machine(machine: MachineSpec, seen: Observed) -> Iterator[Unmet]:
    name, facts = machine.name, seen.machines.get(machine.name)
    if facts is None:
        stopped = _why_stopped(machine, seen)
        why = stopped or seen.unread.get(name, "does not answer")
        yield Unmet(layer=Layer.MACHINE, machine=name, reason=why, unread=not stopped)
    elif facts.mode != "secure" or facts.stage != "running":
        yield Unmet(layer=Layer.MACHINE, machine=name, reason=f"stage {facts.stage}")
    elif not facts.ready:
        yield from _not_ready(name, facts, _config(seen, name))


def _why_stopped(machine: MachineSpec, seen: Observed) -> str:
    """Why the machine cannot answer; empty where it may, or where its host was not read."""
    state = seen.hosts.get(machine.host)
    if state is None or not state.whole:
        return ""
    vm = find_vm(machine, state, seen.secrets)
    if vm is None:
        return "no VM"
    return "" if vm.state == "Running" else f"the VM is {vm.state}"


def _not_ready(name: str, facts: MachineFacts, config: EffectiveConfig) -> Iterator[Unmet]:
    open_ = [u for u in facts.unmet if u.name != NODE_READY or config.registers_node]
    if open_ or not facts.unmet:
        reasons = ", ".join(f"{u.name}: {u.reason}" for u in open_) or "not ready"
        by_config = config.brings_own_cni and bool(open_) and all(u.name == NODE_READY for u in open_)
        yield Unmet(layer=Layer.MACHINE, machine=name, reason=reasons, by_config=by_config)


def _unmet_nodes(cluster: Cluster, seen: Observed, nodes: tuple[NodeFacts, ...]) -> Iterator[Unmet]:
    by_name = {node.name: node for node in nodes}
    for machine in cluster.machines:
        config = _config(seen, machine.name)
        node = by_name.get(config.node_name)
        if not config.registers_node:
            continue
        if node is None:
            yield Unmet(layer=Layer.NODE, machine=machine.name, reason="not registered")
        elif not node.ready:
            lacks_cni = node.lacks_network and config.brings_own_cni
            reason = node.reason or "not Ready"
            yield Unmet(layer=Layer.NODE, machine=machine.name, reason=reason, by_config=lacks_cni)


def _unmet_static_pods(cluster: Cluster, seen: Observed, pods: tuple[PodFacts, ...]) -> Iterator[Unmet]:
    """Pods that Talos itself puts on control planes, and that the config does not switch off."""
    for component in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        for machine in cluster.control_planes:
            config = _config(seen, machine.name)
            off = {"kube-controller-manager": not config.controller_manager, "kube-scheduler": not config.scheduler}
            if off.get(component) or not config.registers_node:  # a static pod is seen only through its node
                continue
            if not any(p.ready and p.node == config.node_name and p.name.startswith(component) for p in pods):
                yield Unmet(layer=Layer.PODS, machine=machine.name, reason=f"{component} is not ready")


def _unmet_apps(config: EffectiveConfig, pods: tuple[PodFacts, ...]) -> Iterator[Unmet]:
    """Pods of kube-system on all nodes, unless the config switches them off. DNS needs the pod network."""
    for app, wanted in (("kube-proxy", config.proxy), ("kube-dns", config.core_dns)):
        of_app = [pod for pod in pods if pod.app == app]
        ready, dns = sum(pod.ready for pod in of_app), app == "kube-dns"
        words = f"{ready} of {len(of_app)} pods ready" if of_app else "no pods yet"
        if wanted and (ready < len(of_app) or (dns and not of_app)):
            by_config = config.brings_own_cni and dns
            yield Unmet(layer=Layer.PODS, reason=f"{app}: {words}", by_config=by_config)


def _own_cni(cluster: Cluster, seen: Observed) -> bool:
    return any(_config(seen, machine.name).brings_own_cni for machine in cluster.machines)


def lacks_cni(unmet: Collection[Unmet]) -> bool:
    """Whether all that is missing is the CNI that the user installs."""
    return bool(unmet) and all(each.by_config for each in unmet)


def _nodes_words(cluster: Cluster, seen: Observed) -> str:
    """`4 nodes Ready`; nodes of machines that the file does not name are told apart."""
    configs, nodes = [_config(seen, machine.name) for machine in cluster.machines], seen.nodes or ()
    names = {config.node_name for config in configs if config.registers_node}
    ready = sum(node.ready for node in nodes if node.name in names)
    others = sum(node.name not in names for node in nodes)
    more = f", {others} more not in the file" if others else ""
    if ready < len(names) and _own_cni(cluster, seen):
        return f"{len(names)} nodes registered, {ready} Ready: no CNI is installed yet{more}"
    return f"{ready} nodes Ready{more}"


async def apply(action: Action, run: Run) -> str:
    return await until_healthy(action, run)


async def until_healthy(action: Action, run: Run) -> str:
    """The gate that any action may wait at before it touches the next machine: etcd, machines, nodes and system pods are healthy. Gives the
    proof in words. Raises P-KUBE-NOTREADY at the bound of the step of health, P-HOST-LOST, Interrupted.
    """
    watch = _Watch(run)

    def late(late: TimedOut) -> Awaitable[Fault]:
        fault = late.fault(
            "P-KUBE-NOTREADY",
            f"{run.cluster.name} did not become healthy",
            expected="every condition met",
            seen=tuple(str(each) for each in watch.unmet) or (late.reason,),
            next_steps=(f"provision up {run.cluster.name} --wait-scale 2", f"provision status {run.cluster.name}"),
        )
        return unless_host_lost(run, _moved(run) or fault)

    async with watch.watching():
        met = await run.wait(
            action,
            watch.probe,
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
    first, sent = run.cluster.control_planes[0], run.hints.endpoint
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
        self.last_answer = run.ports.clock.now()
        """When any machine answered last."""
        self.nodes: tuple[NodeFacts, ...] | None = None
        self.nodes_unread = "the Kubernetes API was not asked yet"
        self.configs = {machine.name: run.config_of(machine) for machine in run.cluster.machines}
        endpoint = run.endpoint()
        assert endpoint is not None, "health begins after bootstrap, and bootstrap after an address"
        self.kubeconfig = run.ports.configs.kubeconfig(run.cluster, run.bundle, server=endpoint)

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
                    async for facts in self.run.ports.machines.watch(address, self.run.access):
                        self.machines[name] = facts
                        self.last_answer = clock.now()
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
        early = [u for u in unmet_conditions(cluster, self._seen(())) if u.layer is not Layer.ETCD and not u.by_config]
        if early:  # no need to ask for more: these must be met first
            return self._not_yet(early)
        try:
            etcd = await run.ports.machines.etcd_members(run.address_of(cluster.control_planes[0].name), run.access)
            pods = await run.ports.kubernetes.pods(self.kubeconfig, "kube-system")
        except TransportError as error:
            return self._not_yet([Unmet(layer=Layer.ETCD, reason=str(error), unread=True)])
        seen = self._seen(etcd)
        unmet = list(unmet_conditions(cluster, seen, pods))
        if in_our_hands := [each for each in unmet if not each.by_config]:
            return self._not_yet(in_our_hands)
        if lacks_cni(unmet):
            message = "the machine configs leave the CNI to you: install it now, nodes become Ready then"
            run.note("warning", message, step=StepId.HEALTH)
        run.health = _nodes_words(cluster, seen)
        return Ready(None, f"{run.health}, etcd {len(etcd)} of {len(cluster.control_planes)} healthy")

    def _seen(self, etcd: tuple[EtcdMemberFacts, ...]) -> Observed:
        """What is known now. Nothing of the hosts: they were read before the machines were made."""
        return replace(
            self.run.seen,
            hosts={},
            configs=self.configs,
            machines=self.machines,
            unread={name: f"does not answer ({why})" for name, why in self.silent.items()},
            etcd=etcd,
            nodes=self.nodes,
            nodes_unread=self.nodes_unread,
        )

    async def _check_hosts(self) -> None:
        """When no machine at all has answered for long, the host is the first suspect. Raises P-HOST-LOST."""
        clock = self.run.ports.clock
        if clock.now() - self.last_answer < SILENT_S:
            return
        self.last_answer = clock.now()
        await check_hosts(self.run)

    def _not_yet(self, unmet: list[Unmet]) -> Pending:
        self.unmet = unmet
        more = f" (and {len(unmet) - 1} more)" if len(unmet) > 1 else ""
        return Pending(f"{unmet[0]}{more}")
