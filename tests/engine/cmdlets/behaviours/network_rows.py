"""The host's network as rows of CIM: what the cmdlets of `network.py` filter and show.

What Windows has always is here too: the loopback interface and the neighbour rows of multicast groups.
"""

from __future__ import annotations

import copy
import ipaddress
from typing import Any

from provisioner.lab.world.state import NetAdapter
from tests.engine.cmdlets.behaviours import Environment
from tests.engine.cmdlets.call import Object, made

LOOPBACK, LOOPBACK_INDEX = "Loopback Pseudo-Interface 1", 1
MULTICAST, MULTICAST_MAC = "224.0.0.22", "01-00-5E-00-00-16"
ANYWHERE = "0.0.0.0/0"
IPV4, IPV6 = 2, 23


def dashed_mac(bare: str) -> str:
    return "-".join(bare[i : i + 2] for i in range(0, len(bare), 2))


def adapters(around: Environment) -> list[NetAdapter]:
    """Copies, as the host has them at this moment."""
    with around.kernel.lock:
        return copy.deepcopy(around.world.network.adapters())


def is_physical(around: Environment, adapter: NetAdapter) -> bool:
    return around.world.network.physical(adapter.guid) is not None


def with_ip(around: Environment) -> list[NetAdapter]:
    """Adapters that IP is bound to: not those that an External switch has taken."""
    return [adapter for adapter in adapters(around) if around.world.network.switch_on(adapter) is None]


def place(adapter: NetAdapter) -> dict[str, Any]:
    return {"InterfaceAlias": adapter.name, "InterfaceIndex": adapter.if_index, "ifIndex": adapter.if_index}


def adapter_row(around: Environment, adapter: NetAdapter) -> Object:
    physical, up = is_physical(around, adapter), adapter.status == "Up"
    return made(
        "MSFT_NetAdapter",
        {
            **place(adapter),
            "Name": adapter.name,
            "ifAlias": adapter.name,
            "InterfaceDescription": adapter.description,
            "ifDesc": adapter.description,
            "DriverDescription": adapter.description,
            "InterfaceGuid": adapter.guid,
            "DeviceID": adapter.guid,
            "Status": adapter.status,
            "AdminStatus": "Down" if adapter.status == "Disabled" else "Up",
            "MediaConnectionState": "Connected" if up else "Disconnected",
            "MacAddress": dashed_mac(adapter.mac),
            "PermanentAddress": adapter.mac,
            "LinkSpeed": adapter.link_speed,
            "MediaType": adapter.media,
            "PhysicalMediaType": adapter.media if physical else "Unspecified",
            "NdisPhysicalMedium": {"802.3": 14, "Native 802.11": 9}.get(adapter.media, 0) if physical else 0,
            "Virtual": not physical,
            "HardwareInterface": physical,
            "ConnectorPresent": physical,
            "SystemName": around.host.name,
        },
    )


def address_rows(around: Environment) -> list[Object]:
    def row(where: dict[str, Any], interface: str, origin: str) -> Object:
        address, prefix = interface.split("/")
        return made(
            "MSFT_NetIPAddress",
            {
                **where,
                "IPAddress": address,
                "IPv4Address": address,
                "PrefixLength": int(prefix),
                "AddressFamily": "IPv4",
                "PrefixOrigin": origin,
                "SuffixOrigin": origin,
                "AddressState": "Preferred",
            },
        )

    rows = [
        row(place(adapter), address, "Dhcp" if adapter.dhcp else "Manual")
        for adapter in with_ip(around)
        for address in adapter.addresses
    ]
    loopback = {"InterfaceAlias": LOOPBACK, "InterfaceIndex": LOOPBACK_INDEX, "ifIndex": LOOPBACK_INDEX}
    return [*rows, row(loopback, "127.0.0.1/8", "WellKnown")]


def interface_rows(around: Environment) -> list[Object]:
    def row(where: dict[str, Any], *, dhcp: bool, connected: bool) -> Object:
        return made(
            "MSFT_NetIPInterface",
            {
                **where,
                "AddressFamily": "IPv4",
                "Dhcp": "Enabled" if dhcp else "Disabled",
                "ConnectionState": "Connected" if connected else "Disconnected",
                "InterfaceMetric": 25,
                "NlMtu": 1500,
            },
        )

    rows = [row(place(a), dhcp=a.dhcp, connected=a.status == "Up") for a in with_ip(around)]
    loopback = {"InterfaceAlias": LOOPBACK, "InterfaceIndex": LOOPBACK_INDEX, "ifIndex": LOOPBACK_INDEX}
    return [*rows, row(loopback, dhcp=False, connected=True)]


def route_rows(around: Environment) -> list[Object]:
    def row(where: dict[str, Any], prefix: str, next_hop: str) -> Object:
        return made(
            "MSFT_NetRoute",
            {
                **where,
                "DestinationPrefix": prefix,
                "NextHop": next_hop,
                "AddressFamily": "IPv4",
                "RouteMetric": 0 if next_hop != "0.0.0.0" else 256,
                "InterfaceMetric": 25,
            },
        )

    rows = []
    for adapter in with_ip(around):
        if adapter.addresses and adapter.gateway:
            rows.append(row(place(adapter), ANYWHERE, adapter.gateway))
        for address in adapter.addresses:
            network = ipaddress.ip_interface(address).network
            rows += [row(place(adapter), str(network), "0.0.0.0")]
    loopback = {"InterfaceAlias": LOOPBACK, "InterfaceIndex": LOOPBACK_INDEX, "ifIndex": LOOPBACK_INDEX}
    return [*rows, row(loopback, "127.0.0.0/8", "0.0.0.0")]


def neighbor_rows(around: Environment) -> list[Object]:
    rows = [
        made(
            "MSFT_NetNeighbor",
            {
                "IPAddress": neighbor.address,
                "LinkLayerAddress": dashed_mac(neighbor.mac),
                "State": neighbor.state,
                "InterfaceAlias": neighbor.interface,
                "InterfaceIndex": neighbor.if_index,
                "ifIndex": neighbor.if_index,
                "AddressFamily": "IPv4",
            },
        )
        for neighbor in around.world.network.neighbors()
    ]
    group = {"IPAddress": MULTICAST, "LinkLayerAddress": MULTICAST_MAC, "State": "Permanent", "AddressFamily": "IPv4"}
    return [*rows, *(made("MSFT_NetNeighbor", {**group, **place(adapter)}) for adapter in with_ip(around))]


def profile_rows(around: Environment) -> list[Object]:
    """Only what has a network has a profile."""
    return [
        made(
            "MSFT_NetConnectionProfile",
            {
                "Name": "Network",
                "InterfaceAlias": adapter.name,
                "InterfaceIndex": adapter.if_index,
                "NetworkCategory": adapter.category,
                "IPv4Connectivity": "Internet" if adapter.gateway else "LocalNetwork",
                "IPv6Connectivity": "NoTraffic",
            },
        )
        for adapter in with_ip(around)
        if adapter.addresses and adapter.status == "Up"
    ]


def dns_rows(around: Environment) -> list[Object]:
    def row(adapter: NetAdapter, family: int) -> Object:
        where = place(adapter)
        del where["ifIndex"]
        servers = adapter.dns_servers if family == IPV4 else []
        return made("MSFT_DNSClientServerAddress", {**where, "AddressFamily": family, "ServerAddresses": servers})

    return [row(adapter, family) for adapter in with_ip(around) for family in (IPV4, IPV6)]
