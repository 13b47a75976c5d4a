"""A machine under power: what runs on it now, what it tells, and the courses of events that are on their way.

The rules of its life stand in the siblings: `boot`, `install`, `services`, `clusters`, `sequences`. They change the machine by the
few verbs of this class, which keep the public `Guest`, the event ring, the log and the world's own log in step.
"""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from provisioner.lab.world.guests import events
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.guests.hardware import Hardware, installed
from provisioner.lab.world.guests.process import Process, Steps
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.kube.rules import LabKube
from provisioner.lab.world.state import Guest, InstalledSystem, Medium, Service, Stage

ISO_ARGUMENTS = (
    "talos.platform=metal console=tty0 init_on_alloc=1 slab_nomerge= pti=on consoleblank=0 "
    "nvme_core.io_timeout=4294967295 printk.devkmsg=on selinux=1"
)
HALT_ARGUMENT = "talos.halt_if_installed=1"


@dataclass
class Environment:
    """What all machines of the LAN share."""

    kernel: Kernel
    kube: LabKube
    machines: dict[str, Machine] = field(default_factory=dict)
    """By owner, only those under power."""


class Machine:
    """All methods are called under the world's lock."""

    def __init__(self, environment: Environment, hardware: Hardware) -> None:
        self.environment = environment
        self.kernel = environment.kernel
        self.hardware = hardware
        self.owner = hardware.owner
        self.name = hardware.name
        self.guest: Guest | None = None
        self.screen: list[str] = []
        """What the firmware, or a system that is not Talos, shows."""
        self.other_system = False
        self.other_address = ""
        self.config: MachineConfig | None = None
        """The config it runs by: that of the disk, unless `try` laid another over it."""
        self.bootstrap_asked = False
        self.etcd_running = False
        self.kubelet_in = ""
        """The cluster whose Kubernetes was told of its kubelet; empty: none."""
        self._seen_of_kube = (False, False, False)
        """Node ready, static pods ready, cordoned."""
        self.last_cause = ""
        self.etcd_cause = ""
        """Line of the world's log that says when its etcd came up: others wait for that."""
        self.ring: deque[events.MachineEvent] = deque(maxlen=events.RING)
        self.log: list[tuple[float, float, str]] = []
        """(second of the world, POSIX date, line) since boot: the kernel's and machined's own words."""
        self._numbers = itertools.count(1)
        self._processes: dict[str, Process] = {}

    # -- courses of events

    def run(self, name: str, steps: Steps) -> None:
        if name in self._processes:
            self._processes[name].cancel()
        self._processes[name] = Process(self.kernel, f"{self.name}: {name}", steps)

    def wake(self, *names: str) -> None:
        for name in names:
            if name in self._processes:
                self._processes[name].wake()

    def stop_all(self) -> None:
        """Whatever ran is gone with the memory: at a power cut, and at each reboot."""
        for process in self._processes.values():
            process.cancel()
        self._processes.clear()
        if self.guest is not None:
            if self.kubelet_in:
                self.environment.kube.kubelet_stopped(self.guest)
            if self.etcd_running:
                self.environment.kube.etcd_stopped(self.guest)
            self.guest.api = "closed"
            self.kernel.state.guests.pop(self.owner, None)
        self.guest = None
        self.config = None
        self.bootstrap_asked = self.etcd_running = False
        self.kubelet_in = ""
        self._seen_of_kube = (False, False, False)
        self.other_system, self.other_address = False, ""
        self.ring.clear()
        self.log.clear()
        self.screen = []
        self.changed()

    # -- what it is

    @property
    def talos(self) -> Guest:
        """The Talos that runs. Only for courses of events that live no longer than it does."""
        assert self.guest is not None, f"no Talos runs on {self.name}"
        return self.guest

    @property
    def system(self) -> InstalledSystem | None:
        return installed(self.hardware)

    @property
    def running_config(self) -> MachineConfig:
        assert self.config is not None, f"{self.name} has no config"
        return self.config

    @property
    def control_plane(self) -> bool:
        return self.config is not None and self.config.control_plane

    @property
    def reachable(self) -> bool:
        return self.guest is not None and self.guest.reachable and bool(self.guest.address)

    def stable_hostname(self) -> str:
        """The name that Talos makes of its identity, as talos-x1y-z2a."""
        number = int.from_bytes(hashlib.sha256(self.hardware.uuid.encode()).digest()[:6], "big")
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"
        letters = "".join(digits[number // 36**i % 36] for i in range(6))
        return f"talos-{letters[:3]}-{letters[3:]}"

    @property
    def cordoned(self) -> bool:
        """Whether its node takes no new pods, as the Kubernetes API has it."""
        cluster = self.kernel.state.clusters.get(self.kubelet_in)
        node = cluster.objects.get(f"nodes/{self.talos.nodename}") if cluster is not None else None
        return node is not None and bool((node.body.get("spec") or {}).get("unschedulable"))

    @property
    def node_id(self) -> str:
        """Talos' identity in the discovery service."""
        return hashlib.sha256(f"identity {self.hardware.uuid}".encode()).hexdigest()[:43]

    # -- what happens to it

    def begin(self, booted_from: Medium, version: str) -> Guest:
        """A kernel starts: everything of the boot before is forgotten."""
        boot_id = str(uuid.UUID(int=self.kernel.random.getrandbits(128), version=4))
        self.guest = Guest(
            owner=self.owner,
            booted_from=booted_from,
            version=version,
            boot_id=boot_id,
            booted=self.kernel.now(),
            mac=self.hardware.mac,
            uuid=self.hardware.uuid,
            cmdline=f"{ISO_ARGUMENTS} {HALT_ARGUMENT}" if booted_from == "iso" else ISO_ARGUMENTS,
            memory_bytes=self.hardware.memory_bytes,
            disk_bytes=next((disk.vhd.size_bytes for disk in self.hardware.disks()), 0),
            reachable=self.hardware.lan_up(),
        )
        self.kernel.state.guests[self.owner] = self.guest
        self.say(f"[talos] Talos {version}, kernel command line: {self.guest.cmdline}")
        return self.guest

    def take_config(self, config: MachineConfig) -> None:
        self.config = config
        self.talos.config = config.data
        talos = self.talos
        talos.hostname, _, talos.domainname = (config.fqdn or self.stable_hostname()).partition(".")
        talos.registers_with_domain = bool(config.get("machine", "kubelet", "registerWithFQDN"))

    def event(self, body: Message, actor: str = "") -> None:
        self.ring.append(events.MachineEvent(next(self._numbers), self.kernel.now(), actor, body))
        self.changed()

    def say(self, line: str) -> None:
        self.log.append((self.kernel.now(), self.kernel.clock.wall().timestamp(), line))

    def stage(self, stage: Stage, actor: str = "") -> None:
        if self.talos.stage != stage:
            self.talos.stage = stage
            self.say(f"[talos] stage: {stage}")
            self.refresh_status(actor, always=True)

    def service(self, name: str, state: str, message: str, *, healthy: bool | None = None) -> None:
        """`healthy` None: no health check has spoken yet."""
        known = self.talos.services.setdefault(name, Service(state="Initialized"))
        word, unknown = bool(healthy), healthy is None
        if (known.state, known.message, known.healthy, known.unknown) == (state, message, word, unknown):
            return
        known.state, known.message, known.healthy, known.unknown = state, message, word, unknown
        known.since = self.kernel.now()
        known.history.append((self.kernel.clock.wall().timestamp(), state, message))
        del known.history[:-64]
        self.say(f"[talos] service {name} {state}: {message}")
        self.event(events.service_state(name, state, message, healthy=word, unknown=unknown))
        self.refresh_status()
        self.wake("boot")

    def required_services(self) -> tuple[str, ...]:
        return ("apid", "machined", "kubelet", *(("etcd", "trustd") if self.control_plane else ()))

    def services_down(self) -> list[str]:
        """Those that must be up and are not, each with what is missing (controllers/runtime/machine_status.go)."""
        found = []
        for name in sorted(self.required_services()):
            service = self.talos.services.get(name)
            if service is None or service.state != "Running":
                found.append(f"{name} is {service.state.lower() if service else 'not started'}")
            elif not service.healthy:
                found.append(f"{name} is not healthy")
        return found

    def refresh_status(self, actor: str = "", *, always: bool = False) -> None:
        """Readiness and the unmet conditions behind it; told when they changed."""
        talos, unmet = self.talos, list(self._unmet()) if self.talos.stage in ("booting", "running") else []
        if always or unmet != talos.unmet or talos.ready != (not unmet):
            talos.unmet, talos.ready = unmet, not unmet
            self.event(events.machine_status(talos.stage, unmet), actor)

    def _unmet(self) -> Iterator[tuple[str, str]]:
        talos, kube = self.talos, self.environment.kube
        if not talos.time_synced:
            yield "time", "time is not in sync"
        if not (talos.address and talos.hostname):
            yield "network", "waiting for an address and a host name"
        if down := self.services_down():
            yield "services", ", ".join(down)
        if talos.stage == "running":
            if self.control_plane and not kube.static_pods_ready(talos):
                yield "staticPods", "static pods are not ready"
            if self.running_config.registers_node and not kube.node_ready(talos):
                yield "nodeReady", f"node {talos.nodename} is not ready"

    def look_at_kube(self) -> None:
        """What Kubernetes says of this node, as the kubelet shows it to Talos."""
        kube = self.environment.kube
        seen = (kube.node_ready(self.talos), kube.static_pods_ready(self.talos), self.cordoned)
        if seen != self._seen_of_kube:
            self._seen_of_kube = seen
            self.refresh_status()
            self.changed()

    def changed(self) -> None:
        self.kernel.changed("guest", self.owner)

    def note(self, kind: str, *causes: str, **details: Any) -> str:
        """A line of the world's own log: this had to wait for `causes`, by default for what was noted last of this machine.

        Each cause is `<kind>/<key>` of an earlier line. Returns the same for this one.
        """
        cause = tuple(c for c in (causes or (self.last_cause,)) if c)
        self.kernel.note(kind, self.owner, cause=cause, machine=self.name, **details)
        self.last_cause = f"{kind}/{self.owner}"
        return self.last_cause

    def note_beside(self, kind: str) -> None:
        """A line about what goes on beside the machine's main course: later lines do not follow from it by default."""
        self.kernel.note(kind, self.owner, cause=(self.last_cause,) if self.last_cause else (), machine=self.name)
