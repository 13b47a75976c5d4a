"""What Talos 1.11 finds in the documents beside the main one: volumes, network rules, log targets (their own Validate methods)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from provisioner.lab.machines import config_cel
from provisioner.lab.world.guests import scalars
from provisioner.lab.world.guests.config import dig

Document = dict[str, Any]
Findings = Iterator[str]

SYSTEM_VOLUMES = ("STATE", "EPHEMERAL", "IMAGECACHE")
_LABEL_LENGTH = 36
_PREFIX_LENGTH = 2
"""Of a partition label: `u-`, `r-`, `s-` for volumes of the user."""


def findings(document: Document) -> Findings:
    """Of one document. Those that Talos joins come as one text of several lines."""
    check = _CHECKS.get(document["kind"])
    if check is not None:
        yield from check(document)


def _joined(found: Findings) -> Findings:
    lines = list(found)
    if lines:
        yield "\n".join(lines)


def _first(found: Findings) -> Findings:
    yield from list(found)[:1]


def _named(document: Document) -> Findings:
    if not document.get("name"):
        yield "name is required"


# --- volumes --------------------------------------------------------------------------------------------------------


def _volume_name(document: Document, *, bounded: bool = True) -> Findings:
    name, longest = document.get("name", ""), _LABEL_LENGTH - _PREFIX_LENGTH
    yield from _named(document)
    if bounded and not 1 <= len(name.encode()) <= longest:
        yield f"name must be between 1 and {longest} characters long"
    if not re.fullmatch(r"[A-Za-z0-9-]*", name):
        yield "name can only contain lowercase and uppercase ASCII letters, digits, and hyphens"


def _provisioning(document: Document, *, required: bool) -> Findings:
    spec = document.get("provisioning") or {}
    match = dig(spec, "diskSelector", "match")
    if match:
        if (wrong := config_cel.fault_of(match, config_cel.DISK)) is not None:
            yield f"disk selector is invalid: {wrong}"
    elif required:
        yield "disk selector is required"
    least, most = spec.get("minSize"), spec.get("maxSize")
    if least and most:
        if scalars.size(least) > scalars.size(most):
            yield "min size is greater than max size"
    elif required and not least and not most:
        yield "min size or max size is required"


def _encryption(document: Document) -> Findings:
    spec = document.get("encryption") or {}
    provider, keys = spec.get("provider", "none"), spec.get("keys") or []
    if provider == "none" and not keys:
        return
    if provider != "luks2":
        yield f"unsupported encryption provider: {provider}"
    if not keys:
        yield "encryption keys are required"
    for slot, taken, empty in key_slots(keys):
        if taken:
            yield f"duplicate key slot {slot}"
        if empty:
            yield f"at least one encryption key type must be specified for slot {slot}"


def key_slots(keys: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, bool, bool]]:
    """Of each encryption key: its slot, whether one before it has that too, and whether it names no kind of key."""
    slots = [key.get("slot", 0) for key in keys]
    for number, key in enumerate(keys):
        yield slots[number], slots[number] in slots[:number], not key.keys() & {"static", "nodeID", "kms", "tpm"}


def _system_volume(document: Document) -> Findings:
    name = document.get("name", "")
    if name not in SYSTEM_VOLUMES:
        yield f"only {list(SYSTEM_VOLUMES)} volumes are supported".replace("'", '"').replace(",", "")
        return
    yield from _joined(_system_volume_parts(document, name))


def _system_volume_parts(document: Document, name: str) -> Findings:
    if name == "STATE":
        spec = document.get("provisioning") or {}
        if spec.keys() - {"diskSelector"} or dig(spec, "diskSelector", "match"):
            yield f'provisioning config is not allowed for the "{name}" volume'
        for key in dig(document, "encryption", "keys") or []:
            if key.get("lockToState"):
                yield f'state-locked key is not allowed for the "{name}" volume'
    yield from _provisioning(document, required=False)
    yield from _encryption(document)


def _user_volume(document: Document) -> Findings:
    parts = (
        _volume_name(document),
        _provisioning(document, required=True),
        _filesystem(document.get("filesystem") or {}),
        _encryption(document),
    )
    yield from _joined(chain(*parts))


def _filesystem(spec: Mapping[str, Any]) -> Findings:
    kind = spec.get("type", "none")
    if kind not in ("none", "xfs", "ext4"):
        yield f"unsupported filesystem type: {kind}"
    elif spec.get("projectQuotaSupport") and kind == "ext4":
        yield "project quota support is only available for xfs filesystem"


def _raw_volume(document: Document) -> Findings:
    parts = (_volume_name(document), _provisioning(document, required=True), _encryption(document))
    yield from _joined(chain(*parts))


def _existing_volume(document: Document) -> Findings:
    yield from _joined(chain(_volume_name(document, bounded=False), _volume_selector(document)))


def _volume_selector(document: Document) -> Findings:
    match = dig(document, "discovery", "volumeSelector", "match")
    if not match:
        yield "volume selector is required"
    elif (wrong := config_cel.fault_of(match, config_cel.VOLUME)) is not None:
        yield f"volume selector is invalid: {wrong}"


def _zswap(document: Document) -> Findings:
    percent = document.get("maxPoolPercent")
    if percent is not None and not 0 <= percent <= 100:
        yield "maxPoolPercent must be between 0 and 100"


# --- the network and what watches -----------------------------------------------------------------------------------


def _network_rule(document: Document) -> Findings:
    yield from _named(document)
    ports = sorted(dig(document, "portSelector", "ports") or [])
    if not ports:
        yield "portSelector.ports is required"
    for number, (low, high) in enumerate(ports):
        if low > high:
            yield f"invalid port range: {low}-{high}"
        elif number and low <= ports[number - 1][1]:
            before = ports[number - 1]
            yield f"invalid port range: {low}-{high}, overlaps with {before[0]}-{before[1]}"
    for rule in document.get("ingress") or []:
        if not rule.get("subnet"):
            yield "invalid subnet: invalid Prefix"


def _target(document: Document, key: str, schemes: tuple[str, ...]) -> Findings:
    if not document.get(key):
        yield f"{key} is required"
        return
    url = urlsplit(document[key])
    if url.scheme not in schemes:
        yield f"{key} scheme must be " + " or ".join(f"{scheme}://" for scheme in schemes)
    elif url.path not in ("", "/"):
        yield f"{key} path must be empty"


def _kernel_log(document: Document) -> Findings:
    yield from _named(document)
    yield from _target(document, "url", ("tcp", "udp"))


def _event_sink(document: Document) -> Findings:
    if not contains_port(document.get("endpoint", "")):
        yield f"event sink endpoint: address {document.get('endpoint', '')}: missing port in address"


def contains_port(address: str) -> bool:
    """As Go's net.SplitHostPort: the last colon ends the host, which has none itself unless in brackets."""
    host, colon, _ = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    return bool(colon) and (bracketed or not re.search(r"[:\[\]]", host))


