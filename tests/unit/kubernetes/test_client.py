"""The Kubernetes client against a small API of the test's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from provisioner.errors import KubeRefused, NotTrusted, Rejected, Unreachable
from provisioner.kubernetes.client import KubeClient
from provisioner.kubernetes.facts import node_facts, pod_facts
from provisioner.kubernetes.kubeconfig import read_kubeconfig
from provisioner.model.facts import NodeFacts
from provisioner.ports import Endpoint
from tests.unit.kubernetes.server import Api, Pki, event, listed, node


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    running = Api(tmp_path)
    yield running
    running.stop()


class Clock:
    rate = 1.0

    def now(self) -> float:
        return 0.0

    def wall(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


class OneWay:
    """The API's address is reached on loopback; its certificate must bear the address."""

    def __init__(self, port: int) -> None:
        self.port = port

    def resolve(self, address: str, port: int) -> Endpoint:
        assert (address, port) == ("192.0.2.5", 6443)
        return Endpoint(host="127.0.0.1", port=self.port, server_name=address)


def run(api: Api, test: Callable[[KubeClient], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        client = KubeClient(OneWay(api.port), Clock())
        async with asyncio.timeout(30):
            try:
                await test(client)
            finally:
                await client.close()

    asyncio.run(bounded())


async def names(watching: AsyncIterator[tuple[NodeFacts, ...]]) -> list[list[str]]:
    return [[each.name + ("" if each.ready else "?") for each in nodes] async for nodes in watching]


def test_ready_is_what_the_api_says_of_itself(api: Api) -> None:
    states = iter([(200, "ok"), (500, "[-]etcd failed"), (403, {"reason": "Forbidden", "message": "no"})])
    api.answers["/readyz"] = lambda _q: next(states)

    async def test(client: KubeClient) -> None:
        assert [await client.ready(api.kubeconfig()) for _ in range(3)] == [True, False, False]

    run(api, test)


def test_nodes_and_pods(api: Api) -> None:
    pod = {
        "metadata": {"name": "coredns-1", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "spec": {"nodeName": "w1"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    api.answers["/api/v1/nodes"] = lambda _q: (200, listed(node("cp1"), node("w1", ready=False, unschedulable=True)))
    api.answers["/api/v1/namespaces/kube-system/pods"] = lambda _q: (200, listed(pod))

    async def test(client: KubeClient) -> None:
        first, second = await client.nodes(api.kubeconfig())
        assert first == NodeFacts(name="cp1", ready=True, version="v1.34.1", address="192.0.2.101", control_plane=True)
        assert (second.ready, second.reason, second.schedulable) == (False, "cni plugin not initialized", False)
        (found,) = await client.pods(api.kubeconfig(), "kube-system")
        assert (found.name, found.node, found.ready, found.app) == ("coredns-1", "w1", True, "kube-dns")

    run(api, test)


def test_what_has_no_status_yet_is_not_ready() -> None:
    assert node_facts({"metadata": {"name": "w1"}}).reason == "no status yet"
    assert not pod_facts({"metadata": {"name": "p"}}).ready


def test_a_watch_begins_with_all_and_goes_on_with_each_change(api: Api) -> None:
    def nodes(query: dict[str, str]) -> Any:
        if "watch" not in query:
            return 200, listed(node("w1", ready=False))
        return iter(
            [
                event("BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
                event("ADDED", node("cp1")),
                event("MODIFIED", node("w1", ready=False, version="10")),  # nothing that we know of changed
                event("MODIFIED", node("w1")),
                event("DELETED", node("w1")),
            ]
        )

    api.answers["/api/v1/nodes"] = nodes

    async def test(client: KubeClient) -> None:
        assert await names(client.watch_nodes(api.kubeconfig())) == [["w1?"], ["cp1", "w1?"], ["cp1", "w1"], ["cp1"]]

    run(api, test)
    _, query = api.asked[1]
    assert query["resourceVersion"] == "7"
    assert query["allowWatchBookmarks"] == "true"
    assert int(query["timeoutSeconds"]) > 0


@pytest.mark.parametrize("how", ["status", "event"])
def test_a_version_that_the_api_forgot_is_listed_anew(api: Api, how: str) -> None:
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    lists = iter([listed(node("a"), version="1"), listed(node("b"), version="2")])

    def nodes(query: dict[str, str]) -> Any:
        if "watch" not in query:
            return 200, next(lists)
        if query["resourceVersion"] == "1":
            return (410, gone) if how == "status" else iter([event("ERROR", gone)])
        return iter([event("ADDED", node("c"))])

    api.answers["/api/v1/nodes"] = nodes

    async def test(client: KubeClient) -> None:
        assert await names(client.watch_nodes(api.kubeconfig())) == [["a"], ["b"], ["b", "c"]]

    run(api, test)


def test_a_watch_that_is_left_is_cut(api: Api) -> None:
    reading, ended = threading.Event(), threading.Event()

    def forever() -> Iterator[bytes]:
        yield event("ADDED", node("cp1"))
        try:
            while not ended.wait(0.01):
                reading.set()
                yield b"\n"
        finally:
            ended.set()

    api.answers["/api/v1/nodes"] = lambda query: forever() if "watch" in query else (200, listed())

    async def test(client: KubeClient) -> None:
        watching = client.watch_nodes(api.kubeconfig())
        assert await anext(watching) == ()
        assert [each.name for each in await anext(watching)] == ["cp1"]
        assert isinstance(watching, AsyncGenerator)
        await watching.aclose()
        assert await asyncio.to_thread(ended.wait, 10), "the server cannot write any more"

    run(api, test)


def test_a_watch_broken_off_in_a_line_is_an_outage(api: Api) -> None:
    api.answers["/api/v1/nodes"] = lambda query: iter([b'{"type": "ADD']) if "watch" in query else (200, listed())

    async def test(client: KubeClient) -> None:
        with pytest.raises(Unreachable):
            await names(client.watch_nodes(api.kubeconfig()))

    run(api, test)


def test_an_error_has_the_apis_own_reason(api: Api) -> None:
    api.answers["/api/v1/nodes"] = lambda _q: (403, {"reason": "Forbidden", "message": "nodes is forbidden"})

    async def test(client: KubeClient) -> None:
        with pytest.raises(KubeRefused) as caught:
            await client.nodes(api.kubeconfig())
        assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
        api.answers["/api/v1/nodes"] = lambda _q: (502, "<html>bad gateway</html>")
        with pytest.raises(KubeRefused, match="502"):
            await client.nodes(api.kubeconfig())

    run(api, test)


def test_whom_we_trust_and_who_trusts_us(api: Api) -> None:
    api.answers["/readyz"] = lambda _q: (200, "ok")

    async def test(client: KubeClient) -> None:
        with pytest.raises(NotTrusted):
            await client.ready(api.kubeconfig(trusts=Pki()))
        with pytest.raises(Rejected, match=r"(?i)alert"):
            await client.ready(api.kubeconfig(signed_by=Pki()))
        assert api.asked == []
        api.answers["/readyz"] = lambda _q: (401, {"reason": "Unauthorized", "message": "Unauthorized"})
        with pytest.raises(Rejected, match="does not know us"):
            await client.ready(api.kubeconfig())

    run(api, test)


def test_the_surroundings_change_nothing(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "empty.pem"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    api.answers["/readyz"] = lambda _q: (200, "ok")

    async def test(client: KubeClient) -> None:
        assert await client.ready(api.kubeconfig())

    run(api, test)


def test_nobody_there(api: Api) -> None:
    api.stop()

    async def test(client: KubeClient) -> None:
        with pytest.raises(Unreachable, match=r"^Connection refused$"):
            await client.ready(api.kubeconfig())

    run(api, test)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (lambda text: text.replace(b"current-context: admin@lab\n", b""), "current-context"),
        (lambda text: text.replace(b"name: lab", b"name: lib"), "cluster lab"),
        (lambda text: text.replace(b"client-key-data", b"exec"), "client-key-data"),
        (lambda text: text.replace(b"https:", b"http:"), "no https address"),
        (lambda _text: b"- a\n", "cannot be read"),
        (lambda _text: b"{", "cannot be read"),
    ],
)
def test_a_file_that_reaches_nothing_says_why(api: Api, change: Callable[[bytes], bytes], missing: str) -> None:
    with pytest.raises(Unreachable, match=missing):
        read_kubeconfig(change(api.kubeconfig()))


def test_no_key_is_printed(api: Api) -> None:
    assert "PRIVATE KEY" not in repr(read_kubeconfig(api.kubeconfig()))
