"""A cluster's Kubernetes API: nodes, pods, and whether it calls itself ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from provisioner.errors import KubeRefused
from provisioner.model.facts import NodeFacts, PodFacts
from provisioner.ports import Kubernetes, LeftPod
from tests.fakes.script import Scripted


class FakeKubernetes(Scripted):
    """Answers every kubeconfig. A watch tells the nodes at once, and again when `show` changed them."""

    def __init__(self, nodes: tuple[NodeFacts, ...] = (), pods: tuple[PodFacts, ...] = ()) -> None:
        super().__init__()
        self.all_nodes = nodes
        self.all_pods = pods
        self.is_ready = True
        self.left: tuple[LeftPod, ...] = ()
        """What stays on a node that is drained; all other pods of it go."""
        self._changed = asyncio.Event()

    def show(self, nodes: tuple[NodeFacts, ...]) -> None:
        self.all_nodes = nodes
        self._changed.set()
        self._changed = asyncio.Event()

    async def ready(self, kubeconfig: bytes) -> bool:
        async with self._asked("ready", kubeconfig=kubeconfig):
            return self.is_ready

    async def nodes(self, kubeconfig: bytes) -> tuple[NodeFacts, ...]:
        async with self._asked("nodes", kubeconfig=kubeconfig):
            return self.all_nodes

    async def pods(self, kubeconfig: bytes, namespace: str) -> tuple[PodFacts, ...]:
        async with self._asked("pods", kubeconfig=kubeconfig, namespace=namespace):
            return tuple(pod for pod in self.all_pods if pod.namespace == namespace)

    async def watch_nodes(self, kubeconfig: bytes) -> AsyncIterator[tuple[NodeFacts, ...]]:
        while True:
            changed = self._changed
            async with self._asked("watch_nodes", kubeconfig=kubeconfig):
                nodes = self.all_nodes
            yield nodes
            await changed.wait()

    async def cordon(self, kubeconfig: bytes, node: str) -> None:
        async with self._asked("cordon", kubeconfig=kubeconfig, node=node):
            self._schedule(node, schedulable=False)

    async def uncordon(self, kubeconfig: bytes, node: str) -> None:
        async with self._asked("uncordon", kubeconfig=kubeconfig, node=node):
            self._schedule(node, schedulable=True)

    async def drain(
        self,
        kubeconfig: bytes,
        node: str,
        *,
        within_s: float,
        delete_local_data: bool = False,
        delete_unmanaged: bool = False,
    ) -> tuple[LeftPod, ...]:
        async with self._asked("drain", kubeconfig=kubeconfig, node=node, within_s=within_s):
            self._schedule(node, schedulable=False)
            names = {(pod.namespace, pod.name) for pod in self.left}
            self.all_pods = tuple(p for p in self.all_pods if p.node != node or (p.namespace, p.name) in names)
            return self.left

    def _schedule(self, node: str, *, schedulable: bool) -> None:
        if node not in {each.name for each in self.all_nodes}:
            raise KubeRefused(code=404, reason="NotFound", message=f'nodes "{node}" not found')
        self.show(tuple(replace(n, schedulable=schedulable) if n.name == node else n for n in self.all_nodes))

    async def close(self) -> None:
        return None


_: type[Kubernetes] = FakeKubernetes
