"""What Talos checks of the documents with a kind: volumes, firewall rules, sinks of logs and events, services of extensions.

Source: the Validate methods of the documents in Talos' machinery, 1.11, and its container for what they say together.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from provisioner.talos.document import at, host_and_port, legacy_of, split
from provisioner.talos.schema import Document, Problem, document_id
from provisioner.talos.schema.rules import parse_size

SYSTEM_VOLUMES = ("STATE", "EPHEMERAL", "IMAGECACHE")
_LONGEST_VOLUME = 34
"""Letters of a partition's label, without the prefix that Talos puts before it."""
_LEAST_WATCHDOG_NS = 10 * 10**9
_NAME = re.compile(r"[A-Za-z0-9-]*")

_DISK_FIELDS = frozenset(
    [
        "size",
        "io_size",
        "sector_size",
        "readonly",
        "model",
        "serial",
        "modalias",
        "wwid",
        "bus_path",
        "sub_system",
        "transport",
        "rotational",
        "cdrom",
        "dev_path",
        "pretty_size",
        "secondary_disks",
        "uuid",
        "symlinks",
    ]
)
_VOLUME_FIELDS = frozenset(
    [
        "size",
        "sector_size",
        "io_size",
        "name",
        "uuid",
        "label",
        "block_size",
        "filesystem_block_size",
        "probed_size",
        "partition_uuid",
        "partition_type",
        "partition_label",
        "partition_index",
        "type",
        "device_path",
        "parent",
        "dev_path",
        "parent_dev_path",
        "pretty_size",
    ]
)


def check_documents(documents: Sequence[Document]) -> Iterator[Problem]:
    """The documents with a kind, one by one and together."""
    seen: set[tuple[str, str]] = set()
    for document in documents:
        _, kind, name = who = document_id(document)
        if not kind:
            continue
        for problem in _CHECKS.get(kind, _nothing)(document):
            yield replace(problem, document=who)
        other = {"UserVolumeConfig": "ExistingVolumeConfig", "ExistingVolumeConfig": "UserVolumeConfig"}.get(kind)
        if other and (other, name) in seen:
            yield Problem("name", f"there is a {other} with this name", document=who)
        seen.add((kind, name))
    legacy = legacy_of(documents) or {}
    for document in documents:
        label = str(document.get("name") or "")
        if document.get("kind") != "VolumeConfig" or label not in ("STATE", "EPHEMERAL"):
            continue
        if document.get("encryption") and at(legacy, "machine", "systemDiskEncryption", label.lower()):
            path = "encryption"
            yield Problem(path, "machine.systemDiskEncryption sets it too", document=document_id(document))


def _nothing(_document: Mapping[str, Any]) -> Iterator[Problem]:
    return iter(())


def _volume(document: Mapping[str, Any]) -> Iterator[Problem]:
    name = document.get("name") or ""
    if name not in SYSTEM_VOLUMES:
        yield Problem("name", f"must be one of {', '.join(SYSTEM_VOLUMES)}; a volume of your own is a UserVolumeConfig")
        return
    if name == "STATE":
        if document.get("provisioning"):
            yield Problem("provisioning", "cannot be chosen for STATE")
        for i, key in enumerate(at(document, "encryption", "keys") or ()):
            if key.get("lockToState"):
                yield Problem(f"encryption.keys[{i}].lockToState", "STATE cannot be locked to itself")
    yield from _provisioning(document, required=False)
    yield from _encryption(document)


