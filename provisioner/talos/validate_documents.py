"""What Talos checks of the documents with a kind: volumes, firewall rules, sinks of logs and events, services of extensions.

Source: the Validate methods of the documents, https://github.com/siderolabs/talos/tree/v1.11.5/pkg/machinery/config/types, and of
https://github.com/siderolabs/talos/blob/v1.11.5/pkg/machinery/config/container/container.go for what they say together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from provisioner.talos.cel import DISK_FIELDS, VOLUME_FIELDS, cel_problem
from provisioner.talos.document import at, each, legacy_of
from provisioner.talos.field_checks import Check, Rules, host_and_port, one_of, required, url_of
from provisioner.talos.schema import Document, Problem, document_id
from provisioner.talos.schema.rules import parse_size

SYSTEM_VOLUMES = ("STATE", "EPHEMERAL", "IMAGECACHE")
_LONGEST_VOLUME = 34
"""Characters of a partition's label, without the prefix that Talos puts before it."""
_LEAST_WATCHDOG_NS = 10 * 10**9
_NAME = re.compile(r"[A-Za-z0-9-]*")
_KEY_KINDS = ("static", "nodeID", "kms", "tpm")


def check_documents(documents: Sequence[Document]) -> Iterator[Problem]:
    """The documents with a kind, one by one and together."""
    for document in documents:
        for problem in _RULES.get(document_id(document)[1], Rules()).check(document):
            yield replace(problem, document=document_id(document))
    yield from _check_together(documents)


def _check_together(documents: Sequence[Document]) -> Iterator[Problem]:
    other = {"UserVolumeConfig": "ExistingVolumeConfig", "ExistingVolumeConfig": "UserVolumeConfig"}
    encryption = at(legacy_of(documents) or {}, "machine", "systemDiskEncryption") or {}
    seen: set[tuple[str, str]] = set()
    for document in documents:
        _, kind, name = who = document_id(document)
        if kind in other and (other[kind], name) in seen:
            yield Problem("name", f"there is a {other[kind]} with this name", document=who)
        seen.add((kind, name))
        if kind == "VolumeConfig" and document.get("encryption") and encryption.get(name.lower()):
            yield Problem("encryption", "machine.systemDiskEncryption sets it too", document=who)


# --- single values ----------------------------------------------------------------------------------------------------


def _volume_name(longest: int | None) -> Check:
    def check(name: str | None) -> str:
        if not name:
            return "is required"
        if not _NAME.fullmatch(name):
            return "must consist of ASCII letters, digits and hyphens"
        return f"must have at most {longest} characters" if longest and len(name) > longest else ""

    return check


def _volume_match(expression: str | None) -> str:
    if not expression:
        return "is required"
    return cel_problem(expression, {"volume": VOLUME_FIELDS, "disk": DISK_FIELDS})


# --- volumes ----------------------------------------------------------------------------------------------------------


def _system_volume(document: Mapping[str, Any]) -> Iterator[Problem]:
    name = document.get("name") or ""
    if name not in SYSTEM_VOLUMES:
        yield Problem("name", f"must be one of {', '.join(SYSTEM_VOLUMES)}; a volume of your own is a UserVolumeConfig")
        return
    if name == "STATE":
        if document.get("provisioning"):
            yield Problem("provisioning", "cannot be chosen for STATE")
        for path, key in each(document, "encryption.keys[]"):
            if key.get("lockToState"):
                yield Problem(f"{path}.lockToState", "STATE cannot be locked to itself")
    yield from _sizes_and_encryption(document)


