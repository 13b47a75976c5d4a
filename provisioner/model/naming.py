"""Names, marks and MAC addresses that are computed, so that they stay the same over rebuilds."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

_MARK = re.compile(r"provision/1 cluster=(?P<cluster>\S+) machine=(?P<machine>[^\n]+)")


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What we write into the Notes of a VM or a switch, one line below whatever the user wrote, to know it as ours.

    The name stands last and takes the rest of the line, so that it may hold anything but a line feed: people name switches.
    """

    cluster_id: str
    machine: str
    """The machine's name; of a switch `switch:` and its name."""

    def __str__(self) -> str:
        return f"provision/1 cluster={self.cluster_id} machine={self.machine}"


def find_mark(notes: str) -> Mark | None:
    """The mark in the Notes of a VM or a switch, or None. Only a whole line counts, and the first that is one."""
    lines = notes.replace("\r\n", "\n").split(
        "\n"
    )  # only these end a line: a name may hold what else Unicode ends one with
    found = next(filter(None, map(_MARK.fullmatch, lines)), None)
    return Mark(cluster_id=found["cluster"], machine=found["machine"]) if found else None


_ID_BYTES = 8


def new_id(random: bytes) -> str:
    """An id for the marks of a new cluster, from at least eight random bytes."""
    return random[:_ID_BYTES].hex()


def id_from_secrets(cluster: str, talos_id: str) -> str:
    """The id that the marks of a cluster bear, from the id that Talos itself keeps in the secrets bundle; empty for an empty one.

    So the bundle alone tells which machines are ours. The name goes into it: a bundle that was copied for a second cluster gives another id.
    """
    if not talos_id:
        return ""
    try:
        known = base64.urlsafe_b64decode(talos_id)
    except ValueError:
        known = b""
    if len(known) < _ID_BYTES:  # one that was typed by hand
        known = hashlib.sha256(talos_id.encode()).digest()
    return _mixed(cluster, known[:_ID_BYTES]).hex()


def talos_id_for(cluster: str, mark_id: str, random: bytes) -> str:
    """An id for Talos from which `id_from_secrets` gives back the id that marks bear already: the switch is marked before there are secrets.

    `random` are 32 bytes, as Talos takes; most of them stay. An id that was not made by `new_id` cannot be put in.
    """
    try:
        known = bytes.fromhex(mark_id)
    except ValueError:
        known = b""
    if len(known) == _ID_BYTES and known.hex() == mark_id:
        random = _mixed(cluster, known) + random[_ID_BYTES:]
    return base64.urlsafe_b64encode(random).decode()


def _mixed(cluster: str, some: bytes) -> bytes:
    """Its own inverse."""
    digest = hashlib.sha256(f"provision/1 cluster {cluster}".encode()).digest()
    return bytes(a ^ b for a, b in zip(some, digest, strict=False))


def computed_mac(cluster: str, machine: str) -> str:
    """A stable MAC address for a machine, as 12 upper-case hex digits (Hyper-V's own form).

    Locally administered and unicast: the second-lowest bit of the first octet set, the lowest clear. That keeps it out of
    Hyper-V's own pool 00-15-5D. Computed from the names, so it can be reserved on the router before the first `up`.
    """
    digest = hashlib.sha256(f"provision/1 {cluster} {machine}".encode()).digest()
    return bytes([(digest[0] & 0xFC) | 0x02, *digest[1:6]]).hex().upper()


def bare_mac(text: str) -> str:
    """Any spelling of a MAC address as 12 upper-case hex digits. Raises ValueError for anything else.

    Hyper-V writes bare digits, Windows' neighbour table hyphens, Talos lower-case colons.
    """
    digits = re.sub(r"[-:.]", "", text).upper()
    if not re.fullmatch(r"[0-9A-F]{12}", digits):
        raise ValueError(f"{text!r} is no MAC address; expected 12 hex digits, as 02-15-5D-00-00-11")
    return digits


def spaced_mac(bare: str, separator: str = "-") -> str:
    """`02155D000011` -> `02-15-5D-00-00-11`."""
    return separator.join(bare[i : i + 2] for i in range(0, 12, 2))


_WINDOWS_DEVICES = re.compile(r"con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]", re.IGNORECASE)


def is_windows_device(name: str) -> bool:
    """Whether a file or folder of that name cannot be: Windows takes it for a device, whatever comes behind a dot.

    Source: https://learn.microsoft.com/windows/win32/fileio/naming-a-file
    """
    return bool(_WINDOWS_DEVICES.fullmatch(name.partition(".")[0].rstrip()))


def kube_context(cluster: str) -> str:
    """The name of a cluster's context, and of its user, in a kubeconfig; Talos calls them so too."""
    return f"admin@{cluster}"
