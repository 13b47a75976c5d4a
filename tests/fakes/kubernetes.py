"""A cluster's Kubernetes API: nodes, pods, and whether it calls itself ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from provisioner.model.facts import NodeFacts, PodFacts
from provisioner.ports import Kubernetes
from tests.fakes.script import Scripted


class FakeKubernetes(Scripted):
    """Answers every kubeconfig. A watch tells the nodes at once, and again when `show` changed them."""

    def __init__(self, nodes: tuple[NodeFacts, ...] = (), pods: tuple[PodFacts, ...] = ()) -> None:
        super().__init__()
        self.all_nodes = nodes
        self.all_pods = pods
        self.is_ready = True
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

    async def close(self) -> None:
        return None


_: type[Kubernetes] = FakeKubernetes
