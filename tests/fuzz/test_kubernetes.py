"""Whatever the Kubernetes API answers: a value, or one of our errors, and never a long one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from provisioner.kubernetes.client import KubeClient, _items, _take
from provisioner.kubernetes.facts import node_facts, pod_facts
from provisioner.kubernetes.reading import parsed
from provisioner.ports import Endpoint
from tests.fakes.clock import FakeClock
from tests.fuzz.bend import bend_bytes, bend_json, written
from tests.fuzz.budget import dice
from tests.fuzz.ends import end_of, end_of_call
from tests.unit.kubernetes.server import Api, listed, node

POD = {
    "metadata": {"name": "coredns-1", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
    "spec": {"nodeName": "w1"},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}
EVENT = {"type": "ADDED", "object": node("cp1")}
PODS = "/api/v1/namespaces/kube-system/pods"


def test_objects_of_any_form() -> None:
    ends: set[str] = set()
    for name, chance in dice("objects", 1_500):
        nodes = written(bend_json(listed(node("cp1"), node("w1", ready=False)), chance), chance)
        pods = written(bend_json(listed(POD), chance), chance)
        event = written(bend_json(EVENT, chance), chance)
        ends.add(end_of(name, lambda nodes=nodes: [node_facts(each) for each in _items(parsed(nodes))]))  # type: ignore[misc]
        ends.add(end_of(name, lambda pods=pods: [pod_facts(each) for each in _items(parsed(pods))]))  # type: ignore[misc]
        ends.add(end_of(name, lambda event=event: _take(parsed(event), {})))  # type: ignore[misc]
    assert {"value", "Malformed"} <= ends


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    running = Api(tmp_path)
    yield running
    running.stop()


class OneWay:
    def __init__(self, port: int) -> None:
        self.port = port

    def resolve(self, address: str, port: int) -> Endpoint:
        return Endpoint(host="127.0.0.1", port=self.port, server_name=address)


async def seen_by_a_watch(client: KubeClient, kubeconfig: bytes) -> None:
    async for _nodes in client.watch_nodes(kubeconfig):
        pass


def answers(chance: Random) -> Callable[[dict[str, str]], Any]:
    """Any status and body; of a watch any lines."""

    def answer(query: dict[str, str]) -> Any:
        if "watch" in query:
            lines = [json.dumps(bend_json(EVENT, chance)).encode() + b"\n" for _ in range(3)]
            return iter([*lines, bend_bytes(lines[0], chance)])
        body = (
            written(bend_json(listed(node("cp1")), chance), chance)
            if chance.random() < 0.5
            else json.dumps(listed(node("cp1")))
        )
        return chance.choice((200, 200, 200, 204, 400, 401, 410, 500)), body

    return answer


async def test_an_api_that_answers_anything(api: Api) -> None:
    kubeconfig = api.kubeconfig()
    client = KubeClient(OneWay(api.port), FakeClock())
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: client.nodes(kubeconfig),
        lambda: client.pods(kubeconfig, "kube-system"),
        lambda: client.ready(kubeconfig),
        lambda: seen_by_a_watch(client, kubeconfig),
    )
    ends: set[str] = set()
    try:
        for name, chance in dice("api", 40):
            api.answers = dict.fromkeys(("/api/v1/nodes", PODS, "/readyz"), answers(chance))
            ends.add(await end_of_call(name, chance.choice(calls)))
    finally:
        await client.close()
    assert "Malformed" in ends
