"""What keeps listeners as the world wants them: an event loop on a thread of its own, which looks again after every change."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeVar

from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.routes import LoopbackRoutes

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
BOUND_S = 30
"""Real seconds for one look at everything; a hang is a defect of the lab."""


class Bell:
    """Rung at every change of a machine or a cluster; streams and watches wait on it. Used on one event loop alone."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    def listen(self) -> asyncio.Event:
        """Taken before one looks, so that no change is missed."""
        return self._event


class ListenerSupervisor(ABC):
    """Serves from `start` to `stop`. What listens, and for whom, is the business of those who inherit."""

    topics: ClassVar[frozenset[str]]
    """Changes of the world after which listeners may be others."""

    def __init__(self, kernel: Kernel, routes: LoopbackRoutes, name: str) -> None:
        self._kernel = kernel
        self._routes = routes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._woken = asyncio.Event()
        self._looking = asyncio.Lock()
        self._unwatch: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Returns when everything that is up already listens."""
        self._thread.start()
        with self._kernel.lock:
            self._unwatch = self._kernel.watch(self._changed)
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result(BOUND_S)

    def stop(self) -> None:
        """All listeners and connections end."""
        with self._kernel.lock:
            self._unwatch()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(BOUND_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def settle(self) -> None:
        """Returns when listeners and certificates are as the world is now. Never with the world's lock held."""
        asyncio.run_coroutine_threadsafe(self._settle(), self._loop).result(BOUND_S)

    # -- for those who inherit, on the loop

    async def _open_place(
        self, address: str, port: int, serve: Callable[[socket.socket], Awaitable[T]] | None
    ) -> T | socket.socket:
        """Listens for a place of the LAN. Without `serve` packets reach no one: connections are neither refused nor served."""
        bound = self._routes.listener(address, port)
        loopback_port = bound.getsockname()[1]
        opened: T | socket.socket = bound
        try:
            if serve is None:
                bound.listen()
            else:
                opened = await serve(bound)
        except BaseException:
            bound.close()
            self._routes.withdraw(address, port)
            raise
        self._routes.publish(address, port, loopback_port)
        return opened

    @abstractmethod
    def _heard(self, topic: str, key: str) -> None:
        """A change of one of the topics; a look at what changed follows."""

    @abstractmethod
    async def _look_at_all(self) -> None: ...

    @abstractmethod
    async def _look_at_changed(self) -> None: ...

    @abstractmethod
    async def _close_all(self) -> None: ...

    # -- on any thread, under the world's lock

    def _changed(self, topic: str, key: str) -> None:
        if topic in self.topics:
            self._loop.call_soon_threadsafe(self._mark, topic, key)

    # -- on the loop

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _mark(self, topic: str, key: str) -> None:
        self._heard(topic, key)
        self._woken.set()

    async def _begin(self) -> None:
        self._keeper = asyncio.create_task(self._keep())
        await self._settle()

    async def _settle(self) -> None:
        async with self._looking:
            await self._look_at_all()

    async def _keep(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                async with self._looking:
                    await self._look_at_changed()
            except Exception:  # noqa: BLE001 - one machine's defect must not silence the others; it is logged whole
                _LOG.exception("what listens is not as it should be")

    async def _end(self) -> None:
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
        await self._close_all()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]  # of clients that left
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
