"""All API servers of the LAN: one event loop on a thread of its own, listeners that come and go with control planes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from provisioner.lab.kubernetes import tls
from provisioner.lab.kubernetes.api import KubeApi
from provisioner.lab.kubernetes.handler import ApiHandler, Bell
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.kube import LabKube
from provisioner.lab.world.kube.cluster import ControlPlane, RunningCluster
from provisioner.lab.world.seams import Routes

API_PORT = 6443


@dataclass(frozen=True)
class Wanted:
    """What should listen at an address now."""

    cluster_id: str
    owner: str
    boot_id: str
    reachable: bool


@dataclass
class Listening:
    wanted: Wanted
    runner: web.AppRunner | None = None
    silent: socket.socket | None = None
    """Packets reach nobody: connections are neither refused nor served."""


class KubeServers:
    """Serves the API of every control plane whose API server runs, by `routes`, from `start` to `stop`."""

    def __init__(self, kernel: Kernel, kube: LabKube, routes: Routes) -> None:
        self._kernel = kernel
        self._kube = kube
        self._routes = routes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="kubernetes", daemon=True)
        self._woken = asyncio.Event()
        self._looking = asyncio.Lock()
        self._listening: dict[str, Listening] = {}
        self._bells: dict[str, Bell] = {}
        self._unwatch: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Returns when every API server that is up already listens."""
        self._thread.start()
        with self._kernel.lock:
            self._unwatch = self._kernel.watch(self._changed)
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result(30)

    def stop(self) -> None:
        """All listeners and connections end."""
        with self._kernel.lock:
            self._unwatch()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def settle(self) -> None:
        """Returns when listeners are as the world is now."""
        asyncio.run_coroutine_threadsafe(self._look(), self._loop).result(30)

    # -- on any thread, under the world's lock

    def _changed(self, topic: str, key: str) -> None:
        if topic in ("kube", "guest"):
            self._loop.call_soon_threadsafe(self._mark, topic, key)

    # -- on the loop

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _mark(self, topic: str, key: str) -> None:
        if topic == "kube" and key in self._bells:
            self._bells[key].ring()
        self._woken.set()

    async def _begin(self) -> None:
        self._keeper = asyncio.create_task(self._keep())
        await self._look()

    async def _end(self) -> None:
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
        for address in list(self._listening):
            await self._close(address)
        others = [
            task for task in asyncio.all_tasks() if task is not asyncio.current_task()
        ]  # watches of clients that left
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self._look()

    async def _look(self) -> None:
        async with self._looking:
            with self._kernel.lock:
                wanted = dict(self._wanted())
            for address, listening in list(self._listening.items()):
                if wanted.get(address) != listening.wanted:
                    await self._close(address)
            for address, one in wanted.items():
                if address not in self._listening:
                    await self._open(address, one)

    def _wanted(self) -> list[tuple[str, Wanted]]:
        found = []
        for running in self._kube.clusters():
            for owner, one in running.control_planes.items():
                if not one.api_up or not one.guest.address:
                    continue
                wanted = Wanted(running.cluster.id, owner, one.guest.boot_id, one.guest.reachable)
                found += [(address, wanted) for address in _addresses(running, owner, one)]
        return found

    async def _open(self, address: str, wanted: Wanted) -> None:
        with self._kernel.lock:
            running = self._kube.of(wanted.cluster_id)
            one = running.control_planes.get(wanted.owner) if running else None
            bound = self._routes.listener(address, API_PORT)
        listening = self._listening[address] = Listening(wanted)
        if running is None or one is None:
            bound.close()
            return
        if not wanted.reachable:
            bound.listen()
            listening.silent = bound
        else:
            try:
                context = tls.server_context(one.config, one.guest.address)
            except (ValueError, ssl.SSLError):  # a CA that is none: such an API server does not come up
                bound.close()
                return
            bell = self._bells.setdefault(wanted.cluster_id, Bell())
            api = KubeApi(self._kernel, running, one.config.kubernetes_version)
            handler = ApiHandler(self._kernel, api, bell)
            runner = web.AppRunner(handler.application(), access_log=None, handle_signals=False, shutdown_timeout=0.1)
            await runner.setup()
            await web.SockSite(runner, bound, ssl_context=context).start()
            listening.runner = runner
        with self._kernel.lock:
            self._routes.publish(address, API_PORT, bound.getsockname()[1])

    async def _close(self, address: str) -> None:
        listening = self._listening.pop(address)
        if listening.runner is not None:
            await listening.runner.cleanup()
        if listening.silent is not None:
            listening.silent.close()
        with self._kernel.lock:
            self._routes.withdraw(address, API_PORT)


def _addresses(running: RunningCluster, owner: str, one: ControlPlane) -> list[str]:
    """Its own, and the virtual one that etcd's lowest running member holds."""
    members = running.cluster.members
    leader = min(running.control_planes, key=lambda owner: members.get(owner, 0))
    virtual = one.config.virtual_ip if running.has_quorum and owner == leader else ""
    return [one.guest.address, *([virtual] if virtual else [])]