def _extension_service(document: Document) -> Findings:
    name, service_files = document.get("name", ""), document.get("configFiles") or []
    if not name:
        yield "name is required"
    if not service_files and not document.get("environment"):
        yield f'no config files found for extension "{name}"'
    for file in service_files:
        if not file.get("content"):
            yield f'extension content is required for extension "{name}"'
        if not file.get("mountPath"):
            yield f'extension mount path is required for extension "{name}"'


def _watchdog(document: Document) -> Findings:
    if not document.get("device"):
        yield "watchdog device: empty value"
    seconds = scalars.duration_s(document.get("timeout", "0"))
    if seconds and seconds < 10:
        yield "watchdog timeout: minimum value is 10s"


_CHECKS: dict[str, Callable[[Document], Findings]] = {
    "EthernetConfig": _named,
    "EventSinkConfig": _event_sink,
    "ExistingVolumeConfig": _existing_volume,
    "ExtensionServiceConfig": lambda document: _first(_extension_service(document)),
    "KmsgLogConfig": lambda document: _first(_kernel_log(document)),
    "NetworkRuleConfig": lambda document: _first(_network_rule(document)),
    "RawVolumeConfig": _raw_volume,
    "SideroLinkConfig": lambda document: _target(document, "apiUrl", ("https", "grpc")),
    "SwapVolumeConfig": _raw_volume,
    "UserVolumeConfig": _user_volume,
    "VolumeConfig": _system_volume,
    "WatchdogTimerConfig": lambda document: _first(_watchdog(document)),
    "ZswapConfig": _zswap,
}
