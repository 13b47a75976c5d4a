"""Names, marks and MAC addresses that are computed, so that they stay the same over rebuilds."""

from __future__ import annotations

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
