"""The Kubernetes client against a small API of the test's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from provisioner.errors import KubeRefused, Malformed, NotTrusted, Rejected, Unreachable
from provisioner.kubernetes import client as client_module
from provisioner.kubernetes import http
from provisioner.kubernetes.client import KubeClient
from provisioner.kubernetes.facts import node_facts, pod_facts
from provisioner.kubernetes.kubeconfig import read_kubeconfig
from provisioner.kubernetes.reading import parsed
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
        assert first == NodeFacts(name="cp1", ready=True, version="v1.34.1", address="192.0.2.101")
        assert (second.ready, second.reason, second.schedulable) == (False, "cni plugin not initialized", False)
        (found,) = await client.pods(api.kubeconfig(), "kube-system")
        assert (found.name, found.node, found.ready, found.app) == ("coredns-1", "w1", True, "kube-dns")

    run(api, test)


def test_what_has_no_status_yet_is_not_ready() -> None:
    assert node_facts(parsed('{"metadata": {"name": "w1"}}')).reason == "no status yet"
    assert not pod_facts(parsed('{"metadata": {"name": "p"}}')).ready


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
        with pytest.raises(Unreachable, match=r"^connection refused at 192\.0\.2\.5:6443$"):
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
    with pytest.raises(Malformed, match=missing):
        read_kubeconfig(change(api.kubeconfig()))


def test_no_key_is_printed(api: Api) -> None:
    assert "PRIVATE KEY" not in repr(read_kubeconfig(api.kubeconfig()))


# --- whatever the API answers ---


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("<html>", '"<html>" where JSON is due'),
        ("", "nothing where JSON is due"),
        ("[1, 2]", "a list where a JSON object is due"),
        ("null", "nothing where a JSON object is due"),
        ('"x"', '"x" where a JSON object is due'),
        ("[" * 100_000, "where JSON is due"),
        ("{}", "the answer has nothing in items, where a list of objects is due"),
        ('{"items": null}', "nothing in items"),
        ('{"items": {}}', "an object in items"),
        ('{"items": [1]}', "a list in items, where a list of objects is due"),
        ('{"items": [{}]}', "items[0]: metadata has nothing in name, where a text is due"),
        ('{"items": [{"metadata": null}]}', "items[0]: metadata has nothing in name"),
        ('{"items": [{"metadata": {"name": 5}}]}', "items[0]: metadata has the number 5 in name, where a text"),
        ('{"items": [{"metadata": {"name": "a"}, "status": []}]}', "items[0] has a list in status, where an object is due"),
        ('{"items": [{"metadata": {"name": "a"}, "spec": {"unschedulable": "no"}}]}', 'items[0]: spec has "no" in unschedulable'),
        ('{"items": [{"metadata": {"name": "a"}, "status": {"conditions": "x"}}]}', 'status has "x" in conditions'),
        ('{"items": [{"metadata": {"name": "a"}, "status": {"addresses": [{"type": []}]}}]}', "addresses[0] has a list in type"),
        ('{"items": [{"metadata": {"name": "' + "n" * 5_000 + '"}}]}', "where a text of at most 1,024 characters is due"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_list_of_nodes_says_what_came(api: Api, answer: str, words: str) -> None:
    api.answers["/api/v1/nodes"] = lambda _q: (200, answer)

    async def test(client: KubeClient) -> None:
        with pytest.raises(Malformed, match="as Kubernetes") as caught:
            await client.nodes(api.kubeconfig())
        assert words in str(caught.value)
        assert len(str(caught.value)) < 300
        with pytest.raises(Malformed):
            await names(client.watch_nodes(api.kubeconfig()))

    run(api, test)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"object": {}}\n', Malformed),
        (b'{"type": "ADDED"}\n', Malformed),
        (b'{"type": "ADDED", "object": null}\n', Malformed),
        (b'{"type": "ADDED", "object": {"metadata": []}}\n', Malformed),
        (b'{"type": 5, "object": {}}\n', Malformed),
        (b'{"type": "EXPLODED", "object": {"metadata": {"name": "a"}}}\n', Malformed),
        (b'{"type": "ERROR", "object": {"code": "x"}}\n', Malformed),
        (b'{"type": "ERROR"}\n', KubeRefused),
        (b'{"type": "ERROR", "object": {"code": 500, "reason": "InternalError"}}\n', KubeRefused),
        (b"<html>\n", Malformed),
        (b"null\n", Malformed),
        (b"[" * 100_000 + b"\n", Malformed),
        (b"x" * 2**23, Malformed),
    ],
    ids=["no type", "no object", "null", "metadata", "number", "unknown", "code", "error", "500", "html", "nothing", "deep", "long"],
)  # fmt: skip
def test_a_watch_with_nonsense_in_it_ends_by_an_error_of_ours(api: Api, line: bytes, kind: type[Exception]) -> None:
    api.answers["/api/v1/nodes"] = lambda query: iter([line]) if "watch" in query else (200, listed())

    async def test(client: KubeClient) -> None:
        with pytest.raises(kind):
            await names(client.watch_nodes(api.kubeconfig()))

    run(api, test)


def test_an_answer_without_an_end_costs_no_more_than_its_bound(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_BYTES", 2**20)
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            sent.append(2**16)
            yield b"[" * 2**16

    api.answers["/api/v1/nodes"] = lambda _q: endless()

    async def test(client: KubeClient) -> None:
        with pytest.raises(Malformed, match="more than 1 MiB"):
            await client.nodes(api.kubeconfig())
        assert sum(sent) < 16 * 2**20  # what the system's buffers hold is more than what we take

    run(api, test)


def test_an_answer_that_comes_byte_by_byte_is_cut(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CALL_S", 0.3)
    ended = threading.Event()

    def drip() -> Iterator[bytes]:
        try:
            while not ended.wait(0.01):
                yield b" "
        finally:
            ended.set()

    api.answers["/api/v1/nodes"] = lambda _q: drip()

    async def test(client: KubeClient) -> None:
        with pytest.raises(Unreachable, match=r"no whole answer within 0\.3 s"):
            await client.nodes(api.kubeconfig())
        assert await asyncio.to_thread(ended.wait, 10), "the server cannot write any more: its connection was cut"

    run(api, test)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(api: Api, status: int) -> None:
    api.answers["/api/v1/nodes"] = lambda _q: (status, {"Location": "/elsewhere"})
    api.answers["/elsewhere"] = lambda _q: (200, listed())

    async def test(client: KubeClient) -> None:
        with pytest.raises(Malformed, match='a redirect to "/elsewhere", which is not followed'):
            await client.nodes(api.kubeconfig())
        assert [path for path, _ in api.asked] == ["/api/v1/nodes"]

    run(api, test)


def test_a_long_reason_is_cut(api: Api) -> None:
    api.answers["/api/v1/nodes"] = lambda _q: (500, {"reason": "InternalError", "message": "m" * 50_000})

    async def test(client: KubeClient) -> None:
        with pytest.raises(KubeRefused) as caught:
            await client.nodes(api.kubeconfig())
        assert len(str(caught.value)) < 3_000
        assert "48,000 characters more" in str(caught.value)

    run(api, test)


@pytest.mark.parametrize(
    ("message", "lacks"),
    [("x reason:NetworkPluginNotReady message:cni plugin not initialized", True), ("disk pressure", False)],
)
def test_a_node_without_cni_says_so(message: str, lacks: bool) -> None:
    conditions = f'[{{"type": "Ready", "status": "False", "message": "{message}"}}]'
    facts = node_facts(parsed(f'{{"metadata": {{"name": "w1"}}, "status": {{"conditions": {conditions}}}}}'))
    assert (facts.ready, facts.lacks_network) == (False, lacks)
