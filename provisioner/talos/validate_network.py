"""What Talos checks of `machine.network`: interfaces, bonds, bridges, VLANs, routes, WireGuard, KubeSpan.

Source: ValidateNetworkDevices and its neighbours in v1alpha1_validation.go of Talos' machinery, 1.11.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.talos.document import at, host_and_port, is_address, is_network, is_subnet
from provisioner.talos.schema import Problem

BOND_WORDS: Mapping[str, tuple[str, ...]] = {
    "mode": ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"),
    "xmitHashPolicy": ("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4"),
    "lacpRate": ("slow", "fast"),
    "arpValidate": ("none", "active", "backup", "all"),
    "arpAllTargets": ("any", "all"),
    "primaryReselect": ("always", "better", "failure"),
    "failOverMac": ("none", "active", "follow"),
    "adSelect": ("stable", "bandwidth", "count"),
}
_BALANCED = ("balance-tlb", "balance-alb")
_LEAST_KUBESPAN_MTU = 1280
_WIREGUARD_KEY = 32


def check_network(network: Mapping[str, Any], cluster: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything below `machine.network`."""
    parts: dict[str, str] = {}
    for i, device in enumerate(network.get("interfaces") or ()):
        yield from _check_parts(f"machine.network.interfaces[{i}]", device, parts)
    for i, device in enumerate(network.get("interfaces") or ()):
        if not device.get("ignore"):
            yield from _check_device(f"machine.network.interfaces[{i}]", device, parts)
    yield from _check_kubespan(network.get("kubespan") or {}, cluster)


def _check_parts(path: str, device: Mapping[str, Any], parts: dict[str, str]) -> Iterator[Problem]:
    """Which adapters are parts of a bond or a bridge; `parts` is filled."""
    bond, bridge = device.get("bond"), device.get("bridge")
    name = device.get("interface") or ""
    if bond is not None and bridge is not None:
        yield Problem(path, "bond and bridge exclude each other")
    if bond is not None and bond.get("interfaces") and bond.get("deviceSelectors"):
        yield Problem(f"{path}.bond", "interfaces and deviceSelectors exclude each other")
    mine = bridge if bridge is not None else bond or {}
    for part in mine.get("interfaces") or ():
        if parts.get(part, name) != name:
            yield Problem(path, f"{part} is already a part of {parts[part]}")
        parts[part] = name


def _check_device(path: str, device: Mapping[str, Any], parts: Mapping[str, str]) -> Iterator[Problem]:
    name, selector = device.get("interface"), device.get("deviceSelector")
    if not name and selector is None:
        yield Problem(path, "needs interface or deviceSelector")
    elif name and selector is not None:
        yield Problem(path, "interface and deviceSelector exclude each other")
    if selector is not None and not selector:
        yield Problem(f"{path}.deviceSelector", "selects nothing: it has no field")
    if device.get("bond") is not None:
        yield from _check_bond(f"{path}.bond", device["bond"])
    if device.get("wireguard") is not None:
        yield from _check_wireguard(f"{path}.wireguard", device["wireguard"])
    if (name or "") in parts and any(device.get(key) for key in ("dhcp", "cidr", "addresses", "vip")):
        yield Problem(path, f"is a part of {parts[name or '']}: it can have no address of its own")
    if device.get("cidr"):
        yield Problem(f"{path}.cidr", "is the old name", "addresses", severity="warning")
    yield from _check_addresses(path, device)
    for i, vlan in enumerate(device.get("vlans") or ()):
        yield from _check_addresses(f"{path}.vlans[{i}]", vlan)
    if device.get("vip") is not None and not is_address(at(device, "vip", "ip") or ""):
        yield Problem(f"{path}.vip.ip", "must be an IP address")
    for i, route in enumerate(device.get("routes") or ()):
        yield from _check_route(f"{path}.routes[{i}]", route)


def _check_addresses(path: str, device: Mapping[str, Any]) -> Iterator[Problem]:
    if device.get("cidr") and device.get("addresses"):
        yield Problem(path, "cidr and addresses exclude each other")
    if device.get("cidr") and not _is_place(device["cidr"]):
        yield Problem(f"{path}.cidr", f"{device['cidr']!r} is not an IP address, alone or in CIDR notation")
    for i, address in enumerate(device.get("addresses") or ()):
        if not _is_place(address):
            yield Problem(f"{path}.addresses[{i}]", f"{address!r} is not an IP address, alone or in CIDR notation")


