"""Cordon and drain by the product's own client, one rule a test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from provisioner.compose import WorldClock
from provisioner.errors import KubeRefused
from provisioner.kubernetes.client import KubeClient
from provisioner.lab.world.kube import pods
from provisioner.ports import Endpoint, LeftReason
from tests.lab.kubernetes.helpers import Client, Served

DNS = {"k8s-app": "kube-dns"}


class AsItIs:
    """The kubeconfig names loopback already."""

    def resolve(self, address: str, port: int) -> Endpoint:
        return Endpoint(host=address, port=port, server_name=address)


class Desk:
    """The client, and one node that it works on: a worker with CoreDNS on it."""

    def __init__(self, served: Served, raw: Client) -> None:
        self.kubeconfig = served.kubeconfig.read_bytes()
        self.machines = served.machines
        self.raw = raw
        with self.machines.kernel.lock:
            self.node = pods.node_of(self.machines.apps("kube-dns")[0])

    def run(self, test: Any) -> None:
        async def bounded() -> None:
            client = KubeClient(AsItIs(), WorldClock(rate=1000.0))
            try:
                async with asyncio.timeout(30):
                    await test(client)
            finally:
                await client.close()

        asyncio.run(bounded())

    def placed(self, app: str) -> set[str]:
        with self.machines.kernel.lock:
            return {pods.node_of(pod) for pod in self.machines.apps(app)}

    def create(self, path: str, body: dict[str, Any]) -> None:
        assert self.raw.ask("POST", path, data=json.dumps(body)).status_code == 201

    def pod(self, name: str, **spec: Any) -> dict[str, Any]:
        containers = [{"name": "a", "image": "a"}]
        return {
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"nodeName": self.node, "containers": containers, **spec},
        }


@pytest.fixture
def desk(served: Served, client: Client) -> Iterator[Desk]:
    made = Desk(served, client)
    yield made
    made.run(lambda kube: kube.uncordon(made.kubeconfig, made.node))
    served.machines.wait(served.machines.healthy)


async def schedulable(kube: KubeClient, desk: Desk) -> bool:
    return next(node.schedulable for node in await kube.nodes(desk.kubeconfig) if node.name == desk.node)


def test_cordon_and_uncordon_may_be_repeated(desk: Desk) -> None:
    async def test(kube: KubeClient) -> None:
        for change, after in ((kube.cordon, False), (kube.cordon, False), (kube.uncordon, True), (kube.uncordon, True)):
            await change(desk.kubeconfig, desk.node)
            assert await schedulable(kube, desk) is after

    desk.run(test)


def test_a_node_that_does_not_exist(desk: Desk) -> None:
    async def test(kube: KubeClient) -> None:
        for method in (kube.cordon, kube.uncordon, partial(kube.drain, within_s=5.0)):
            with pytest.raises(KubeRefused) as caught:
                await method(desk.kubeconfig, "w/9")
            assert caught.value.code == 404

    desk.run(test)


def test_a_drain_moves_what_can_move_and_leaves_daemon_sets(desk: Desk) -> None:
    async def test(kube: KubeClient) -> None:
        for _ in range(2):  # once more has nothing to do
            assert await kube.drain(desk.kubeconfig, desk.node, within_s=300) == ()
            assert not await schedulable(kube, desk)
        assert desk.node not in desk.placed("kube-dns")
        assert desk.node in desk.placed("kube-proxy")

    desk.run(test)


def test_mirror_pods_stay(desk: Desk) -> None:
    async def test(kube: KubeClient) -> None:
        before = [pod.name for pod in await kube.pods(desk.kubeconfig, "kube-system") if pod.node == "cp1"]
        assert await kube.drain(desk.kubeconfig, "cp1", within_s=300) == ()
        after = {pod.name for pod in await kube.pods(desk.kubeconfig, "kube-system") if pod.node == "cp1"}
        assert {name for name in before if name.startswith(("kube-apiserver", "kube-scheduler"))} <= after
        await kube.uncordon(desk.kubeconfig, "cp1")

    desk.run(test)


def test_a_budget_is_respected_until_the_time_is_up(desk: Desk) -> None:
    spec = {"minAvailable": 2, "selector": {"matchLabels": DNS}}
    path = "/apis/policy/v1/namespaces/kube-system/poddisruptionbudgets"
    desk.create(path, {"kind": "PodDisruptionBudget", "metadata": {"name": "dns"}, "spec": spec})

    async def test(kube: KubeClient) -> None:
        left = await kube.drain(desk.kubeconfig, desk.node, within_s=10)
        kept = [pod for pod in left if pod.reason is not LeftReason.TERMINATING]  # of an earlier drain
        assert kept, "one pod of the two, or both where both are on this node"
        assert {(pod.namespace, pod.reason) for pod in kept} == {("kube-system", LeftReason.BUDGET)}
        assert all("disruption budget dns needs 2 healthy pods" in pod.message for pod in kept)
        draining = asyncio.create_task(kube.drain(desk.kubeconfig, desk.node, within_s=3_000))
        await asyncio.sleep(0)
        assert desk.raw.ask("DELETE", f"{path}/dns").status_code == 200
        assert await draining == ()

    desk.run(test)


@pytest.mark.parametrize(
    ("spec", "given", "reason", "consent"),
    [
        ({}, {}, LeftReason.UNMANAGED, {"delete_unmanaged": True}),
        (
            {"volumes": [{"name": "scratch", "emptyDir": {}}]},
            {"delete_unmanaged": True},
            LeftReason.LOCAL_DATA,
            {"delete_unmanaged": True, "delete_local_data": True},
        ),
    ],
    ids=["unmanaged", "local data"],
)
def test_nothing_is_evicted_where_something_would_be_lost(
    desk: Desk, spec: dict[str, Any], given: dict[str, Any], reason: LeftReason, consent: dict[str, Any]
) -> None:
    desk.create("/api/v1/namespaces/default/pods", desk.pod("mine", **spec))

    async def test(kube: KubeClient) -> None:
        (left,) = await kube.drain(desk.kubeconfig, desk.node, within_s=300, **given)
        assert (left.namespace, left.name, left.reason) == ("default", "mine", reason)
        assert desk.node in desk.placed("kube-dns"), "nothing else went either"
        assert await kube.drain(desk.kubeconfig, desk.node, within_s=300, **consent) == ()
        assert [each.name for each in await kube.pods(desk.kubeconfig, "default")] == []

    desk.run(test)


def test_a_pod_that_takes_its_time_is_told_as_that(desk: Desk) -> None:
    async def test(kube: KubeClient) -> None:
        left = await kube.drain(desk.kubeconfig, desk.node, within_s=0)
        assert {pod.reason for pod in left} == {LeftReason.TERMINATING}

    desk.run(test)
