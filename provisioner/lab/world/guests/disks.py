"""Which disk a config means."""

from __future__ import annotations

import re
from typing import Any

from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.guests.hardware import Disk, Hardware

MODEL = "Virtual Disk"
_UNITS = {
    "": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_SIZE = re.compile(r"^\s*(<=|>=|<|>|==)?\s*([0-9.]+)\s*([A-Za-z]*)\s*$")


def install_disk(hardware: Hardware, config: MachineConfig) -> Disk | None:
    """The disk to install to, or None if the config names one that is not there. A selector goes before a name."""
    selector = config.get("machine", "install", "diskSelector")
    if selector:
        return next((disk for disk in hardware.disks() if _matches(disk, selector)), None)
    wanted = str(config.get("machine", "install", "disk") or "")
    return next((disk for disk in hardware.disks() if wanted == f"/dev/{disk.device}"), None)


def _matches(disk: Disk, selector: dict[str, Any]) -> bool:
    facts = {"name": f"/dev/{disk.device}", "model": MODEL, "busPath": disk.bus_path, "type": "hdd"}
    for key, wanted in selector.items():
        if key == "size":
            if not _size_matches(disk.vhd.size_bytes, str(wanted)):
                return False
        elif not _glob(str(wanted), facts.get(key, "")):
            return False
    return True


def _glob(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None


def _size_matches(size: int, text: str) -> bool:
    found = _SIZE.match(text)
    if found is None or found[3].upper() not in _UNITS:
        return False
    limit = float(found[2]) * _UNITS[found[3].upper()]
    operator = found[1] or "=="
    return {"<=": size <= limit, ">=": size >= limit, "<": size < limit, ">": size > limit, "==": size == limit}[
        operator
    ]
