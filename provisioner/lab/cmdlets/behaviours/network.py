"""NetAdapter, NetTCPIP, NetConnection and DnsClient, and the pings.

A filter that matches nothing is an error of these cmdlets (facts/hyperv.md, 6), no filter on an empty table is none. What Windows has
always is here too: the loopback interface and the neighbour rows of multicast groups.
"""

from __future__ import annotations

import fnmatch
import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from provisioner.lab.cmdlets.behaviours import Surroundings, behaviour
from provisioner.lab.cmdlets.call import Call, Object, ShellError, made
from provisioner.lab.world.network import ROUTER_MAC
from provisioner.lab.world.state import NetAdapter

LOOPBACK, LOOPBACK_INDEX = "Loopback Pseudo-Interface 1", 1
MULTICAST, MULTICAST_MAC = "224.0.0.22", "01-00-5E-00-00-16"
ANYWHERE = "0.0.0.0/0"
PING_S, TCP_FAILS_S = 1.0, 20.0
"""A ping that nobody answers; Test-NetConnection on a closed port."""
TALOS_PORT = 50000


# -- filters


def _matches(wanted: Any, value: Any) -> bool:
    if isinstance(value, str):
        return fnmatch.fnmatchcase(value.lower(), str(wanted).lower())
    return str(wanted) == str(value)


def _filtered(call: Call, rows: Iterable[Object], parameters: Sequence[str]) -> list[Object]:
    """The rows that all bound filters fit; one non-terminating error if there are filters and no row."""
    rows = list(rows)
    bound = [name for name in parameters if call.get(name) is not None]
    found = [row for row in rows if all(any(_matches(w, row[name]) for w in call.items(name)) for name in bound)]
    if bound and not found:
        suffix = f"_{bound[0]}" if len(bound) == 1 else ""
        text = "No matching objects found by CIM query for the given " + ", ".join(f"-{name}" for name in bound) + "."
        call.error(ShellError(f"CmdletizationQuery_NotFound{suffix}", "ObjectNotFound", text, str(call.get(bound[0]))))
    return found


def _show(call: Call, rows: Iterable[Object], parameters: Sequence[str]) -> None:
    for row in _filtered(call, rows, parameters):
        call.wire.say("out", row)


def _require_administrator(call: Call, target: str) -> None:
    if not call.caller.administrator:
        raise ShellError("Windows System Error 5", "PermissionDenied", "Access is denied.", target)


# -- rows


def _mac(bare: str) -> str:
    return "-".join(bare[i : i + 2] for i in range(0, len(bare), 2))


def _is_physical(around: Surroundings, adapter: NetAdapter) -> bool:
    return any(adapter is other for other in around.host.adapters)


def _with_ip(around: Surroundings) -> list[NetAdapter]:
    """Adapters that IP is bound to: not those that an External switch has taken."""
    network = around.world.network
    return [adapter for adapter in network.adapters() if network.switch_on(adapter) is None]


def _where(adapter: NetAdapter) -> dict[str, Any]:
    return {"InterfaceAlias": adapter.name, "InterfaceIndex": adapter.if_index, "ifIndex": adapter.if_index}


