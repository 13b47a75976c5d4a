"""A cluster's Kubernetes API: the port `Kubernetes`. requests on daemon threads, so leaving never waits for a call that hangs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar
from urllib.parse import quote

from provisioner.errors import KubeRefused, Unreachable
from provisioner.kubernetes import evictions
from provisioner.kubernetes.facts import node_facts, pod_facts
from provisioner.kubernetes.http import CALL_S, WATCH_S, WATCH_SLACK_S, KubeHttp, WatchStream, cut_call, leave
from provisioner.kubernetes.kubeconfig import read_kubeconfig
from provisioner.kubernetes.reading import JsonObject, malformed
from provisioner.model.facts import NodeFacts, PodFacts
from provisioner.ports import Clock, Dialer, Endpoint, LeftPod, LeftReason
from provisioner.wire import excerpt

R = TypeVar("R")
GONE = 410
"""The API has forgotten the version that a watch wants to begin at: list again."""
_NODES = "/api/v1/nodes"
OBJECTS = 10_000
"""Of one list. Kubernetes itself is made for five thousand nodes; one namespace of ours has a handful of pods for each."""


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
            return await _call(lambda: api.text("/readyz")) == "ok"
        except KubeRefused:
            return False

    async def nodes(self, kubeconfig: bytes) -> tuple[NodeFacts, ...]:
        listed = await self._list(kubeconfig, _NODES)
        return tuple(node_facts(node) for node in _items(listed))

    async def pods(self, kubeconfig: bytes, namespace: str) -> tuple[PodFacts, ...]:
        found = await self._list(kubeconfig, f"/api/v1/namespaces/{namespace}/pods")
        return tuple(pod_facts(pod) for pod in _items(found))

    async def watch_nodes(self, kubeconfig: bytes) -> AsyncIterator[tuple[NodeFacts, ...]]:
        """Ends when the API ends the watch, or by a TransportError."""
        api = await self._api(kubeconfig)
        while True:
            listed = await self._list(kubeconfig, _NODES)
            nodes = {facts.name: facts for facts in map(node_facts, _items(listed))}
            yield _sorted(nodes)
            version = listed.within("metadata").required("resourceVersion")
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

    async def cordon(self, kubeconfig: bytes, node: str) -> None:
        await self._set_unschedulable(kubeconfig, node, cordoned=True)

    async def uncordon(self, kubeconfig: bytes, node: str) -> None:
        await self._set_unschedulable(kubeconfig, node, cordoned=False)

    async def drain(
        self,
        kubeconfig: bytes,
        node: str,
        *,
        within_s: float,
        delete_local_data: bool = False,
        delete_unmanaged: bool = False,
    ) -> tuple[LeftPod, ...]:
        until = self._clock.now() + within_s
        await self.cordon(kubeconfig, node)
        while True:
            found = await self._list(kubeconfig, "/api/v1/pods", fieldSelector=f"spec.nodeName={node}")
            pods = [pod for pod in map(evictions.node_pod, _items(found)) if not evictions.stays(pod)]
            if lost := evictions.lost(pods, local_data=delete_local_data, unmanaged=delete_unmanaged):
                return lost
            left = [pod for pod in [await self._evict(kubeconfig, pod) for pod in pods] if pod is not None]
            remaining_s = until - self._clock.now()
            if not left or remaining_s <= 0:
                return tuple(left)
            await self._clock.sleep(min(evictions.RETRY_S, remaining_s))

    async def close(self) -> None:
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.close()

    async def _set_unschedulable(self, kubeconfig: bytes, node: str, *, cordoned: bool) -> None:
        api = await self._api(kubeconfig)
        change = {"spec": {"unschedulable": cordoned or None}}  # as the API itself leaves out what is false
        await _call(lambda: api.patch(f"{_NODES}/{quote(node, safe='')}", change))

    async def _evict(self, kubeconfig: bytes, pod: evictions.NodePod) -> LeftPod | None:
        """Asks for the eviction of a pod that is not being deleted already; None when it is gone."""
        if pod.terminating:
            return evictions.left(pod, LeftReason.TERMINATING)
        api = await self._api(kubeconfig)
        path = f"/api/v1/namespaces/{quote(pod.namespace, safe='')}/pods/{quote(pod.name, safe='')}/eviction"
        try:
            await _call(lambda: api.create(path, evictions.eviction(pod)))
        except KubeRefused as refused:
            if refused.code in (evictions.GONE, evictions.CONFLICT):
                return None
            if refused.code != evictions.TOO_MANY:
                raise
            return evictions.left(pod, LeftReason.BUDGET, refused.message)
        return evictions.left(pod, LeftReason.TERMINATING)

    async def _list(self, kubeconfig: bytes, path: str, **query: str) -> JsonObject:
        api = await self._api(kubeconfig)
        return await _call(lambda: api.document(path, **query))

    async def _api(self, kubeconfig: bytes) -> KubeHttp:
        access = read_kubeconfig(kubeconfig)
        place = self._dialer.resolve(access.host, access.port)
        session = self._sessions.get((kubeconfig, place))
        if session is None:
            session = self._sessions[kubeconfig, place] = await _on_thread(lambda: KubeHttp(access, place))
        return session


def _sorted(nodes: dict[str, NodeFacts]) -> tuple[NodeFacts, ...]:
    return tuple(nodes[name] for name in sorted(nodes))


def _items(listed: JsonObject) -> list[JsonObject]:
    """`items` must be there, empty or not: an answer without it is no list."""
    return listed.each("items", required=True, most=OBJECTS)


def _take(event: JsonObject, nodes: dict[str, NodeFacts]) -> bool:
    """Whether the event changed a node that we know about. Raises KubeRefused for an ERROR event, Malformed for one that is none."""
    kind, subject = event.required("type"), event.within("object")
    if kind == "ERROR":
        raise KubeRefused(code=subject.number("code"), reason=subject.text("reason"), message=subject.words("message"))
    if kind == "BOOKMARK":  # tells a version alone; we list again rather than go on from one
        return False
    if kind not in ("ADDED", "MODIFIED", "DELETED"):
        raise malformed(f"an event of type {excerpt(kind)}")
    after = node_facts(subject)
    before = nodes.get(after.name)
    if kind == "DELETED":
        nodes.pop(after.name, None)
    elif before is None and len(nodes) >= OBJECTS:
        raise malformed(f"more than {OBJECTS:,} nodes")
    else:
        nodes[after.name] = after
    return nodes.get(after.name) != before


async def _call(work: Callable[[], R]) -> R:
    """The result of one call, within its bound. Raises TransportErrors."""
    try:
        async with asyncio.timeout(CALL_S):
            return await _on_thread(work)
    except TimeoutError as error:
        raise Unreachable(f"no whole answer within {CALL_S:g} s") from error


async def _on_thread(work: Callable[[], R]) -> R:
    """The result of blocking work, done on a daemon thread; when the caller leaves, its connection is cut, and the thread ends."""
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
        leave(threading.get_ident())
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(tell, *hand_over)

    thread = threading.Thread(target=run, name="kubernetes", daemon=True)
    thread.start()
    try:
        return await future
    finally:
        if not future.done() or future.cancelled():
            cut_call(thread.ident or 0)


@contextlib.asynccontextmanager
async def _events(open_watch: Callable[[], WatchStream]) -> AsyncIterator[AsyncIterator[JsonObject]]:
    """A watch's events, read on a thread of its own and cut when the block is left, or when the API does not end it itself."""
    watch = await _call(open_watch)
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[JsonObject | BaseException | None] = asyncio.Queue()

    def read() -> None:
        end: BaseException | None = None
        with contextlib.suppress(RuntimeError):  # the loop is gone
            try:
                for event in watch:
                    loop.call_soon_threadsafe(arrived.put_nowait, event)
            except Exception as error:  # noqa: BLE001 - raised where the events are read
                end = error
            loop.call_soon_threadsafe(arrived.put_nowait, end)

    async def events() -> AsyncIterator[JsonObject]:
        while (event := await arrived.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event

    threading.Thread(target=read, name="kubernetes watch", daemon=True).start()
    ending = loop.call_later(WATCH_S + WATCH_SLACK_S, watch.cut)
    try:
        yield events()
    finally:
        ending.cancel()
        watch.cut()
