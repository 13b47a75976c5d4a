"""Talos machines by address: in maintenance, installed, somebody else's, silent."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from provisioner.errors import NotTrusted, Rejected, TalosRefused, Unreachable
from provisioner.model.facts import EtcdMemberFacts, MachineFacts, ServiceFacts
from provisioner.ports import ApplyOutcome, ByteSink, Machines, TalosAccess
from tests.fakes.configs import OURS
from tests.fakes.script import Scripted

HALT = "talos.platform=metal talos.halt_if_installed"
"""Kernel command line of a machine that booted the ISO."""


@dataclass(kw_only=True)
class Box:
    """One machine. A config that it takes makes it install and come back at once, under the authority of that config."""

    facts: MachineFacts
    authority: str = OURS.cluster_id
    """Whose config it has, once it has one."""
    etcd: str = "Preparing"
    """State of the service etcd; empty where there is none (a worker)."""
    members: tuple[EtcdMemberFacts, ...] | None = None
    """What its etcd says; None while it does not run."""
    config: bytes = b""
    files: dict[str, bytes] = field(default_factory=dict)
    installs: bool = True
    """False: it takes the config and stays in maintenance."""
    warnings: tuple[str, ...] = ()
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def becomes(self, **values: Any) -> None:
        """Its facts change, and who watches it is told."""
        self.facts = replace(self.facts, **values)
        self.changed.set()
        self.changed = asyncio.Event()

    def takes(self, config: bytes) -> None:
        self.config = config
        with contextlib.suppress(ValueError):  # a config of Talos itself
            self.authority = json.loads(config)["cluster"]
        if self.installs:
            self.becomes(mode="secure", stage="running", system_disk="/dev/sda", cmdline="talos.platform=metal")


class FakeMachines(Scripted):
    """`boxes` are the machines of the LAN; where there is none, nothing answers."""

    def __init__(self, *boxes: Box) -> None:
        super().__init__()
        self.boxes = {box.facts.address: box for box in boxes}
        self.settle: Callable[[], None] = lambda: None
        """Called when a machine took its config or was bootstrapped: the cluster that they make is not this fake's business."""

    def named(self, hostname: str) -> Box:
        return next(box for box in self.boxes.values() if box.facts.hostname == hostname)

    def move(self, old: str, new: str) -> None:
        """The router gives a machine another address."""
        box = self.boxes.pop(old)
        box.becomes(address=new)
        self.boxes[new] = box

    async def read(self, address: str, access: TalosAccess | None, *, pin: str = "") -> MachineFacts:
        async with self._asked("read", address=address, access=access, pin=pin):
            return self._reached(address, access, pin).facts

    async def watch(self, address: str, access: TalosAccess | None, *, pin: str = "") -> AsyncIterator[MachineFacts]:
        while True:
            async with self._asked("watch", address=address, access=access, pin=pin):
                box = self._reached(address, access, pin)
            changed = box.changed
            yield box.facts
            await changed.wait()

    async def apply(
        self, address: str, access: TalosAccess | None, config: bytes, *, dry_run: bool, pin: str = ""
    ) -> ApplyOutcome:
        async with self._asked("apply", address=address, access=access, config=config, dry_run=dry_run, pin=pin):
            box = self._reached(address, access, pin)
            if not dry_run:
                box.takes(config)
                self.settle()
            return ApplyOutcome(warnings=box.warnings, mode="REBOOT", details="")

    async def bootstrap(self, address: str, access: TalosAccess) -> None:
        async with self._asked("bootstrap", address=address, access=access):
            box = self._reached(address, access)
            if box.members is not None:
                raise TalosRefused(status="ALREADY_EXISTS", message="etcd data directory is not empty")
            box.etcd = "Running"
            box.members = (EtcdMemberFacts(hostname=box.facts.hostname),)
            self.settle()

    async def etcd_members(self, address: str, access: TalosAccess) -> tuple[EtcdMemberFacts, ...]:
        async with self._asked("etcd_members", address=address, access=access):
            members = self._reached(address, access).members
            if members is None:
                raise TalosRefused(status="UNAVAILABLE", message="etcd is not running")
            return members

    async def services(self, address: str, access: TalosAccess) -> tuple[ServiceFacts, ...]:
        async with self._asked("services", address=address, access=access):
            box = self._reached(address, access)
            up = ("apid", "Running", True), ("kubelet", "Running", True)
            etcd = (("etcd", box.etcd, box.members is not None),) if box.etcd else ()
            return tuple(ServiceFacts(id=name, state=state, healthy=healthy) for name, state, healthy in (*up, *etcd))

    async def read_file(self, address: str, access: TalosAccess, path: str, sink: ByteSink, *, most: int) -> int:
        async with self._asked("read_file", address=address, access=access, path=path, most=most):
            content = self._reached(address, access).files.get(path)
            if content is None:
                raise TalosRefused(status="UNKNOWN", message=f"open {path}: no such file or directory")
            sink.write(content)
            return len(content)

    async def close(self) -> None:
        return None

    def _reached(self, address: str, access: TalosAccess | None, pin: str = "") -> Box:
        box = self.boxes.get(address)
        if box is None:
            raise Unreachable(f"{address}:50000: no route to host")
        if box.facts.mode == "maintenance":
            if access is not None:
                raise NotTrusted("certificate signed by itself")
            if pin and pin != box.facts.fingerprint:
                raise NotTrusted("the server has another key")
        elif access is None:
            raise Rejected("tls: certificate required")
        elif access.ca.decode() != box.authority:
            raise NotTrusted("certificate signed by unknown authority")
        return box


_: type[Machines] = FakeMachines
