"""What Talos 1.11 finds in the interfaces of a machine config: addresses, routes, VLANs, bonds, bridges, WireGuard, as flat lists of
checks.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from provisioner.lab.machines.config_documents import contains_port
from provisioner.lab.world.guests import scalars
from provisioner.lab.world.guests.config import dig

Findings = Iterator[str]
Device = Mapping[str, Any]

_DEVICE = "networking.os.device"
_EXCLUSIVE = "config sections are mutually exclusive"
_WORDS = {
    "mode": ("bond type", "balance-rr active-backup balance-xor broadcast 802.3ad balance-tlb balance-alb"),
    "xmitHashPolicy": ("xmit hash policy", "layer2 layer3+4 layer2+3 encap2+3 encap3+4"),
    "lacpRate": ("lacp rate", "slow fast"),
    "arpValidate": ("arp_validate mode", "none active backup all"),
    "arpAllTargets": ("arp_all_targets mode", "any all"),
    "primaryReselect": ("primary_reselect mode", "always better failure"),
    "failOverMac": ("fail_over_mac value", "none active follow"),
    "adSelect": ("ad_select mode", "stable bandwidth count"),
}
_BALANCED = ("balance-alb", "balance-tlb")
_NEVER, _NOT, _ONLY = "not supported", "not available in {} mode", "only available in 802.3ad mode"
_BY_MODE: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    ("arpIPTarget", _NEVER, lambda _mode: False),
    ("lacpRate", _ONLY, lambda mode: mode == "802.3ad"),
    ("adActorSystem", _NEVER, lambda _mode: False),
    ("arpValidate", _NOT, lambda mode: mode not in ("802.3ad", *_BALANCED)),
    ("primary", _NOT, lambda mode: mode in ("active-backup", *_BALANCED)),
    ("arpInterval", _NOT, lambda mode: mode not in ("802.3ad", *_BALANCED)),
    ("packetsPerSlave", _NOT, lambda mode: mode == "balance-rr"),
    ("tlbDynamicLb", _NOT, lambda mode: mode in _BALANCED),
    ("adActorSysPrio", _ONLY, lambda mode: mode == "802.3ad"),
    ("adUserPortKey", _ONLY, lambda mode: mode == "802.3ad"),
)
"""Fields of a bond, and the modes in which each works."""
_SPELLED = {"tlbDynamicLb": "tlbDynamicTLB"}
"""As Talos' messages name them, where that is not the field."""


def findings(machine: Mapping[str, Any]) -> Findings:
    devices = dig(machine, "network", "interfaces") or []
    paired: dict[str, str] = {}
    for device in filter(None, devices):
        name, bond, bridge = device.get("interface", ""), device.get("bond"), device.get("bridge")
        if bond is not None and bridge is not None:
            yield f'interface has both bridge and bond sections set "{name}": {_EXCLUSIVE}'
        if dig(bond, "interfaces") and dig(bond, "deviceSelectors"):
            yield f'interface "{name}" has both interfaces and selectors set: {_EXCLUSIVE}'
        for part in dig(bridge if bridge is not None else bond, "interfaces") or []:
            if paired.get(part, name) != name:
                yield f'interface "{part}" is declared as part of two separate links: "{paired[part]}" and "{name}"'
            paired[part] = name
    for device in devices:
        if device is None:
            yield "empty device"
        elif not device.get("ignore"):
            yield from _device(device)
            yield from _addressing(device, paired)
            yield from _routes(device)


NIL = "runtime error: invalid memory address or nil pointer dereference"
"""What Talos' check ends in for a null in some lists."""


def _device(device: Device) -> Findings:
    if None in [*(device.get("vlans") or []), *(dig(device, "wireguard", "peers") or [])]:
        yield NIL
    name, selector = device.get("interface"), device.get("deviceSelector")
    where = f"[{_DEVICE}.interface], [{_DEVICE}.deviceSelector]"
    if not name and selector is None:
        yield f"{where}: required either config section to be set"
    elif name and selector is not None:
        yield f"{where}: {_EXCLUSIVE}"
    if selector is not None and not any(value not in ("", None) for value in selector.values()):
        yield f"[{_DEVICE}.deviceSelector]: config section should contain at least one field"
    if (bond := device.get("bond")) is not None:
        yield from _bond(bond)
    if (wireguard := device.get("wireguard")) is not None:
        yield from _wireguard(wireguard)
    for vlan in filter(None, device.get("vlans") or []):
        whole = f"{name or ''}.{vlan.get('vlanId', 0)}"
        if vlan.get("addresses") and vlan.get("cidr"):
            yield f"[{_DEVICE}.vlan] {whole}: vlan can't have both .cidr and .addresses set"
        cidr = [vlan["cidr"]] if vlan.get("cidr") else []
        yield from (f"[{_DEVICE}.vlan.CIDR] {whole}: {wrong}" for a in cidr if (wrong := _bad_address(a)))
        addresses = vlan.get("addresses") or []
        yield from (f"[{_DEVICE}.vlan.addresses] {whole}: {wrong}" for a in addresses if (wrong := _bad_address(a)))