def _is_place(text: str) -> bool:
    return is_network(text) if "/" in text else is_address(text)


def _check_route(path: str, route: Mapping[str, Any]) -> Iterator[Problem]:
    if route.get("network") and not is_network(route["network"]):
        yield Problem(f"{path}.network", f"{route['network']!r} is not a network in CIDR notation")
    for key in ("gateway", "source"):
        if route.get(key) and not is_address(route[key]):
            yield Problem(f"{path}.{key}", f"{route[key]!r} is not an IP address")
    if not route.get("network") and not route.get("gateway"):
        yield Problem(path, "needs network or gateway")


def _check_bond(path: str, bond: Mapping[str, Any]) -> Iterator[Problem]:
    for key, words in BOND_WORDS.items():
        if bond.get(key) and bond[key] not in words:
            yield Problem(f"{path}.{key}", f"must be one of {', '.join(words)}")
    mode = bond.get("mode") or "balance-rr"
    every = bond.get("miimon") or 0
    for key in ("updelay", "downdelay"):
        delay = bond.get(key) or 0
        if delay and (not every or delay % every):
            yield Problem(f"{path}.{key}", "must be a multiple of miimon")
    for key in ("arpIPTarget", "adActorSystem"):
        if bond.get(key):
            yield Problem(f"{path}.{key}", "is not supported by Talos")
    only = {
        "lacpRate": ("802.3ad",),
        "adActorSysPrio": ("802.3ad",),
        "adUserPortKey": ("802.3ad",),
        "primary": ("active-backup", *_BALANCED),
        "tlbDynamicLb": _BALANCED,
        "arpValidate": ("balance-rr", "active-backup", "balance-xor", "broadcast"),
        "arpInterval": ("balance-rr", "active-backup", "balance-xor", "broadcast"),
    }
    for key, modes in only.items():
        if bond.get(key) and mode in BOND_WORDS["mode"] and mode not in modes:
            yield Problem(f"{path}.{key}", f"is not available in the mode {mode}")
    if (bond.get("packetsPerSlave") or 0) > 1 and mode != "balance-rr":
        yield Problem(f"{path}.packetsPerSlave", f"is not available in the mode {mode}")


def _check_wireguard(path: str, wireguard: Mapping[str, Any]) -> Iterator[Problem]:
    if not _is_wireguard_key(wireguard.get("privateKey") or ""):
        yield Problem(f"{path}.privateKey", "must be 32 bytes in base64")
    for i, peer in enumerate(wireguard.get("peers") or ()):
        inner = f"{path}.peers[{i}]"
        if not _is_wireguard_key(peer.get("publicKey") or ""):
            yield Problem(f"{inner}.publicKey", "must be 32 bytes in base64")
        if peer.get("endpoint") and not host_and_port(peer["endpoint"]):
            yield Problem(f"{inner}.endpoint", "must be a host and a port")
        for k, allowed in enumerate(peer.get("allowedIPs") or ()):
            if not is_network(allowed):
                yield Problem(f"{inner}.allowedIPs[{k}]", f"{allowed!r} is not a network in CIDR notation")


def _is_wireguard_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _WIREGUARD_KEY
    except (binascii.Error, ValueError):
        return False


def _check_kubespan(kubespan: Mapping[str, Any], cluster: Mapping[str, Any]) -> Iterator[Problem]:
    path = "machine.network.kubespan"
    if not kubespan.get("enabled"):
        return
    if (kubespan.get("mtu") or _LEAST_KUBESPAN_MTU) < _LEAST_KUBESPAN_MTU:
        yield Problem(f"{path}.mtu", f"must be at least {_LEAST_KUBESPAN_MTU}")
    if not at(cluster, "discovery", "enabled"):
        yield Problem(f"{path}.enabled", "needs cluster.discovery.enabled")
    for key in ("id", "secret"):
        if not cluster.get(key):
            yield Problem(f"{path}.enabled", f"needs cluster.{key}")
    for i, subnet in enumerate(at(kubespan, "filters", "endpoints") or ()):
        if not is_subnet(subnet):
            yield Problem(f"{path}.filters.endpoints[{i}]", f"{subnet!r} is not a network in CIDR notation")
