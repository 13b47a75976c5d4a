"""Where is a machine? Asked of the host's neighbour table, with one call that waits there for all machines of the run together.

And is it the one? A config holds every key of the cluster, so it goes out only where three things agree: MAC and BIOS UUID by the
machine's own API, and the host's neighbour table mapping that address to that MAC.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from uuid import UUID

from provisioner.errors import TransportError
from provisioner.model.cluster import MachineSpec
from provisioner.model.facts import MachineFacts, VmFacts
from provisioner.model.naming import bare_mac, spaced_mac
from provisioner.ports import Clock, Host

CALL_S = 120
"""How long one call waits on the host."""

MACS_SHOWN = 4
"""Of another machine; it may name as many as it likes."""

PAUSE_S = 10.0
"""At least this long between two calls: a stale row ends a call at once, and the table needs time to learn."""


@dataclass(kw_only=True)
class AddressDiscovery:
    """The search on one host. Runs a background task while an address is searched."""

    host: Host
    clock: Clock
    learned: asyncio.Event
    coming: set[str] = field(default_factory=set)
    """Bare MACs that the run will want, as far as is known beforehand: the first call asks for all of them."""
    wanted: set[str] = field(default_factory=set)
    """Bare MACs that are looked for now."""
    rows: dict[str, dict[str, None]] = field(default_factory=dict)
    """MAC -> addresses that the host's table maps to it, in the order seen."""
    trouble: str = ""
    """Why the host could not be asked, in its words."""
    trouble_since: float | None = None
    """Since when it cannot be asked, by the clock port."""
    _task: asyncio.Task[None] | None = None
    _call: asyncio.Task[None] | None = None

    def want(self, mac: str) -> None:
        """Begins, or widens, the search."""
        if mac in self.wanted:
            return
        self.wanted |= {mac} | self.coming
        self.coming = set()
        if self._call is not None:
            self._call.cancel()  # the call at work does not know this MAC
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._search(), name=f"find machines on {self.host.name}")

    def enough(self, mac: str) -> None:
        """That machine is found and proven."""
        self.wanted.discard(mac)
        if not self.wanted and self._call is not None:
            self._call.cancel()

    def addresses(self, mac: str) -> tuple[str, ...]:
        """Newest first: after a change of lease the newer row is the better guess."""
        return tuple(reversed(self.rows.get(mac, {})))

    def maps(self, mac: str, address: str) -> bool:
        return address in self.rows.get(mac, {})

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _search(self) -> None:
        await self.clock.sleep(1.0)  # lanes that come in the same second share the first call
        while self.wanted:
            self._call = asyncio.create_task(self._ask(sorted(self.wanted)))
            try:
                await self._call
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    self._call.cancel()
                    raise
                continue  # only the call was cancelled: ask again for the present set
            finally:
                self._call = None
            await self.clock.sleep(PAUSE_S)

    async def _ask(self, macs: list[str]) -> None:
        try:
            async for row in self.host.watch_neighbors(macs, wait_s=CALL_S):
                known = self.rows.setdefault(row.mac, {})
                known.pop(row.address, None)
                known[row.address] = None
                self._answered()
                self.learned.set()
            self._answered()
        except TransportError as error:
            self.trouble = str(error)
            self.trouble_since = self.clock.now() if self.trouble_since is None else self.trouble_since

    def _answered(self) -> None:
        self.trouble, self.trouble_since = "", None


def same_uuid(machine: str, vm: str) -> bool:
    """Talos prints SMBIOS UUIDs of 2.6 and later as Hyper-V's BIOSGUID; older ones with the first three groups byte-swapped."""
    try:
        a, b = UUID(machine), UUID(vm)
    except ValueError:
        return False
    return b in (a, UUID(bytes=a.bytes_le))


def identity_problem(machine: MachineSpec, vm: VmFacts, facts: MachineFacts, finder: AddressDiscovery) -> str:
    """Why the machine that answers is not proven to be this VM; empty when it is."""
    macs = {bare_mac(mac) for mac in facts.macs}
    if machine.mac not in macs:
        shown = [spaced_mac(mac) for mac in sorted(macs)[:MACS_SHOWN]]
        more = f" and {len(macs) - MACS_SHOWN} more" if len(macs) > MACS_SHOWN else ""
        return f"{facts.address} has MAC {', '.join(shown) or 'none'}{more}, not {spaced_mac(machine.mac)}"
    if not same_uuid(facts.uuid, vm.bios_uuid):
        return f"{facts.address} has UUID {facts.uuid or 'none'}, the VM has {vm.bios_uuid}"
    if not finder.maps(machine.mac, facts.address):
        return f"the host's neighbour table does not map {facts.address} to {spaced_mac(machine.mac)}"
    return ""
