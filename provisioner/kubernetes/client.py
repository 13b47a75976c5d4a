"""A cluster's Kubernetes API: the port `Kubernetes`. requests on daemon threads, so leaving never waits for a call that hangs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from provisioner.errors import KubeRefused
from provisioner.kubernetes.facts import node_facts, pod_facts
from provisioner.kubernetes.http import KubeHttp, Watch
from provisioner.kubernetes.kubeconfig import read_kubeconfig
from provisioner.model.facts import NodeFacts, PodFacts
from provisioner.ports import Clock, Dialer, Endpoint

R = TypeVar("R")
GONE = 410
"""The API has forgotten the version that a watch wants to begin at: list again."""
_NODES = "/api/v1/nodes"


class KubeClient:
    """All APIs of a run: one session per kubeconfig and place, kept until `close`."""

    def __init__(self, dialer: Dialer, clock: Clock) -> None:
        self._dialer = dialer
        self._clock = clock
        self._sessions: dict[tuple[bytes, Endpoint], KubeHttp] = {}

    async def ready(self, kubeconfig: bytes) -> bool:
        """False when the API answers that it is not; raises Unreachable when nothing does."""
        api = await self._api(kubeconfig)
        try:
            return (await _on_thread(lambda: api.get("/readyz"))).text == "ok"
        except KubeRefused:
            return False

    async def nodes(self, kubeconfig: bytes) -> tuple[NodeFacts, ...]:
        return tuple(node_facts(node) for node in (await self._list(kubeconfig, _NODES))["items"])

    async def pods(self, kubeconfig: bytes, namespace: str) -> tuple[PodFacts, ...]:
        found = await self._list(kubeconfig, f"/api/v1/namespaces/{namespace}/pods")
        return tuple(pod_facts(pod) for pod in found["items"])

    async def watch_nodes(self, kubeconfig: bytes) -> AsyncIterator[tuple[NodeFacts, ...]]:
        """Ends when the API ends the watch, or by a TransportError."""
        api = await self._api(kubeconfig)
        while True:
            listed = await self._list(kubeconfig, _NODES)
            nodes = {node["metadata"]["name"]: node_facts(node) for node in listed["items"]}
            yield _sorted(nodes)
            version = listed["metadata"]["resourceVersion"]
            try:
                async with _events(lambda: api.watch(_NODES, resourceVersion=version)) as events:  # noqa: B023 - used before it changes
                    async for event in events:
                        if _take(event, nodes):
                            yield _sorted(nodes)
            except KubeRefused as refused:
                if refused.code != GONE:
                    raise
            else:
                return

    async def close(self) -> None:
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.close()

    async def _list(self, kubeconfig: bytes, path: str) -> Any:
        api = await self._api(kubeconfig)
        return await _on_thread(lambda: api.get(path).json())

    async def _api(self, kubeconfig: bytes) -> KubeHttp:
        access = read_kubeconfig(kubeconfig)
        place = self._dialer.resolve(access.host, access.port)
        session = self._sessions.get((kubeconfig, place))
        if session is None:
            session = self._sessions[kubeconfig, place] = await _on_thread(lambda: KubeHttp(access, place))
        return session


def _sorted(nodes: dict[str, NodeFacts]) -> tuple[NodeFacts, ...]:
    return tuple(nodes[name] for name in sorted(nodes))


def _take(event: dict[str, Any], nodes: dict[str, NodeFacts]) -> bool:
    """Whether the event changed a node that we know about. Raises KubeRefused for an ERROR event."""
    kind, subject = event["type"], event["object"]
    if kind == "ERROR":
        raise KubeRefused(
            code=subject.get("code", 0), reason=subject.get("reason", ""), message=subject.get("message", "")
        )
    if kind == "BOOKMARK":  # tells a version alone; we list anew rather than go on from one
        return False
    name = subject["metadata"]["name"]
    before = nodes.get(name)
    if kind == "DELETED":
        nodes.pop(name, None)
    else:
        nodes[name] = node_facts(subject)
    return nodes.get(name) != before


async def _on_thread(work: Callable[[], R]) -> R:
    """The result of blocking work, done on a daemon thread; when the caller is cancelled, the thread is left to itself."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[R] = loop.create_future()

    def tell(set_outcome: Callable[[Any], None], outcome: Any) -> None:
        if not future.done():
            set_outcome(outcome)

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            hand_over = (future.set_exception, error)
        else:
            hand_over = (future.set_result, result)  # type: ignore[assignment]  # either is told the same way
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(tell, *hand_over)

    threading.Thread(target=run, name="kubernetes", daemon=True).start()
    return await future


@contextlib.asynccontextmanager
async def _events(open_watch: Callable[[], Watch]) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """A watch's events, read on a thread of its own and cut when the block is left."""
    watch = await _on_thread(open_watch)
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[dict[str, Any] | BaseException | None] = asyncio.Queue()

    def read() -> None:
        end: BaseException | None = None
        with contextlib.suppress(RuntimeError):  # the loop is gone
            try:
                for event in watch:
                    loop.call_soon_threadsafe(arrived.put_nowait, event)
            except Exception as error:  # noqa: BLE001 - raised where the events are read
                end = error
            loop.call_soon_threadsafe(arrived.put_nowait, end)

    async def events() -> AsyncIterator[dict[str, Any]]:
        while (event := await arrived.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event

    threading.Thread(target=read, name="kubernetes watch", daemon=True).start()
    try:
        yield events()
    finally:
        watch.cut()
