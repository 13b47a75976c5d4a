"""NetAdapter, NetTCPIP, NetConnection and DnsClient.

A filter that matches nothing is an error of these cmdlets (facts/hyperv.md, 6), no filter on an empty table is none.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from typing import Any

from provisioner.lab.world.state import NetAdapter
from tests.engine import hyperv as engine_hyperv
from tests.engine.cmdlets.behaviours import Environment, behaviour
from tests.engine.cmdlets.behaviours.network_rows import (
    ANYWHERE,
    IPV4,
    IPV6,
    adapter_row,
    adapters,
    address_rows,
    dns_rows,
    interface_rows,
    is_physical,
    neighbor_rows,
    profile_rows,
    route_rows,
    with_ip,
)
from tests.engine.cmdlets.call import Call, Object, ShellError, made

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
        target = ", ".join(str(value) for value in call.items(bound[0]))
        text = "No matching objects found by CIM query for the given " + ", ".join(f"-{name}" for name in bound) + "."
        call.error(ShellError(f"CmdletizationQuery_NotFound{suffix}", "ObjectNotFound", text, target))
    return found


def _show(call: Call, rows: Iterable[Object], parameters: Sequence[str]) -> None:
    for row in _filtered(call, rows, parameters):
        call.wire.say("out", row)


def _require_administrator(call: Call, target: str) -> None:
    if not call.caller.administrator:
        raise ShellError("Windows System Error 5", "PermissionDenied", "Access is denied.", target)


# -- NetAdapter


@behaviour("Get-NetAdapter", "Name InterfaceDescription InterfaceIndex Physical IncludeHidden")
def get_net_adapter(call: Call, around: Environment) -> None:
    rows = [adapter_row(around, a) for a in adapters(around) if is_physical(around, a) or not call.switch("Physical")]
    _show(call, rows, ("Name", "InterfaceDescription", "InterfaceIndex"))


@behaviour("Get-NetAdapterBinding", "Name InterfaceDescription DisplayName ComponentID AllBindings IncludeHidden")
def get_net_adapter_binding(call: Call, around: Environment) -> None:
    """vms_pp is the switch's protocol: an adapter that has it and no switch is an orphan."""
    rows = []
    for adapter in adapters(around):
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
def get_net_ip_address(call: Call, around: Environment) -> None:
    names = ("IPAddress", "InterfaceIndex", "InterfaceAlias", "AddressFamily", "PrefixLength", "PrefixOrigin")
    _show(call, address_rows(around), (*names, "AddressState"))


@behaviour("Get-NetIPInterface", "InterfaceAlias InterfaceIndex AddressFamily Dhcp ConnectionState")
def get_net_ip_interface(call: Call, around: Environment) -> None:
    names = ("InterfaceAlias", "InterfaceIndex", "AddressFamily", "Dhcp", "ConnectionState")
    _show(call, interface_rows(around), names)


@behaviour("Get-NetRoute", "DestinationPrefix InterfaceIndex InterfaceAlias NextHop AddressFamily")
def get_net_route(call: Call, around: Environment) -> None:
    names = ("DestinationPrefix", "InterfaceIndex", "InterfaceAlias", "NextHop", "AddressFamily")
    _show(call, route_rows(around), names)


@behaviour("Get-NetNeighbor", "IPAddress InterfaceIndex InterfaceAlias LinkLayerAddress State AddressFamily")
def get_net_neighbor(call: Call, around: Environment) -> None:
    names = ("IPAddress", "InterfaceIndex", "InterfaceAlias", "LinkLayerAddress", "State", "AddressFamily")
    _show(call, neighbor_rows(around), names)


def _one_adapter(call: Call, around: Environment) -> NetAdapter:
    for adapter in with_ip(around):
        if call.get("InterfaceIndex") == adapter.if_index or _matches(call.get("InterfaceAlias"), adapter.name):
            return adapter
    target = str(call.get("InterfaceIndex") or call.get("InterfaceAlias"))
    raise ShellError("Windows System Error 1168", "ObjectNotFound", "Element not found.", target)


@behaviour("New-NetIPAddress", "IPAddress InterfaceAlias InterfaceIndex PrefixLength DefaultGateway AddressFamily")
def new_net_ip_address(call: Call, around: Environment) -> None:
    address = call.text("IPAddress")
    _require_administrator(call, address)
    adapter = _one_adapter(call, around)
    if any(other.split("/")[0] == address for a in adapters(around) for other in a.addresses):
        raise ShellError("Windows System Error 5010", "ResourceExists", "The object already exists.", address)
    if call.should(address):
        added = f"{address}/{call.get('PrefixLength', 32)}"
        gateway = call.text("DefaultGateway", adapter.gateway)
        engine_hyperv.set_address(around.world, adapter.name, [*adapter.addresses, added], gateway)
        for row in address_rows(around):
            if row["IPAddress"] == address:
                call.wire.say("out", row)


