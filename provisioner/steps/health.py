"""Step 11: is the cluster healthy? Watches of Talos and of Kubernetes ring the bell; what counts is read at that moment.

The conditions are those of Talos' own health check, from low to high: etcd, machines, nodes, system pods.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator, Mapping

from provisioner.errors import Fault, TransportError
from provisioner.model.facts import EtcdMemberFacts, MachineFacts, NodeFacts, Observed, PodFacts
from provisioner.model.plan import Action, Verb
from provisioner.model.spec import Cluster
from provisioner.model.steps import StepId
from provisioner.steps.run import Run
from provisioner.steps.waits import Met, NotYet, TimedOut

SYSTEM_PODS = ("kube-proxy", "kube-dns")
"""`k8s-app` labels of what Talos itself puts into kube-system and what every cluster needs."""


def plan(cluster: Cluster, seen: Observed, restarted: Collection[str] = ()) -> Iterator[Action]:
    """`restarted`: machines that the step of the VMs restarts; what was seen of them will not be true any more."""
    unmet = list(unmet_conditions(cluster, seen.machines, seen.etcd, seen.nodes, None))
    if not unmet and not restarted:
        why = f"{len(cluster.machines)} nodes Ready, etcd {len(seen.etcd or ())} of {len(cluster.control_planes)}"
        yield Action(step=StepId.HEALTH, verb=Verb.KEEP, object=cluster.name, why=why)
        return
    yield Action(
        step=StepId.HEALTH,
        verb=Verb.WAIT,
        object=cluster.name,
        kind="wait",
        why=f"{len(cluster.machines)} nodes Ready, at most 10m",
    )


def unmet_conditions(
    cluster: Cluster,
    machines: Mapping[str, MachineFacts],
    etcd: tuple[EtcdMemberFacts, ...] | None,
    nodes: tuple[NodeFacts, ...] | None,
    pods: tuple[PodFacts, ...] | None,
) -> Iterator[str]:
    """What keeps the cluster from being healthy, in words, lowest layer first. `pods=None` leaves pods out. Pure."""
    members = {member.hostname for member in etcd or () if not member.learner}
    missing = [m.name for m in cluster.control_planes if m.name not in members]
    if missing:
        yield f"etcd: {', '.join(missing)} not a member"
    for machine in cluster.machines:
        facts = machines.get(machine.name)
        if facts is None:
            yield f"{machine.name}: does not answer"
        elif facts.mode != "secure" or facts.stage != "running":
            yield f"{machine.name}: stage {facts.stage}"
        elif not facts.ready:
            reasons = ", ".join(f"{u.name}: {u.reason}" for u in facts.unmet) or "not ready"
            yield f"{machine.name}: {reasons}"
    by_name = {node.name: node for node in nodes or ()}
    for machine in cluster.machines:
        node = by_name.get(machine.name)
        if node is None:
            yield f"node {machine.name}: not registered"
        elif not node.ready:
            yield f"node {machine.name}: {node.reason or 'not Ready'}"
    if pods is not None:
        yield from _unmet_pods(cluster, pods)


def _unmet_pods(cluster: Cluster, pods: tuple[PodFacts, ...]) -> Iterator[str]:
    for component in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        for machine in cluster.control_planes:
            if not any(p.ready and p.node == machine.name and p.name.startswith(component) for p in pods):
                yield f"{component} on {machine.name}: not ready"
    for app in SYSTEM_PODS:
        of_app = [p for p in pods if p.app == app]
        not_ready = [p for p in of_app if not p.ready]
        if not of_app and app == "kube-dns":
            yield f"{app}: no pods yet"
        elif not_ready:
            yield f"{app}: {len(of_app) - len(not_ready)} of {len(of_app)} pods ready"


async def apply(_action: Action, run: Run) -> str:
    watch = _Watch(run)
    try:
        async with watch.watching():
            met = await run.wait(
                watch.probe,
                step=StepId.HEALTH,
                what="healthy",
                why="etcd, machines, nodes and system pods",
                every_s=2.0,
                wake=watch.bell,
            )
    except TimedOut as late:
        raise Fault(
            "P-KUBE-NOTREADY",
            f"{run.cluster.name} did not become healthy",
            expected=f"every condition met within {late.bound}",
            seen=tuple(watch.unmet) or (late.reason,),
            then=(f"provision up {run.cluster.name} --wait-scale 2", f"provision status {run.cluster.name}"),
        ) from late
    return met.seen


class _Watch:
    """Holds the newest word of every machine and of the API; reads the rest when the bell rings."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.bell = asyncio.Event()
        self.unmet: list[str] = []
        self.machines: dict[str, MachineFacts] = {}
        self.nodes: tuple[NodeFacts, ...] | None = None
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
            address = self.run.addresses.get(name)
            if address is not None and name in self.run.machines:
                with contextlib.suppress(TransportError):
                    async for facts in self.run.ports.machines.watch(address, self.access):
                        self.machines[name] = facts
                        self.bell.set()
            self.machines.pop(name, None)
            await clock.sleep(1.0)

    async def _watch_nodes(self) -> None:
        while True:
            with contextlib.suppress(TransportError):
                async for nodes in self.run.ports.kubernetes.watch_nodes(self.kubeconfig):
                    self.nodes = nodes
                    self.bell.set()
            await self.run.ports.clock.sleep(1.0)

    async def probe(self) -> Met[None] | NotYet:
        run, cluster = self.run, self.run.cluster
        early = list(unmet_conditions(cluster, self.machines, (), self.nodes, None))
        early = [line for line in early if not line.startswith("etcd:")]
        if early:  # no need to ask for more: these must be met first
            return self._not_yet(early)
        first = cluster.control_planes[0].name
        try:
            etcd = await run.ports.machines.etcd_members(run.addresses[first], self.access)
            pods = await run.ports.kubernetes.pods(self.kubeconfig, "kube-system")
        except TransportError as error:
            return self._not_yet([str(error)])
        unmet = list(unmet_conditions(cluster, self.machines, etcd, self.nodes, pods))
        if unmet:
            return self._not_yet(unmet)
        return Met(
            None, f"{len(self.nodes or ())} nodes Ready, etcd {len(etcd)} of {len(cluster.control_planes)} healthy"
        )

    def _not_yet(self, unmet: list[str]) -> NotYet:
        self.unmet = unmet
        more = f" (and {len(unmet) - 1} more)" if len(unmet) > 1 else ""
        return NotYet(unmet[0] + more)
