"""The host's network: adapters, the move of an address to a vEthernet and back with its outage, the link to the outside, ARP.

Binding an adapter to a switch takes its protocols away: the host is off the network for 5 to 15 s, then
`vEthernet (<switch>)` carries the addresses. What can go wrong with that is in `faults.py`, under `switch-`.
"""

from __future__ import annotations

import copy
import ipaddress
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import STANDS_STILL, Failure, NetAdapter, NetworkCategory, VirtualSwitch, Vm

OUTAGE_S = (5.0, 15.0)
"""How long binding or releasing an adapter takes the host off the network."""
REACHABLE_S = 30.0
"""After that long without traffic a row of the neighbour table is stale."""
ROUTER_MAC = "02A1B2C3D4E5"
SWEEP_S = 1.0
"""A sweep of a /24 with all its answers."""
MAX_SWEEP_PREFIX = 22


@dataclass(frozen=True)
class Neighbor:
    """A row of the host's neighbour table."""

    mac: str
    address: str
    state: str
    interface: str
    if_index: int


class Network:
    """Rules of the host's network and of the LAN around it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._outages = 0
        self._powered = True
        self._boots = 0
        """What an earlier boot had begun does not go on in a later one."""

    # -- adapters

    def adapters(self) -> list[NetAdapter]:
        """Physical adapters and vEthernets, as Get-NetAdapter lists them."""
        with self._kernel.lock:
            host = self._kernel.state.host
            return [*host.adapters, *(switch.vethernet for switch in host.switches if switch.vethernet)]

    def by_name(self, name: str) -> NetAdapter | None:
        return next((a for a in self.adapters() if a.name.lower() == name.lower()), None)

    def physical(self, guid: str) -> NetAdapter | None:
        with self._kernel.lock:
            return next((a for a in self._kernel.state.host.adapters if a.guid.lower() == guid.lower()), None)

    def switch_on(self, adapter: NetAdapter) -> VirtualSwitch | None:
        """The External switch that adapter is bound to."""
        with self._kernel.lock:
            switches = self._kernel.state.host.switches
            return next(
                (s for s in switches if s.adapter_guid and s.adapter_guid.lower() == adapter.guid.lower()), None
            )

    def carrier(self, adapter: NetAdapter) -> NetAdapter | None:
        """Who carries the host's addresses of a physical adapter: itself, or the vEthernet of its External switch, if any."""
        switch = self.switch_on(adapter)
        return adapter if switch is None else switch.vethernet

    def has_gateway(self) -> bool:
        """Whether the host has a default route over an adapter that works."""
        with self._kernel.lock:
            return bool(self._routed()) and not self._outages

    def set_category(self, name: str, category: NetworkCategory) -> None:
        """Network profile of an interface: a Public one closes WinRM in the firewall."""
        with self._kernel.lock:
            adapter = self.by_name(name)
            if adapter is not None:
                adapter.category = category
                self._settle()

    def set_dns(self, name: str, servers: list[str]) -> None:
        with self._kernel.lock:
            adapter = self.by_name(name)
            if adapter is not None:
                adapter.dns_servers = list(servers)
                self._kernel.changed("host")

    # -- the link

    def cut(self, seconds: float, failure: Failure = "reset") -> None:
        """The host cannot be reached from outside for a while."""
        with self._kernel.lock:
            self._begin_outage(seconds, failure)
            self._later(seconds, "link back", self._end_outage)

    def _later(self, seconds: float, name: str, act: Callable[[], None]) -> None:
        """Goes on later, unless the host went down in between."""
        boot = self._boots
        self._kernel.after(seconds, name, lambda: act() if boot == self._boots else None)

    def _begin_outage(self, seconds: float, failure: Failure) -> None:
        self._outages += 1
        link = self._kernel.state.lan.link
        link.failure, link.until = failure, max(link.until, self._kernel.now() + seconds)
        self._settle()

    def _end_outage(self) -> None:
        self._outages -= 1
        self._settle()

    def _settle(self) -> None:
        """Works out whether the host is reachable, and at which address, after any change."""
        host, link = self._kernel.state.host, self._kernel.state.lan.link
        open_to_lan = [a for a in self._routed() if a.category != "Public"]
        was, before = link.up, host.address
        link.up = not self._outages and bool(open_to_lan) and self._powered
        if not self._powered or (not self._outages and not open_to_lan):
            link.failure = "silence"  # a firewall drops, and an address that is not there answers nothing
        if open_to_lan:
            host.address = open_to_lan[0].addresses[0].split("/")[0]
        if was != link.up or before != host.address:
            self._kernel.note("link", host.name, up=link.up, failure=link.failure, address=host.address)
            self._kernel.changed("link")
        self._kernel.changed("host")

    def _routed(self) -> list[NetAdapter]:
        """Adapters that work and have a default route."""
        return [a for a in self.adapters() if a.gateway and a.addresses and a.status == "Up"]

    def power(self, *, on: bool) -> None:
        """The host itself goes down or comes up, with its network as Windows finds it then: a switch that was half-made or
        half-removed is gone, who asks for an address gets it, and a known network has its profile again.
        """
        with self._kernel.lock:
            self._powered, self._outages = on, 0
            self._boots += 1
            if on:
                self._recover()
            self._settle()

    def _recover(self) -> None:
        host = self._kernel.state.host
        shared = [s for s in host.switches if s.kind == "External" and s.allow_management_os]
        for switch in shared:
            if switch.vethernet is None:  # half-made or half-removed
                host.switches.remove(switch)
                self._give_back(switch)
            elif switch.adapter_before:
                switch.vethernet.category = switch.adapter_before.category
        for adapter in host.adapters:
            carrier = self.carrier(adapter)
            if carrier is not None and carrier.dhcp and adapter.status == "Up" and "802.11" not in adapter.media:
                self._ask_for_address(carrier)

    def _ask_for_address(self, carrier: NetAdapter) -> None:
        """DHCP: a returning MAC gets the address that it had."""
        lan = self._kernel.state.lan
        address = lan.leases.get(carrier.mac)
        if address is not None and not carrier.addresses:
            carrier.addresses, carrier.gateway = [f"{address}/{lan.subnet.partition('/')[2]}"], lan.gateway
        if address is not None and not carrier.dns_servers:
            carrier.dns_servers = [lan.gateway]

    # -- External switches

    def bind(self, switch: VirtualSwitch, adapter: NetAdapter, done: Callable[[bool], None]) -> None:
        """Binds an adapter to a new External switch; `done` is told under the lock, once the host's network is settled again, whether it is."""
        place, seconds = switch.name, self._begin_switch_outage("switch_bind", switch.name)
        if self._kernel.injected("switch-bind", place) is not None:

            def fail() -> None:
                self._end_outage()
                done(False)

            self._later(seconds / 2, "bind fails", fail)
            return

        def appear() -> None:
            """In one step: the adapter's settings are at every moment with the adapter or with the switch, and survive the power."""
            self._take_settings(switch, adapter)
            self._kernel.changed("switch", switch.id)

        def settle() -> None:
            if switch.allow_management_os:
                switch.vethernet = self._vethernet(switch, adapter)
            self._end_outage()
            self._kernel.note("switch_settled", switch.name)
            self._kernel.changed("switch", switch.id)
            done(True)

        self._later(seconds / 2, "switch appears", appear)
        self._later(seconds, "network settles", settle)

    def _take_settings(self, switch: VirtualSwitch, adapter: NetAdapter) -> None:
        switch.adapter_before, switch.adapter_guid = copy.deepcopy(adapter), adapter.guid
        adapter.addresses, adapter.gateway, adapter.dns_servers = [], "", []
        self._kernel.state.host.switches.append(switch)

    def take_over(self, switch: VirtualSwitch, adapter: NetAdapter) -> None:
        """An External switch that has been there for long: bound, its vEthernet with the adapter's settings."""
        with self._kernel.lock:
            self._take_settings(switch, adapter)
            if switch.allow_management_os:
                switch.vethernet = self._vethernet(switch, adapter)
            self._settle()

    def release(self, switch: VirtualSwitch, done: Callable[[], None]) -> None:
        """Takes an External switch off its adapter, which gets its settings back. `done` as at `bind`."""
        seconds = self._begin_switch_outage("switch_release", switch.name)
        switch.vethernet = None

        def settle() -> None:
            switches = self._kernel.state.host.switches
            switches[:] = [other for other in switches if other.id != switch.id]
            self._give_back(switch)
            self._end_outage()
            self._kernel.note("switch_settled", switch.name)
            self._kernel.changed("switch", switch.id)
            done()

        self._later(seconds, "network settles", settle)

    def _begin_switch_outage(self, kind: str, place: str) -> float:
        said = self._kernel.injected("switch-outage", place)
        seconds = self._kernel.random.uniform(*OUTAGE_S) if said is None else said
        silent = self._kernel.injected("switch-silence", place) is not None
        self._kernel.note(kind, place, seconds=seconds)
        self._begin_outage(seconds, "silence" if silent else "reset")
        return seconds

    def _give_back(self, switch: VirtualSwitch) -> None:
        """The adapter of a switch that is gone gets its settings back."""
        adapter, before = self.physical(switch.adapter_guid), switch.adapter_before
        if adapter is not None and before is not None:
            adapter.addresses, adapter.gateway = list(before.addresses), before.gateway
            adapter.dns_servers, adapter.category = list(before.dns_servers), before.category

    def _vethernet(self, switch: VirtualSwitch, adapter: NetAdapter) -> NetAdapter:
        """`vEthernet (<name>)` with the adapter's MAC and settings, as far as no fault takes them away."""
        assert switch.adapter_before is not None
        place, vethernet = switch.name, copy.deepcopy(switch.adapter_before)
        vethernet.name, vethernet.description = f"vEthernet ({place})", "Hyper-V Virtual Ethernet Adapter"
        vethernet.guid = f"{{{self.new_guid().upper()}}}"
        vethernet.if_index = 1 + max(other.if_index for other in self.adapters())
        vethernet.link_speed = adapter.link_speed
        if self._kernel.injected("switch-offline", place) is not None:
            vethernet.addresses, vethernet.gateway = [], ""
        octet = self._kernel.injected("switch-address", place)
        if octet is not None:
            vethernet.addresses = [_with_last_octet(address, int(octet)) for address in vethernet.addresses]
        if self._kernel.injected("switch-dns", place) is not None:
            vethernet.dns_servers = []
        if self._kernel.injected("switch-public", place) is not None:
            vethernet.category = "Public"
        return vethernet

    def new_guid(self) -> str:
        """A GUID of this repeatable world, lower case."""
        with self._kernel.lock:
            return str(uuid.UUID(int=self._kernel.random.getrandbits(128), version=4))

    # -- the LAN

    def lan_up(self, vm: Vm) -> bool:
        """Whether the VM's first network adapter reaches the LAN: on an External switch whose adapter has link, in its VLAN."""
        with self._kernel.lock:
            nic = vm.nics[0] if vm.nics else None
            switches = self._kernel.state.host.switches
            switch = next((s for s in switches if nic and s.id == nic.switch_id and s.kind == "External"), None)
            adapter = self.physical(switch.adapter_guid) if switch else None
            linked = bool(nic and switch and adapter and adapter.status == "Up" and nic.vlan_id == switch.vlan_id)
            return linked and vm.state not in STANDS_STILL

    # -- the neighbour table

    def heard_from(self, mac: str, address: str) -> None:
        """The host exchanged a packet with a station of the LAN."""
        with self._kernel.lock:
            table = self._kernel.state.host.neighbors
            table[address] = (mac, "Reachable")

            def age() -> None:
                if table.get(address) == (mac, "Reachable"):
                    table[address] = (mac, "Stale")

            self._kernel.after(REACHABLE_S, "neighbour ages", age)

    def neighbors(self) -> list[Neighbor]:
        """The rows, as Get-NetNeighbor shows them for IPv4."""
        with self._kernel.lock:
            carriers = [a for a in self.adapters() if a.addresses]
            rows = []
            for address, (mac, state) in self._kernel.state.host.neighbors.items():
                on = next((a for a in carriers if _within(address, a.addresses)), None)
                if on is not None:
                    rows.append(Neighbor(mac, address, state, on.name, on.if_index))
            return rows

    def sweep(self) -> None:
        """The host touches every address of its own subnets on External switches; what answers is in its table after it.

        Takes its time in the caller's thread; the lock must not be held. Of a subnet above a /22 only the /22 around the host.
        """
        with self._kernel.lock:
            carriers = [
                switch.vethernet
                for switch in self._kernel.state.host.switches
                if switch.kind == "External" and switch.vethernet
            ]
            subnets = [_swept(address) for carrier in carriers for address in carrier.addresses]
        self._kernel.spend(SWEEP_S if subnets else 0.0)
        self.touch(str(address) for subnet in subnets for address in subnet.hosts())

    def touch(self, addresses: Iterable[str]) -> None:
        """A packet to each address: who answers ARP is in the table after it, a row of who does not is Unreachable."""
        with self._kernel.lock:
            if not self.has_gateway():
                return
            own = [address for adapter in self.adapters() for address in adapter.addresses]
            answers = {address: mac for mac, address in self._kernel.guests.stations()}
            table = self._kernel.state.host.neighbors
            for address in addresses:
                if address in answers and _within(address, own):
                    self.heard_from(answers[address], address)
                elif address in table and table[address][0] != ROUTER_MAC:
                    table[address] = (table[address][0], "Unreachable")


def _swept(interface: str) -> ipaddress.IPv4Network:
    network = ipaddress.IPv4Interface(interface).network
    if network.prefixlen >= MAX_SWEEP_PREFIX:
        return network
    return ipaddress.IPv4Network((ipaddress.IPv4Interface(interface).ip, MAX_SWEEP_PREFIX), strict=False)


def _within(address: str, interfaces: list[str]) -> bool:
    wanted = ipaddress.ip_address(address)
    return any(wanted in ipaddress.ip_interface(interface).network for interface in interfaces)


def _with_last_octet(interface: str, octet: int) -> str:
    address, prefix = interface.split("/")
    return f"{address.rsplit('.', 1)[0]}.{octet}/{prefix}"