def adapter_row(around: Surroundings, adapter: NetAdapter) -> Object:
    physical, up = _is_physical(around, adapter), adapter.status == "Up"
    return made(
        "MSFT_NetAdapter",
        {
            **_where(adapter),
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
            "MacAddress": _mac(adapter.mac),
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


def _address_rows(around: Surroundings) -> list[Object]:
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
        row(_where(adapter), address, "Dhcp" if adapter.dhcp else "Manual")
        for adapter in _with_ip(around)
        for address in adapter.addresses
    ]
    loopback = {"InterfaceAlias": LOOPBACK, "InterfaceIndex": LOOPBACK_INDEX, "ifIndex": LOOPBACK_INDEX}
    return [*rows, row(loopback, "127.0.0.1/8", "WellKnown")]


def _interface_rows(around: Surroundings) -> list[Object]:
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

    rows = [row(_where(a), dhcp=a.dhcp, connected=a.status == "Up") for a in _with_ip(around)]
    loopback = {"InterfaceAlias": LOOPBACK, "InterfaceIndex": LOOPBACK_INDEX, "ifIndex": LOOPBACK_INDEX}
    return [*rows, row(loopback, dhcp=False, connected=True)]


def _route_rows(around: Surroundings) -> list[Object]:
    def row(where: dict[str, Any], prefix: str, next_hop: str) -> Object:
        return made(
            "MSFT_NetRoute",
            {
                **where,
                "DestinationPrefix": prefix,
                "NextHop": next_hop,
                "AddressFamily": "IPv4",
                "RouteMetric": 0 if next_hop != "0.0.0.0" else 256,  # noqa: S104 - how Windows writes "on link"
                "InterfaceMetric": 25,
            },
        )

    rows = []
    for adapter in _with_ip(around):
        if adapter.addresses and adapter.gateway:
            rows.append(row(_where(adapter), ANYWHERE, adapter.gateway))
        for address in adapter.addresses:
            network = ipaddress.ip_interface(address).network
            rows += [row(_where(adapter), str(network), "0.0.0.0")]  # noqa: S104 - on link
    loopback = {"InterfaceAlias": LOOPBACK, "InterfaceIndex": LOOPBACK_INDEX, "ifIndex": LOOPBACK_INDEX}
    return [*rows, row(loopback, "127.0.0.0/8", "0.0.0.0")]  # noqa: S104 - on link


def _neighbor_rows(around: Surroundings) -> list[Object]:
    rows = [
        made(
            "MSFT_NetNeighbor",
            {
                "IPAddress": neighbor.address,
                "LinkLayerAddress": _mac(neighbor.mac),
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
    return [*rows, *(made("MSFT_NetNeighbor", {**group, **_where(adapter)}) for adapter in _with_ip(around))]


def _profile_rows(around: Surroundings) -> list[Object]:
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
        for adapter in _with_ip(around)
        if adapter.addresses and adapter.status == "Up"
    ]


def _dns_rows(around: Surroundings) -> list[Object]:
    def row(adapter: NetAdapter, family: int) -> Object:
        where = _where(adapter)
        del where["ifIndex"]
        servers = adapter.dns_servers if family == IPV4 else []
        return made("MSFT_DNSClientServerAddress", {**where, "AddressFamily": family, "ServerAddresses": servers})

    return [row(adapter, family) for adapter in _with_ip(around) for family in (IPV4, IPV6)]


IPV4, IPV6 = 2, 23


# -- NetAdapter


@behaviour("Get-NetAdapter", "Name InterfaceDescription InterfaceIndex Physical IncludeHidden")
def get_net_adapter(call: Call, around: Surroundings) -> None:
    adapters = around.world.network.adapters()
    rows = [adapter_row(around, a) for a in adapters if _is_physical(around, a) or not call.switch("Physical")]
    _show(call, rows, ("Name", "InterfaceDescription", "InterfaceIndex"))


@behaviour("Get-NetAdapterBinding", "Name InterfaceDescription DisplayName ComponentID AllBindings IncludeHidden")
def get_net_adapter_binding(call: Call, around: Surroundings) -> None:
    """vms_pp is the switch's protocol: an adapter that has it and no switch is an orphan."""
    rows = []
    for adapter in around.world.network.adapters():
        bound = around.world.network.switch_on(adapter) is not None
        for component, name, enabled in (
            ("ms_tcpip", "Internet Protocol Version 4 (TCP/IPv4)", not bound),
            ("ms_tcpip6", "Internet Protocol Version 6 (TCP/IPv6)", not bound),
            ("vms_pp", "Hyper-V Extensible Virtual Switch", bound),
        ):
            said = {"Name": adapter.name, "DisplayName": name, "ComponentID": component, "Enabled": enabled}
            rows.append(
                made("MSFT_NetAdapterBindingSettingData", {**said, "InterfaceDescription": adapter.description})
            )
    _show(call, rows, ("Name", "InterfaceDescription", "DisplayName", "ComponentID"))


# -- NetTCPIP


@behaviour(
    "Get-NetIPAddress", "IPAddress InterfaceIndex InterfaceAlias AddressFamily PrefixLength PrefixOrigin AddressState"
)
def get_net_ip_address(call: Call, around: Surroundings) -> None:
    names = ("IPAddress", "InterfaceIndex", "InterfaceAlias", "AddressFamily", "PrefixLength", "PrefixOrigin")
    _show(call, _address_rows(around), (*names, "AddressState"))


@behaviour("Get-NetIPInterface", "InterfaceAlias InterfaceIndex AddressFamily Dhcp ConnectionState")
def get_net_ip_interface(call: Call, around: Surroundings) -> None:
    names = ("InterfaceAlias", "InterfaceIndex", "AddressFamily", "Dhcp", "ConnectionState")
    _show(call, _interface_rows(around), names)


@behaviour("Get-NetRoute", "DestinationPrefix InterfaceIndex InterfaceAlias NextHop AddressFamily")
def get_net_route(call: Call, around: Surroundings) -> None:
    names = ("DestinationPrefix", "InterfaceIndex", "InterfaceAlias", "NextHop", "AddressFamily")
    _show(call, _route_rows(around), names)


@behaviour("Get-NetNeighbor", "IPAddress InterfaceIndex InterfaceAlias LinkLayerAddress State AddressFamily")
def get_net_neighbor(call: Call, around: Surroundings) -> None:
    names = ("IPAddress", "InterfaceIndex", "InterfaceAlias", "LinkLayerAddress", "State", "AddressFamily")
    _show(call, _neighbor_rows(around), names)


def _one_adapter(call: Call, around: Surroundings) -> NetAdapter:
    for adapter in _with_ip(around):
        if call.get("InterfaceIndex") == adapter.if_index or _matches(call.get("InterfaceAlias"), adapter.name):
            return adapter
    target = str(call.get("InterfaceIndex") or call.get("InterfaceAlias"))
    raise ShellError("Windows System Error 1168", "ObjectNotFound", "Element not found.", target)


@behaviour("New-NetIPAddress", "IPAddress InterfaceAlias InterfaceIndex PrefixLength DefaultGateway AddressFamily")
def new_net_ip_address(call: Call, around: Surroundings) -> None:
    address = call.text("IPAddress")
    _require_administrator(call, address)
    adapter = _one_adapter(call, around)
    if any(other.split("/")[0] == address for a in around.world.network.adapters() for other in a.addresses):
        raise ShellError("Windows System Error 5010", "ResourceExists", "The object already exists.", address)
    if call.should(address):
        added = f"{address}/{call.get('PrefixLength', 32)}"
        gateway = call.text("DefaultGateway", adapter.gateway)
        around.world.network.set_address(adapter.name, [*adapter.addresses, added], gateway)
        for row in _address_rows(around):
            if row["IPAddress"] == address:
                call.wire.say("out", row)


@behaviour("New-NetRoute", "DestinationPrefix InterfaceAlias InterfaceIndex NextHop RouteMetric AddressFamily")
def new_net_route(call: Call, around: Surroundings) -> None:
    """The default route alone: the world has no others."""
    prefix, next_hop = call.text("DestinationPrefix"), call.text("NextHop")
    _require_administrator(call, prefix)
    adapter = _one_adapter(call, around)
    if prefix != ANYWHERE:
        raise ShellError("NotModelled", "NotImplemented", "The lab has no routes but the default one.", prefix)
    if adapter.gateway == next_hop:
        text = "The object already exists."
        raise ShellError("Windows System Error 5010", "ResourceExists", text, prefix)
    if call.should(f"{prefix} by {next_hop}"):
        around.world.network.set_address(adapter.name, adapter.addresses, next_hop)
        for row in _route_rows(around):
            if row["DestinationPrefix"] == prefix and row["InterfaceIndex"] == adapter.if_index:
                call.wire.say("out", row)


@behaviour("Get-NetIPConfiguration", "InterfaceAlias InterfaceIndex All Detailed")
def get_net_ip_configuration(call: Call, around: Surroundings) -> None:
    """Without -All only what is connected."""
    adapters = [
        adapter
        for adapter in _with_ip(around)
        if (call.switch("All") or adapter.status == "Up" or len(call.arguments) > 0)
        and call.get("InterfaceIndex", adapter.if_index) == adapter.if_index
        and _matches(call.get("InterfaceAlias", "*"), adapter.name)
    ]
    if not adapters:
        raise ShellError("InterfaceNotFound", "ObjectNotFound", "No matching interface was found.")
    for adapter in adapters:

        def of(rows: list[Object], index: int = adapter.if_index) -> list[Object]:
            return [row for row in rows if row["InterfaceIndex"] == index]

        call.out(
            "NetIPConfiguration",
            {
                "ComputerName": around.host.name,
                "InterfaceAlias": adapter.name,
                "InterfaceIndex": adapter.if_index,
                "InterfaceDescription": adapter.description,
                "NetAdapter": adapter_row(around, adapter),
                "NetIPv4Interface": of(_interface_rows(around))[0],
                "NetProfile": next(iter(of(_profile_rows(around))), None),
                "IPv4Address": of(_address_rows(around)),
                "IPv4DefaultGateway": [r for r in of(_route_rows(around)) if r["DestinationPrefix"] == ANYWHERE],
                "DNSServer": of(_dns_rows(around)),
            },
        )


# -- NetConnection, DnsClient


@behaviour("Get-NetConnectionProfile", "Name InterfaceAlias InterfaceIndex NetworkCategory IPv4Connectivity")
def get_net_connection_profile(call: Call, around: Surroundings) -> None:
    names = ("Name", "InterfaceAlias", "InterfaceIndex", "NetworkCategory", "IPv4Connectivity")
    _show(call, _profile_rows(around), names)


def _selected(call: Call, rows: list[Object], parameters: Sequence[str]) -> list[Object]:
    """Rows by -InputObject or by filters."""
    if "InputObject" not in call:
        return _filtered(call, rows, parameters)
    indexes = [said["InterfaceIndex"] for said in call.items("InputObject")]
    return [row for row in rows if row["InterfaceIndex"] in indexes]


@behaviour("Set-NetConnectionProfile", "Name InterfaceAlias InterfaceIndex InputObject NetworkCategory PassThru")
def set_net_connection_profile(call: Call, around: Surroundings) -> None:
    category = call.text("NetworkCategory")
    _require_administrator(call, category)
    if category == "DomainAuthenticated":
        text = "Unable to set the NetworkCategory due to one of the following possible reasons: it is of a domain."
        raise ShellError("Windows System Error 87", "InvalidArgument", text, category)
    for row in _selected(call, _profile_rows(around), ("Name", "InterfaceAlias", "InterfaceIndex")):
        if category and call.should(row["InterfaceAlias"]):
            around.world.network.set_category(row["InterfaceAlias"], category)
        if call.switch("PassThru"):
            call.wire.say("out", {**row, "NetworkCategory": category or row["NetworkCategory"]})


@behaviour("Get-DnsClientServerAddress", "InterfaceAlias InterfaceIndex AddressFamily")
def get_dns_client_server_address(call: Call, around: Surroundings) -> None:
    rows = _dns_rows(around)
    if call.get("AddressFamily"):
        families = {{"IPv4": IPV4, "IPv6": IPV6}[str(name)] for name in call.items("AddressFamily")}
        rows = [row for row in rows if row["AddressFamily"] in families]
    _show(call, rows, ("InterfaceAlias", "InterfaceIndex"))


@behaviour(
    "Set-DnsClientServerAddress",
    "InterfaceAlias InterfaceIndex InputObject ServerAddresses ResetServerAddresses PassThru",
)
def set_dns_client_server_address(call: Call, around: Surroundings) -> None:
    rows = [row for row in _dns_rows(around) if row["AddressFamily"] == IPV4]
    for row in _selected(call, rows, ("InterfaceAlias", "InterfaceIndex")):
        _require_administrator(call, row["InterfaceAlias"])
        servers = [str(server) for server in call.items("ServerAddresses")]
        if call.switch("ResetServerAddresses"):
            servers = [around.world.state.lan.gateway]  # what DHCP gives
        if call.should(row["InterfaceAlias"]):
            around.world.network.set_dns(row["InterfaceAlias"], servers)
        if call.switch("PassThru"):
            call.wire.say("out", {**row, "ServerAddresses": servers})


# -- reaching others


def answers(around: Surroundings, addresses: Iterable[str]) -> set[str]:
    """Sends a packet to each address; which of them answered. The host's table learns from it."""
    asked = set(addresses)
    around.world.network.touch(asked)
    with around.kernel.lock:
        if not around.world.network.has_gateway():
            return set()
        if around.world.state.lan.gateway in asked:
            around.world.network.heard_from(ROUTER_MAC, around.world.state.lan.gateway)
        stations = {address for _mac, address in around.world.guests.stations()}
        own = {address.split("/")[0] for adapter in _with_ip(around) for address in adapter.addresses}
        return asked & (stations | own | {around.world.state.lan.gateway})


@behaviour("Test-Connection", "TargetName Count TimeoutSeconds Quiet TcpPort")
def test_connection(call: Call, around: Surroundings) -> None:
    for target in (str(name) for name in call.items("TargetName")):
        if "TcpPort" in call:
            call.out_plain(_tcp(around, target, int(call.get("TcpPort"))))
            continue
        reached = False
        for ping in range(1, call.get("Count", 4) + 1):
            reached = bool(answers(around, [target])) or reached
            if not reached:
                call.spend(call.get("TimeoutSeconds", 5))
            if not call.switch("Quiet"):
                status = "Success" if reached else "TimedOut"
                said = {"Ping": ping, "Source": around.host.name, "Destination": target, "Address": target}
                call.out("PingStatus", {**said, "Latency": 1 if reached else 0, "Status": status})
        if call.switch("Quiet"):
            call.out_plain(reached)


@behaviour("Test-NetConnection", "ComputerName Port CommonTCPPort InformationLevel")
def test_net_connection(call: Call, around: Surroundings) -> None:
    target = call.text("ComputerName", "internetbeacon.msedge.net")
    port = call.get("Port") or {"HTTP": 80, "RDP": 3389, "SMB": 445, "WINRM": 5985}.get(call.text("CommonTCPPort"), 0)
    pinged = bool(answers(around, [target]))
    open_port = bool(port) and _tcp(around, target, port)
    if not pinged:
        call.spend(PING_S)
        call.warning(f"Ping to {target} failed with status: TimedOut")
    if port and not open_port:
        call.spend(TCP_FAILS_S)
        call.warning(f"TCP connect to ({target} : {port}) failed")
    if call.get("InformationLevel") == "Quiet":
        call.out_plain(open_port if port else pinged)
        return
    out = next((adapter for adapter in _with_ip(around) if adapter.gateway and adapter.addresses), None)
    call.out(
        "TestNetConnectionResult",
        {
            "ComputerName": target,
            "RemoteAddress": target,
            "RemotePort": port,
            "InterfaceAlias": out.name if out else "",
            "SourceAddress": out.addresses[0].split("/")[0] if out else "",
            "PingSucceeded": pinged,
            "TcpTestSucceeded": open_port,
        },
    )


def _tcp(around: Surroundings, address: str, port: int) -> bool:
    """Of the LAN the world knows one open port: that of Talos' API."""
    if not answers(around, [address]) or port != TALOS_PORT:
        return False
    with around.kernel.lock:
        state = around.world.state
        guests = {guest.address for guest in state.guests.values() if guest.api != "closed"}
        return address in guests | {machine.address for machine in state.foreign}