@behaviour("New-NetRoute", "DestinationPrefix InterfaceAlias InterfaceIndex NextHop RouteMetric AddressFamily")
def new_net_route(call: Call, around: Environment) -> None:
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
        engine_hyperv.set_address(around.world, adapter.name, adapter.addresses, next_hop)
        for row in route_rows(around):
            if row["DestinationPrefix"] == prefix and row["InterfaceIndex"] == adapter.if_index:
                call.wire.say("out", row)


@behaviour("Get-NetIPConfiguration", "InterfaceAlias InterfaceIndex All Detailed")
def get_net_ip_configuration(call: Call, around: Environment) -> None:
    """Without -All only what is connected."""
    found = [
        adapter
        for adapter in with_ip(around)
        if (call.switch("All") or adapter.status == "Up" or len(call.arguments) > 0)
        and call.get("InterfaceIndex", adapter.if_index) == adapter.if_index
        and _matches(call.get("InterfaceAlias", "*"), adapter.name)
    ]
    if not found:
        raise ShellError("InterfaceNotFound", "ObjectNotFound", "No matching interface was found.")
    for adapter in found:

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
                "NetIPv4Interface": of(interface_rows(around))[0],
                "NetProfile": next(iter(of(profile_rows(around))), None),
                "IPv4Address": of(address_rows(around)),
                "IPv4DefaultGateway": [r for r in of(route_rows(around)) if r["DestinationPrefix"] == ANYWHERE],
                "DNSServer": of(dns_rows(around)),
            },
        )


# -- NetConnection, DnsClient


@behaviour("Get-NetConnectionProfile", "Name InterfaceAlias InterfaceIndex NetworkCategory IPv4Connectivity")
def get_net_connection_profile(call: Call, around: Environment) -> None:
    names = ("Name", "InterfaceAlias", "InterfaceIndex", "NetworkCategory", "IPv4Connectivity")
    _show(call, profile_rows(around), names)


def _selected(call: Call, rows: list[Object], parameters: Sequence[str]) -> list[Object]:
    """Rows by -InputObject or by filters."""
    if "InputObject" not in call:
        return _filtered(call, rows, parameters)
    indexes = [said["InterfaceIndex"] for said in call.items("InputObject")]
    return [row for row in rows if row["InterfaceIndex"] in indexes]


@behaviour("Set-NetConnectionProfile", "Name InterfaceAlias InterfaceIndex InputObject NetworkCategory PassThru")
def set_net_connection_profile(call: Call, around: Environment) -> None:
    category = call.text("NetworkCategory")
    _require_administrator(call, category)
    if category == "DomainAuthenticated":
        text = "Unable to set the NetworkCategory due to one of the following possible reasons: it is of a domain."
        raise ShellError("Windows System Error 87", "InvalidArgument", text, category)
    for row in _selected(call, profile_rows(around), ("Name", "InterfaceAlias", "InterfaceIndex")):
        if category and call.should(row["InterfaceAlias"]):
            around.world.network.set_category(row["InterfaceAlias"], "Public" if category == "Public" else "Private")
        if call.switch("PassThru"):
            call.wire.say("out", {**row, "NetworkCategory": category or row["NetworkCategory"]})


@behaviour("Get-DnsClientServerAddress", "InterfaceAlias InterfaceIndex AddressFamily")
def get_dns_client_server_address(call: Call, around: Environment) -> None:
    rows = dns_rows(around)
    if call.get("AddressFamily"):
        families = {{"IPv4": IPV4, "IPv6": IPV6}[str(name)] for name in call.items("AddressFamily")}
        rows = [row for row in rows if row["AddressFamily"] in families]
    _show(call, rows, ("InterfaceAlias", "InterfaceIndex"))


@behaviour(
    "Set-DnsClientServerAddress",
    "InterfaceAlias InterfaceIndex InputObject ServerAddresses ResetServerAddresses PassThru",
)
def set_dns_client_server_address(call: Call, around: Environment) -> None:
    rows = [row for row in dns_rows(around) if row["AddressFamily"] == IPV4]
    for row in _selected(call, rows, ("InterfaceAlias", "InterfaceIndex")):
        _require_administrator(call, row["InterfaceAlias"])
        servers = [str(server) for server in call.items("ServerAddresses")]
        if call.switch("ResetServerAddresses"):
            servers = [around.world.state.lan.gateway]  # what DHCP gives
        if call.should(row["InterfaceAlias"]):
            around.world.network.set_dns(row["InterfaceAlias"], servers)
        if call.switch("PassThru"):
            call.wire.say("out", {**row, "ServerAddresses": servers})