def _bad_address(text: str) -> str:
    if "/" in text:
        return "" if scalars.is_network(text) else f"invalid CIDR address: {text}"
    return "" if scalars.is_address(text) else f'failed to parse IP address "{text}"'


def _addressing(device: Device, paired: Mapping[str, str]) -> Findings:
    name, cidr, addresses = device.get("interface", ""), device.get("cidr"), device.get("addresses") or []
    if name in paired and (device.get("dhcp") or cidr or addresses or device.get("vip") is not None):
        yield f'[{_DEVICE}] "{name}": bonded/bridged interface shouldn\'t have any addressing methods configured'
    if addresses and cidr:
        yield f'[{_DEVICE}] "{name}": interface can\'t have both .cidr and .addresses set'
    if cidr and (wrong := _bad_address(cidr)):
        yield f'[{_DEVICE}.CIDR] "{name}": {wrong}'
    yield from (f'[{_DEVICE}.addresses] "{name}": {wrong}' for each in addresses if (wrong := _bad_address(each)))
    if device.get("vip") is not None and not scalars.is_address(device["vip"].get("ip", "")):
        yield f'[{_DEVICE}.vip] failed to parse "{device["vip"].get("ip", "")}" as IP address'


def _routes(device: Device) -> Findings:
    for number, route in enumerate(route or {} for route in device.get("routes") or []):
        where = f"{_DEVICE}.route[{number}]"
        network, gateway, source = (route.get(key, "") for key in ("network", "gateway", "source"))
        if network and not scalars.is_network(network):
            yield f'[{where}.network] "{network}": invalid network address'
        if gateway and not scalars.is_address(gateway):
            yield f'[{where}.gateway] "{gateway}": invalid network address'
        if not gateway and not network:
            yield f"[{where}]: either network or gateway should be set"
        if source and not scalars.is_address(source):
            yield f'[{where}.source] "{source}": invalid network address'


def _bond(bond: Device) -> Findings:
    for key, (what, words) in _WORDS.items():
        if bond.get(key) and bond[key] not in words.split():
            yield f"invalid {what} {bond[key]}"
    interval = bond.get("miimon", 0)
    for key, word in (("updelay", "upDelay"), ("downdelay", "downDelay")):
        delay = bond.get(key, 0)
        if not interval and delay:
            yield f"bond.{word} can't be set if miiMon is zero"
        elif interval and delay % interval:
            yield f"bond.{word} should be a multiple of miiMon"
    mode = bond.get("mode") or "balance-rr"
    for key, why, works in _BY_MODE:
        least = 1 if key == "packetsPerSlave" else 0
        value = bond.get(key)
        if value and (not isinstance(value, int) or value > least) and not works(mode):
            yield f"bond.{_SPELLED.get(key, key)} is {why.format(mode)}"


def _wireguard(wireguard: Device) -> Findings:
    if wrong := _bad_key(wireguard.get("privateKey", "")):
        yield f"private key is invalid: {wrong}"
    for peer in filter(None, wireguard.get("peers") or []):
        if wrong := _bad_key(peer.get("publicKey", "")):
            yield f"public key invalid: {wrong}"
        endpoint = peer.get("endpoint")
        if endpoint and not contains_port(endpoint):
            yield f'peer endpoint "{endpoint}" is invalid'
        for allowed in peer.get("allowedIPs") or []:
            if not scalars.is_network(allowed):
                yield f'peer allowed IP "{allowed}" is invalid: invalid CIDR address: {allowed}'


def _bad_key(key: str) -> str:
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return "illegal base64 data"
    return "" if len(raw) == 32 else f"wrong key length: {len(raw)}"
