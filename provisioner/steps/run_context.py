"""What the steps of one run share: the cluster, the ports, and what has been learned so far."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from provisioner.errors import Fault
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.effective import EffectiveConfig
from provisioner.model.endpoint import endpoint_of
from provisioner.model.events import Note
from provisioner.model.facts import EtcdBegan, ImageFacts, MachineFacts, Observed, VmFacts
from provisioner.model.hints import Hints, MachineHint
from provisioner.model.naming import Mark
from provisioner.model.options import RunOptions
from provisioner.model.plan import Action
from provisioner.model.steps import STEP, StepId
from provisioner.ports import Bundle, Configs, Host, Ports, Store, TalosAccess
from provisioner.steps.discovery import AddressDiscovery
from provisioner.steps.waiting import Probe, Ready, T, TimedOut, Waiter

Keys = tuple[Bundle | None, TalosAccess | None]


@dataclass(kw_only=True)
class MachineRecord:
    """What a run knows of one machine so far; only the machine's own lane writes it."""

    vm: VmFacts | None = None
    address: str = ""
    """Where it was found; empty until then."""
    facts: MachineFacts | None = None
    """Its own word, once it is proven to be the machine."""
    configured: bool = False
    """It took its config in this run: nothing was on its disk before."""
    failed: bool = False
    """Its lane has failed."""


@dataclass(kw_only=True)
class Run:
    """One run at work: what was given, and what its lanes have learned since."""

    cluster: Cluster
    ports: Ports
    seen: Observed
    waiter: Waiter
    options: RunOptions = field(default_factory=RunOptions)
    picture: Callable[[str], Awaitable[str]]
    """Takes a picture of a machine's screen, by name; the file's path, or empty when none could be taken."""

    records: dict[str, MachineRecord] = field(default_factory=dict)
    """By machine; see `of`."""
    images: dict[str, ImageFacts] = field(default_factory=dict)
    """By host."""
    finders: dict[str, AddressDiscovery] = field(default_factory=dict)
    """By host."""
    etcd_runs: bool = False
    """Seen by this run, or started by it: from then on workers' APIs open."""
    health: str = ""
    """How healthy the cluster was found, in words: `4 nodes Ready`."""
    keys: Keys = (None, None)
    learned: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever an address or a machine's facts came in; wakes waits that hang on others."""

    @property
    def stop(self) -> asyncio.Event:
        return self.waiter.stop

    def host_of(self, machine: MachineSpec) -> Host:
        return self.ports.hosts[machine.host]

    def finder_of(self, machine: MachineSpec) -> AddressDiscovery:
        return self.finders[machine.host]

    def mark_of(self, machine: str) -> str:
        return str(Mark(cluster_id=self.ports.store.ensure_cluster_id(), machine=machine))

    def of(self, machine: str) -> MachineRecord:
        """The record of a machine, also of one that the file does not name."""
        return self.records.setdefault(machine, MachineRecord())

    def vm_of(self, machine: str) -> VmFacts:
        """The machine's VM. Raises P-RUN-BUG: a step ran before its time."""
        return _known(self.of(machine).vm, f"{machine} has no VM yet")

    def address_of(self, machine: str) -> str:
        """Where the machine was found. Raises P-RUN-BUG: a step ran before its time."""
        return _known(self.of(machine).address or None, f"{machine} has no address yet")

    def facts_of(self, machine: str) -> MachineFacts:
        """The machine's own word. Raises P-RUN-BUG: a step ran before its time."""
        return _known(self.of(machine).facts, f"{machine} has no facts yet")

    @property
    def bundle(self) -> Bundle:
        """The secrets. Raises P-RUN-BUG while they were not read."""
        return _known(self.keys[0], "the secrets were not read yet")

    @property
    def access(self) -> TalosAccess:
        """An admin certificate made of the secrets. Raises P-RUN-BUG while they were not read."""
        return _known(self.keys[1], "the secrets were not read yet")

    def endpoint(self) -> str | None:
        """URL of the Kubernetes API, once known. See `model.endpoint`."""
        first = self.cluster.control_planes[0]
        return endpoint_of(self.cluster, self.config_of(first), self.of(first.name).address or None)

    def config_of(self, machine: MachineSpec) -> EffectiveConfig:
        """What the machine's config says after all patches."""
        return self.ports.configs.effective(self.cluster, machine)

    def learn(self, machine: str, facts: MachineFacts) -> None:
        """The machine was found, and is proven to be ours."""
        own = self.of(machine)
        own.address, own.facts = facts.address, facts
        self.learned.set()

    def note(self, level: str, message: str, *, step: StepId | None = None, machine: str | None = None) -> None:
        self.waiter.emit(Note(level=level, message=message, step=step, machine=machine))

    async def wait(
        self,
        action: Action,
        probe: Probe[T],
        *,
        what: str,
        why: str,
        bound_s: float | None = None,
        every_s: float = 0.5,
        wake: asyncio.Event | None = None,
        news: Callable[[], str] = str,
        late: Callable[[TimedOut], Fault | Awaitable[Fault]],
    ) -> Ready[T]:
        """A wait of that action, bounded as its step is unless a bound is given; `late` tells what it means when that is reached. See
        `Waiter.until`. Raises that Fault, Interrupted, and what the probe raises.
        """
        try:
            return await self.waiter.until(
                probe,
                step=action.step,
                what=what,
                why=why,
                machine=action.machine or None,
                bound_s=STEP[action.step].bound_s if bound_s is None else bound_s,
                every_s=every_s,
                wake=wake,
                news=news,
            )
        except TimedOut as reached:
            fault = late(reached)
            raise (fault if isinstance(fault, Fault) else await fault) from reached

    # -- hints for the next run, never proof

    def remember_address(self, machine: str, address: str, *, installed: bool) -> None:
        """Where the machine was, and whether Talos is on its disk: the disk of this VM, and of no later one of the same name."""
        hint = MachineHint(address=address, installed=installed, vm=self.vm_of(machine).id)
        self.remember(machines={**self.hints.machines, machine: hint})

    def was_installed(self, machine: str) -> bool:
        """Whether Talos was seen on the disk of the VM that the machine has now."""
        vm = self.of(machine).vm
        return vm is not None and self.hints.of(machine).installed_on(vm.id)

    def remember_bootstrap(self) -> None:
        """Etcd was started, with the VMs that the control planes have now."""
        vms = tuple(vm.id for m in self.cluster.control_planes if (vm := self.of(m.name).vm))
        self.remember(etcd_began=EtcdBegan(vms=vms))

    def forget_bootstrap(self) -> None:
        """Before the first machine is removed: a run that is killed in the middle leaves no hint that is not true any more."""
        if self.hints.etcd_began is not None:
            self.ports.store.write_hints(self.hints.without_cluster())

    @property
    def hints(self) -> Hints:
        """As they are on the disk. `etcd_began` outlives the machines: to be asked only about those that were there then."""
        return self.ports.store.read_hints()

    def remember(self, **changes: Any) -> None:
        """Changes fields of the hints."""
        self.ports.store.write_hints(replace(self.hints, **changes))


def read_keys(store: Store, configs: Configs) -> Keys:
    """The bundle on the disk and an admin certificate made of it, or nothing."""
    text = store.read_secrets()
    if text is None:
        return None, None
    bundle = configs.read_bundle(text)
    return bundle, configs.access(bundle)


def _known(value: T | None, otherwise: str) -> T:
    if value is None:
        raise Fault("P-RUN-BUG", otherwise)
    return value