def _user_volume(document: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _raw_volume(document)
    filesystem = document.get("filesystem") or {}
    if filesystem.get("projectQuotaSupport") and filesystem.get("type") == "ext4":
        yield Problem("filesystem.projectQuotaSupport", "needs xfs")


def _raw_volume(document: Mapping[str, Any]) -> Iterator[Problem]:
    given = document.get("provisioning") or {}
    if not at(given, "diskSelector", "match"):
        yield Problem("provisioning.diskSelector.match", "is required")
    if not given.get("minSize") and not given.get("maxSize"):
        yield Problem("provisioning", "needs minSize or maxSize")
    yield from _sizes_and_encryption(document)


def _sizes_and_encryption(document: Mapping[str, Any]) -> Iterator[Problem]:
    for path, given in each(document, "provisioning"):
        least, most = given.get("minSize"), given.get("maxSize")
        if least and most and parse_size(least) > parse_size(most):
            yield Problem(f"{path}.minSize", "is larger than maxSize")
    for path, encryption in each(document, "encryption"):
        provider = encryption.get("provider") or "none"
        if provider == "none" and not encryption.get("keys"):
            continue
        if provider != "luks2":
            yield Problem(f"{path}.provider", "must be luks2")
        yield from check_keys(path, encryption)


def check_keys(path: str, encryption: Mapping[str, Any]) -> Iterator[Problem]:
    """The keys of an encrypted volume."""
    if not encryption.get("keys"):
        yield Problem(f"{path}.keys", "are required")
    slots: set[int] = set()
    for inner, key in each(encryption, "keys[]", path):
        slot = key.get("slot") or 0
        if slot in slots:
            yield Problem(f"{inner}.slot", f"{slot} is used twice")
        slots.add(slot)
        if all(key.get(kind) is None for kind in _KEY_KINDS):
            yield Problem(inner, "needs static, nodeID, kms or tpm")


# --- the firewall -----------------------------------------------------------------------------------------------------


def _port_ranges(document: Mapping[str, Any]) -> Iterator[Problem]:
    last = -1
    for low, high in sorted(at(document, "portSelector", "ports") or ()):
        if low > high:
            yield Problem("portSelector.ports", f"{low}-{high} ends before it begins")
        elif low <= last:
            yield Problem("portSelector.ports", f"{low}-{high} overlaps another range")
        last = max(last, high)


_NAMED = {":name": required}
_VOLUME_NAME = {":name": _volume_name(_LONGEST_VOLUME)}
_DISK_VARIABLES = {"disk": DISK_FIELDS, "system_disk": frozenset[str](), "glob": frozenset[str]()}
_DISK_MATCH = {"provisioning.diskSelector.match": lambda expression: cel_problem(expression, _DISK_VARIABLES)}
_RULES: Mapping[str, Rules] = {
    "EthernetConfig": Rules(always=_NAMED),
    "EventSinkConfig": Rules(always={":endpoint": host_and_port}),
    "ExistingVolumeConfig": Rules(
        always={":name": _volume_name(None), ":discovery.volumeSelector.match": _volume_match}
    ),
    "ExtensionServiceConfig": Rules(
        always=_NAMED | {"configFiles[]:content": required, "configFiles[]:mountPath": required},
        needed={"": ("configFiles", "environment")},
    ),
    "KmsgLogConfig": Rules(always=_NAMED | {":url": url_of("tcp", "udp", port=True)}),
    "NetworkRuleConfig": Rules(
        always=_NAMED
        | {
            ":portSelector.ports": required,
            ":portSelector.protocol": lambda value: required(value) and "is required: tcp, udp, icmp or icmpv6",
            "ingress[]:subnet": required,
        },
        others=_port_ranges,
    ),
    "RawVolumeConfig": Rules(given=_DISK_MATCH, always=_VOLUME_NAME, others=_raw_volume),
    "SideroLinkConfig": Rules(always={":apiUrl": url_of("https", "grpc")}),
    "SwapVolumeConfig": Rules(given=_DISK_MATCH, always=_VOLUME_NAME, others=_raw_volume),
    "UserVolumeConfig": Rules(
        given=_DISK_MATCH | {"filesystem.type": one_of("none", "xfs", "ext4")}, always=_VOLUME_NAME, others=_user_volume
    ),
    "VolumeConfig": Rules(given=_DISK_MATCH, others=_system_volume),
    "WatchdogTimerConfig": Rules(
        given={"timeout": lambda ns: "must be at least 10s" if ns < _LEAST_WATCHDOG_NS else ""},
        always={":device": required},
    ),
    "ZswapConfig": Rules(given={"maxPoolPercent": lambda value: "" if 0 <= value <= 100 else "must be from 0 to 100"}),
}
