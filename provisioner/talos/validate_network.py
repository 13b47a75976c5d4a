"""What Talos checks of `machine.network`: interfaces, bonds, bridges, VLANs, routes, WireGuard, KubeSpan.

Source: ValidateNetworkDevices and its neighbours in
https://github.com/siderolabs/talos/blob/v1.11.5/pkg/machinery/config/types/v1alpha1/v1alpha1_validation.go
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.talos.document import at, each
from provisioner.talos.field_checks import (
    Rules,
    address,
    host_and_port,
    interface_address,
    is_address,
    network,
    one_of,
    subnet,
    unsupported,
    wireguard_key,
)
from provisioner.talos.schema import Problem

_BALANCED = ("balance-tlb", "balance-alb")
_MONITORED_BY_ARP = ("balance-rr", "active-backup", "balance-xor", "broadcast")
_MODES = (*_MONITORED_BY_ARP, "802.3ad", *_BALANCED)
_BOND_WORDS: Mapping[str, tuple[str, ...]] = {
    "mode": _MODES,
    "xmitHashPolicy": ("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4"),
    "lacpRate": ("slow", "fast"),
    "arpValidate": ("none", "active", "backup", "all"),
    "arpAllTargets": ("any", "all"),
    "primaryReselect": ("always", "better", "failure"),
    "failOverMac": ("none", "active", "follow"),
    "adSelect": ("stable", "bandwidth", "count"),
}
_BOND_MODES: Mapping[str, tuple[str, ...]] = {
    "lacpRate": ("802.3ad",),
    "adActorSysPrio": ("802.3ad",),
    "adUserPortKey": ("802.3ad",),
    "primary": ("active-backup", *_BALANCED),
    "tlbDynamicLb": _BALANCED,
    "arpValidate": _MONITORED_BY_ARP,
    "arpInterval": _MONITORED_BY_ARP,
}
"""In which modes of a bond a field means something."""
_LEAST_KUBESPAN_MTU = 1280

_INTERFACE = Rules(
    given={
        **{f"bond.{key}": one_of(*words) for key, words in _BOND_WORDS.items()},
        "bond.arpIPTarget": unsupported,
        "bond.adActorSystem": unsupported,
        "wireguard.peers[].endpoint": lambda value: host_and_port(value) and "must be a host and a port",
        "wireguard.peers[].allowedIPs[]": network,
        "cidr": interface_address,
        "addresses[]": interface_address,
        "vlans[].cidr": interface_address,
        "vlans[].addresses[]": interface_address,
        "routes[].network": network,
        "routes[].gateway": address,
        "routes[].source": address,
    },
    always={
        "vip:ip": lambda value: "" if is_address(value or "") else "must be an IP address",
        "wireguard:privateKey": wireguard_key,
        "wireguard.peers[]:publicKey": wireguard_key,
    },
    needed={"": ("interface", "deviceSelector"), "routes[]": ("network", "gateway")},
    exclusive=[
        ("", "interface", "deviceSelector"),
        ("", "cidr", "addresses"),
        ("vlans[]", "cidr", "addresses"),
    ],
)


def check_network(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything below `machine.network`. Of an interface that Talos ignores, only whether it is a part of another."""
    owners: dict[str, str] = {}
    for path, device in each(config, "machine.network.interfaces[]"):
        yield from _check_parts(path, device, owners)
    for path, device in each(config, "machine.network.interfaces[]"):
        if not device.get("ignore"):
            yield from _INTERFACE.check(device, path)
            yield from _check_interface(path, device, owners)
            yield from _check_bond(path, device.get("bond") or {})
    yield from _check_kubespan(config)


def _check_parts(path: str, device: Mapping[str, Any], owners: dict[str, str]) -> Iterator[Problem]:
    """Which adapters are parts of a bond or a bridge; `owners` is filled."""
    yield from _PARTS.check(device, path)
    bond, bridge = device.get("bond"), device.get("bridge")
    name = device.get("interface") or ""
    for part in at(bond if bridge is None else bridge, "interfaces") or ():
        if owners.setdefault(part, name) != name:
            yield Problem(path, f"{part} is already a part of {owners[part]}")
        owners[part] = name


_PARTS = Rules(exclusive=[("", "bond", "bridge"), ("bond", "interfaces", "deviceSelectors")])


def _check_interface(path: str, device: Mapping[str, Any], owners: Mapping[str, str]) -> Iterator[Problem]:
    if device.get("deviceSelector") == {}:
        yield Problem(f"{path}.deviceSelector", "selects nothing: it has no field")
    owner = owners.get(device.get("interface") or "")
    if owner is not None and any(device.get(key) for key in ("dhcp", "cidr", "addresses", "vip")):
        yield Problem(path, f"is a part of {owner}: it can have no address of its own")
    if device.get("cidr"):
        yield Problem(f"{path}.cidr", "is the old name", "addresses", severity="warning")


def _check_bond(path: str, bond: Mapping[str, Any]) -> Iterator[Problem]:
    interval = bond.get("miimon") or 0
    for key in ("updelay", "downdelay"):
        delay = bond.get(key) or 0
        if delay and (not interval or delay % interval):
            yield Problem(f"{path}.bond.{key}", "must be a multiple of miimon")
    mode = bond.get("mode") or _MODES[0]
    for key in _unavailable(bond, mode):
        yield Problem(f"{path}.bond.{key}", f"is not available in the mode {mode}")


def _unavailable(bond: Mapping[str, Any], mode: str) -> Iterator[str]:
    if mode in _MODES:
        yield from (key for key, modes in _BOND_MODES.items() if bond.get(key) and mode not in modes)
    if (bond.get("packetsPerSlave") or 0) > 1 and mode != "balance-rr":
        yield "packetsPerSlave"


def _check_kubespan(config: Mapping[str, Any]) -> Iterator[Problem]:
    path = "machine.network.kubespan"
    kubespan, cluster = at(config, *path.split(".")) or {}, config.get("cluster") or {}
    if not kubespan.get("enabled"):
        return
    if (kubespan.get("mtu") or _LEAST_KUBESPAN_MTU) < _LEAST_KUBESPAN_MTU:
        yield Problem(f"{path}.mtu", f"must be at least {_LEAST_KUBESPAN_MTU}")
    for keys in (("discovery", "enabled"), ("id",), ("secret",)):
        if not at(cluster, *keys):
            yield Problem(f"{path}.enabled", f"needs cluster.{'.'.join(keys)}")
    yield from Rules(given={"filters.endpoints[]": subnet}).check(kubespan, path)
