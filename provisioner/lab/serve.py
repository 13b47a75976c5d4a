"""The lab whole: its world, and everything that serves it on loopback, in one process.

World first, then what serves it; the descriptor last, so that a client that finds a descriptor finds a host that answers. Durable state is
written as the world changes; a lab that is killed loses what a host would lose that is switched off.
"""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from provisioner.lab.control import ControlServer
from provisioner.lab.descriptor import (
    DESCRIPTOR,
    LOCK,
    Descriptor,
    make_folder,
    read_password,
    write_descriptor,
    write_password,
)
from provisioner.lab.functions.lab import LabFunctions
from provisioner.lab.kubernetes.servers import KubeServers
from provisioner.lab.machines.servers import MachineServers
from provisioner.lab.private_files import remove_leftovers
from provisioner.lab.winrm.endpoint import WinRmEndpoint
from provisioner.lab.winrm.shells import ShellHost
from provisioner.lab.world import durable
from provisioner.lab.world.build import HOST_NAME, new_world
from provisioner.lab.world.clock import RunningClock
from provisioner.lab.world.faults import FAULTS, clear, inject
from provisioner.lab.world.guests.guests import TalosGuests, add_foreign
from provisioner.lab.world.interfaces import Guests
from provisioner.lab.world.kube.rules import LabKube
from provisioner.lab.world.state import Account
from provisioner.lab.world.world import World

ShellFactory = Callable[[World, Path], ShellHost]
USER = "provision"
LOCK_WAIT_S = 2.0
"""Real seconds for a lab that is ending, or a look at whether it has."""


class Lab:
    """One lab of one folder. `start`, then `wait` until it is asked to stop."""

    def __init__(
        self, folder: Path, *, speed: float, seed: int, twin_mac: str = "", shells: ShellFactory | None = None
    ) -> None:
        """`shells` makes what opens WinRM's shells in place of the lab's own."""
        self.folder = folder
        self._twin_mac = twin_mac
        self._make_shells = shells
        self._seed = seed
        self._stopping = threading.Event()
        self._descriptor_due = threading.Event()
        make_folder(folder)
        self._lock = FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=LOCK_WAIT_S)
        except Timeout:
            raise RuntimeError(f"another lab is at work in {folder}") from None
        remove_leftovers(folder)
        self._clock = RunningClock(speed)
        self.world = self._open_world()
        self.endpoint = self._make_endpoint()
        self._machines = MachineServers(self.world.kernel, self._guests, self.world.routes)
        self._kube_servers = KubeServers(self.world.kernel, self._kube, self.world.routes)
        self._saver = durable.Saver(self.world, folder)

    # -- life

    def start(self) -> None:
        """Raises OSError or RuntimeError when something cannot be served."""
        self._machines.start()
        self._kube_servers.start()
        self.world.start()
        self.endpoint.start()
        self._saver.start()
        self._control = ControlServer(self._answer)
        self.world.kernel.watch(self._watch)
        self._write_descriptor()
        threading.Thread(target=self._keep_descriptor, name="descriptor", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())

    def wait(self) -> None:
        """Until it is told to stop; then everything is ended in order, and the state is written."""
        self._stopping.wait()
        self._descriptor_due.set()
        (self.folder / DESCRIPTOR).unlink(missing_ok=True)
        self._control.close()
        self.endpoint.stop()
        self._kube_servers.stop()
        self._machines.stop()
        self.world.stop()
        self._saver.stop()
        self._lock.release()

    # -- parts

    def _open_world(self) -> World:
        password = read_password(self.folder)
        if password is None:
            password = secrets.token_urlsafe(18)
            write_password(self.folder, password)

        def guests(world: World) -> Guests:
            self._kube = LabKube(world.kernel)
            world.kube = self._kube
            self._guests = TalosGuests(world.kernel, world.hyperv.power, self._kube)
            return self._guests

        accounts = [Account(user=USER, password=password)]
        kept = durable.load(self.folder)
        world = new_world(seed=self._seed, clock=self._clock, guests=guests, accounts=accounts, state=kept)
        if kept is None:
            self._add_third_party_machines(world)
        return world

    def _add_third_party_machines(self, world: World) -> None:
        """Two third-party machines wait for a config in the same LAN; one of them has a MAC address of ours."""
        add_foreign(world.kernel, "neighbour", "0A5EED000001", "5a6b7c8d-0000-4000-8000-000000000001", "192.0.2.60")
        if self._twin_mac:
            add_foreign(world.kernel, "twin", self._twin_mac, "5a6b7c8d-0000-4000-8000-000000000002", "192.0.2.61")

    def _make_endpoint(self) -> WinRmEndpoint:
        return WinRmEndpoint(
            self.world.kernel,
            LabFunctions(self.world),
            self.folder,
            shells=self._make_shells(self.world, self.folder) if self._make_shells else None,
            host_name=HOST_NAME,
            routes=self.world.routes,
        )

    # -- the descriptor

    def _watch(self, topic: str, _key: str) -> None:
        if topic in ("route", "link", "host"):
            self._descriptor_due.set()

    def _keep_descriptor(self) -> None:
        while True:
            self._descriptor_due.wait()
            self._descriptor_due.clear()
            if self._stopping.is_set():
                return
            self._write_descriptor()

    def _write_descriptor(self) -> None:
        with self.world.kernel.lock:
            host, routes = self.world.state.host, self.world.routes.table()
            now, real = self.world.kernel.now(), time.monotonic()
        write_descriptor(
            self.folder,
            Descriptor(
                pid=os.getpid(),
                started=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                rate=self._clock.rate,
                epoch=real,
                epoch_s=now,
                seed=self._seed,
                host=host.name,
                address=host.address,
                user=USER,
                ca=str(self.endpoint.ca_path),
                control_port=self._control.port,
                control_token=self._control.token,
                routes=routes,
            ),
        )

    # -- requests

    def _answer(self, do: str, request: dict[str, Any]) -> dict[str, Any]:
        kernel = self.world.kernel
        if do == "status":
            with kernel.lock:
                vms = list(self.world.state.host.vms.values())
                return {
                    "now_s": kernel.now(),
                    "vms": len(vms),
                    "vm_names": [vm.name for vm in vms],
                    "vms_detail": [
                        {"name": vm.name, "state": vm.state, "mac": vm.nics[0].mac if vm.nics else ""} for vm in vms
                    ],
                    "foreign": [
                        {"name": m.name, "mac": m.mac, "address": m.address, "received": len(m.received)}
                        for m in self.world.state.foreign
                    ],
                }
        if do == "stop":
            self._stopping.set()
            return {}
        if do == "fault":
            return self._fault(request)
        if do == "log":
            with kernel.lock:
                return {"log": [[line.at, line.kind, line.key, line.details] for line in kernel.log]}
        if do == "stats":
            stats = self.endpoint.stats()
            return {"stats": {name: _plain(getattr(stats, name)) for name in stats.__dataclass_fields__}}
        return {"error": f"unknown request {do!r}"}

    def _fault(self, request: dict[str, Any]) -> dict[str, Any]:
        name = str(request.get("name", ""))
        if not name:
            return {"known": [{"name": key, **asdict(row)} for key, row in FAULTS.items()]}
        if name == "clear":
            cleared = asdict(clear(self.world))
            if self.endpoint.own_certificate():
                cleared["undone"] += ("winrm-certificate: the endpoint shows its own certificate again",)
            return {"injected": "nothing", **cleared}
        value = request.get("value")
        place, times = str(request.get("place", "")), int(request.get("times", 1))
        inject(self.world, name, place, times, None if value is None else float(value))
        return {"injected": name}


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "items") else value
