"""All machines' API servers: one event loop on a thread of its own, listeners that come and go as the machines do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass, field

from grpclib.exceptions import GRPCError

from provisioner.lab.listeners import Bell, ListenerSupervisor
from provisioner.lab.machines.calls import Answerer
from provisioner.lab.machines.resources import View
from provisioner.lab.machines.server import ApidServer, MachineServer, MaintenanceServer
from provisioner.lab.world.guests import clusters
from provisioner.lab.world.guests.guests import TalosGuests
from provisioner.lab.world.guests.machine import Machine
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.routes import LoopbackRoutes

API_PORT = 50000


@dataclass(frozen=True)
class Wanted:
    """What should answer for a machine now."""

    boot_id: str
    mode: str
    addresses: tuple[str, ...]
    """Where it listens. The same boot may gain and lose some."""
    reachable: bool


@dataclass
class Running:
    boot_id: str
    mode: str
    server: MachineServer
    silent: bool = False
    listeners: dict[str, asyncio.Server | socket.socket] = field(default_factory=dict)
    """By address. A bare socket: packets reach no one, connections are neither refused nor served."""


class MachineServers(ListenerSupervisor):
    """Serves the API of every machine in the LAN by `routes`, from `start` to `stop`."""

    topics = frozenset({"guest", "vm"})

    def __init__(self, kernel: Kernel, guests: TalosGuests, routes: LoopbackRoutes) -> None:
        super().__init__(kernel, routes, "machines")
        self._guests = guests
        self._dirty: set[str] = set()
        self._running: dict[str, Running] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def _heard(self, topic: str, key: str) -> None:  # noqa: ARG002 - both topics have the owner as key
        self._dirty.add(key)

    async def _look_at_all(self) -> None:
        with self._kernel.lock:
            owners = {machine.owner for machine in self._guests.machines()}
        self._dirty |= owners | self._running.keys()
        await self._look_at_changed()

    async def _look_at_changed(self) -> None:
        owners, self._dirty = self._dirty, set()
        for owner in owners:
            await self._look_at(owner)

    async def _close_all(self) -> None:
        for owner in list(self._running):
            self._close(owner, power_cut=True)
        await asyncio.gather(*self._closing)

    async def _look_at(self, owner: str) -> None:
        with self._kernel.lock:
            machine = self._guests.machine(owner)
            wanted = _wanted(machine) if machine is not None else None
        running = self._running.get(owner)
        if running is not None and (wanted is None or (running.boot_id, running.mode) != (wanted.boot_id, wanted.mode)):
            self._close(owner, power_cut=machine is None)
            running = None
        if wanted is None or machine is None:
            return
        if running is None:
            running = self._running[owner] = self._new(machine, wanted)
        # The machine may go while its certificate is made, and its CA may be none: then nothing listens.
        with contextlib.suppress(GRPCError, ValueError, ssl.SSLError):
            await self._adjust(running, wanted)
        if wanted.reachable:
            running.server.answerer.bell.ring()

    def _new(self, machine: Machine, wanted: Wanted) -> Running:
        answerer = Answerer(self._kernel, machine, wanted.boot_id, Bell(), View(machine))
        server = MaintenanceServer(answerer) if wanted.mode == "maintenance" else ApidServer(answerer, self._find)
        return Running(wanted.boot_id, wanted.mode, server)

    async def _adjust(self, running: Running, wanted: Wanted) -> None:
        """Listeners and certificate as they should be."""
        if running.silent == wanted.reachable:
            running.silent = not wanted.reachable
            running.server.grpc.pause(silent=running.silent)
            for address in list(running.listeners):
                self._close_listener(running, address)
        for address in set(running.listeners) - set(wanted.addresses):
            self._close_listener(running, address)
        for address in wanted.addresses:
            if address not in running.listeners:
                serve = None if running.silent else running.server.listen
                running.listeners[address] = await self._open_place(address, API_PORT, serve)
        running.server.refresh()

    def _close_listener(self, running: Running, address: str) -> None:
        running.listeners.pop(address).close()
        self._routes.withdraw(address, API_PORT)

    def _close(self, owner: str, *, power_cut: bool) -> None:
        running = self._running.pop(owner)
        answerer = running.server.answerer
        answerer.closed = True
        answerer.bell.ring()
        for address in list(running.listeners):
            self._close_listener(running, address)
        if power_cut or running.silent:
            running.server.grpc.abort()
        else:
            task = asyncio.create_task(running.server.grpc.drain())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _find(self, machine: Machine) -> Answerer | None:
        running = self._running.get(machine.owner)
        open_apid = running is not None and running.mode == "apid" and not running.silent
        return running.server.answerer if running is not None and open_apid else None


def _wanted(machine: Machine) -> Wanted | None:
    """Under the world's lock."""
    talos = machine.guest
    if talos is None or talos.api == "closed" or not talos.address:
        return None
    return Wanted(talos.boot_id, talos.api, tuple(clusters.addresses(machine)), talos.reachable)