def _user_volume(document: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _raw_volume(document)
    kind = at(document, "filesystem", "type") or "none"
    if kind not in ("none", "xfs", "ext4"):
        yield Problem("filesystem.type", "must be xfs or ext4")
    elif at(document, "filesystem", "projectQuotaSupport") and kind == "ext4":
        yield Problem("filesystem.projectQuotaSupport", "needs xfs")


def _raw_volume(document: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _volume_name(document, longest=_LONGEST_VOLUME)
    yield from _provisioning(document, required=True)
    yield from _encryption(document)


def _existing_volume(document: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _volume_name(document, longest=None)
    match = at(document, "discovery", "volumeSelector", "match")
    if not match:
        yield Problem("discovery.volumeSelector.match", "is required")
    elif problem := cel_problem(match, {"volume": _VOLUME_FIELDS, "disk": _DISK_FIELDS}):
        yield Problem("discovery.volumeSelector.match", problem)


def _volume_name(document: Mapping[str, Any], *, longest: int | None) -> Iterator[Problem]:
    name = document.get("name") or ""
    if not name:
        yield Problem("name", "is required")
    elif longest and len(name.encode()) > longest:
        yield Problem("name", f"must have at most {longest} characters")
    if not _NAME.fullmatch(name):
        yield Problem("name", "must consist of ASCII letters, digits and hyphens")


def _provisioning(document: Mapping[str, Any], *, required: bool) -> Iterator[Problem]:
    given = document.get("provisioning") or {}
    match = at(given, "diskSelector", "match")
    if match:
        if problem := cel_problem(match, {"disk": _DISK_FIELDS, "system_disk": frozenset(), "glob": frozenset()}):
            yield Problem("provisioning.diskSelector.match", problem)
    elif required:
        yield Problem("provisioning.diskSelector.match", "is required")
    least, most = given.get("minSize"), given.get("maxSize")
    if least and most and parse_size(least) > parse_size(most):
        yield Problem("provisioning.minSize", "is larger than maxSize")
    if required and not least and not most:
        yield Problem("provisioning", "needs minSize or maxSize")


def _encryption(document: Mapping[str, Any]) -> Iterator[Problem]:
    given = document.get("encryption") or {}
    provider, keys = given.get("provider") or "none", given.get("keys") or ()
    if provider == "none" and not keys:
        return
    if provider != "luks2":
        yield Problem("encryption.provider", "must be luks2")
    yield from check_keys("encryption", keys)


def check_keys(path: str, keys: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """The keys of an encrypted volume."""
    if not keys:
        yield Problem(f"{path}.keys", "are required")
    slots: set[int] = set()
    for i, key in enumerate(keys):
        slot = key.get("slot") or 0
        if slot in slots:
            yield Problem(f"{path}.keys[{i}].slot", f"{slot} is used twice")
        slots.add(slot)
        if not any(key.get(kind) is not None for kind in ("static", "nodeID", "kms", "tpm")):
            yield Problem(f"{path}.keys[{i}]", "needs static, nodeID, kms or tpm")


def _zswap(document: Mapping[str, Any]) -> Iterator[Problem]:
    if not 0 <= (document.get("maxPoolPercent") or 0) <= 100:
        yield Problem("maxPoolPercent", "must be from 0 to 100")


def _named(document: Mapping[str, Any]) -> Iterator[Problem]:
    if not document.get("name"):
        yield Problem("name", "is required")


def _event_sink(document: Mapping[str, Any]) -> Iterator[Problem]:
    if not host_and_port(document.get("endpoint") or ""):
        yield Problem("endpoint", "must be a host and a port, as 10.0.0.1:3247")


def _kmsg_log(document: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _named(document)
    url = split(document.get("url") or "")
    if not document.get("url") or url is None:
        yield Problem("url", "is required")
    elif url.scheme not in ("tcp", "udp"):
        yield Problem("url", "must begin with tcp:// or udp://")
    elif url.path not in ("", "/"):
        yield Problem("url", "must have no path")
    elif url.port is None:
        yield Problem("url", "needs a port")


def _watchdog(document: Mapping[str, Any]) -> Iterator[Problem]:
    if not document.get("device"):
        yield Problem("device", "is required")
    if document.get("timeout") and document["timeout"] < _LEAST_WATCHDOG_NS:
        yield Problem("timeout", "must be at least 10s")


def _extension_service(document: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _named(document)
    files = document.get("configFiles") or ()
    if not files and not document.get("environment"):
        yield Problem("", "needs configFiles or environment")
    for i, file in enumerate(files):
        for key in ("content", "mountPath"):
            if not file.get(key):
                yield Problem(f"configFiles[{i}].{key}", "is required")


def _siderolink(document: Mapping[str, Any]) -> Iterator[Problem]:
    url = split(document.get("apiUrl") or "")
    if not document.get("apiUrl") or url is None:
        yield Problem("apiUrl", "is required")
    elif url.scheme not in ("https", "grpc"):
        yield Problem("apiUrl", "must begin with https:// or grpc://")
    elif url.path not in ("", "/"):
        yield Problem("apiUrl", "must have no path")


def _rule(document: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _named(document)
    selector = document.get("portSelector") or {}
    ports = selector.get("ports") or ()
    if not ports:
        yield Problem("portSelector.ports", "is required")
    if not selector.get("protocol"):
        yield Problem("portSelector.protocol", "is required: tcp, udp, icmp or icmpv6")
    last = -1
    for low, high in sorted(ports):
        if low > high:
            yield Problem("portSelector.ports", f"{low}-{high} ends before it begins")
        elif low <= last:
            yield Problem("portSelector.ports", f"{low}-{high} overlaps another range")
        last = max(last, high)
    for i, source in enumerate(document.get("ingress") or ()):
        if not source.get("subnet"):
            yield Problem(f"ingress[{i}].subnet", "is required")


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Problem]]] = {
    "EthernetConfig": _named,
    "EventSinkConfig": _event_sink,
    "ExistingVolumeConfig": _existing_volume,
    "ExtensionServiceConfig": _extension_service,
    "KmsgLogConfig": _kmsg_log,
    "NetworkRuleConfig": _rule,
    "RawVolumeConfig": _raw_volume,
    "SideroLinkConfig": _siderolink,
    "SwapVolumeConfig": _raw_volume,
    "UserVolumeConfig": _user_volume,
    "VolumeConfig": _volume,
    "WatchdogTimerConfig": _watchdog,
    "ZswapConfig": _zswap,
}


# --- expressions ------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>[rR]?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
        |(?P<number>0x[0-9a-fA-F]+u?|[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?u?)
        |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
        |(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}])
    )""",
    re.VERBOSE,
)
_UNITS = frozenset(["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "kB", "MB", "GB", "TB", "PB", "EB"])
_BUILT_IN = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "size",
        "string",
        "int",
        "uint",
        "double",
        "bool",
        "bytes",
        "type",
        "duration",
        "timestamp",
        "has",
        "all",
        "exists",
        "exists_one",
        "map",
        "filter",
        "matches",
        "startsWith",
        "endsWith",
        "contains",
        "dyn",
    ]
)


def cel_problem(expression: str, variables: Mapping[str, frozenset[str]]) -> str:
    """What is surely wrong with a CEL expression: signs and brackets, names that are none of its variables, fields that they lack.

    Whether types fit is left to the machine's dry run.
    """
    tokens: list[str] = []
    position, text = 0, expression.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found:
            return "is not a CEL expression: unexpected quote or sign"
        tokens.append((found["text"] and "''") or found[0].strip())
        position = found.end()
    opened: list[str] = []
    for token in tokens:
        if token in ("(", "[", "{"):
            opened.append({"(": ")", "[": "]", "{": "}"}[token])
        elif token in (")", "]", "}") and (not opened or opened.pop() != token):
            return f"is not a CEL expression: unmatched {token}"
    if opened:
        return f"is not a CEL expression: missing {opened[-1]}"
    for left, right in itertools.pairwise(tokens):
        if _is_operand(left) and _is_operand(right):
            return f"is not a CEL expression: missing operator before {right}"
    known = variables.keys() | _UNITS | _BUILT_IN
    bound = {tokens[i + 2] for i, token in enumerate(tokens[:-2]) if token in _MACROS and tokens[i + 1] == "("}
    for i, token in enumerate(tokens):
        if not re.match(r"[A-Za-z_]", token) or token in bound:
            continue
        if i == 0 or tokens[i - 1] != ".":
            if token not in known:
                return f"unknown name {token!r}; a string needs quotes"
            continue
        owner = tokens[i - 2] if i == 2 or (i > 2 and tokens[i - 3] != ".") else ""
        if variables.get(owner) and token not in variables[owner] and token not in _BUILT_IN:
            return f"{owner} has no field {token!r}"
    return ""


def _is_operand(word: str) -> bool:
    return word == "''" or (word != "in" and re.match(r"[A-Za-z0-9_.][A-Za-z0-9_]|[A-Za-z0-9_]$", word) is not None)


_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
"""They bind a name of their own: `list.exists(name, ...)`."""
