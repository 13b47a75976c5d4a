"""Which disk a config means."""

from __future__ import annotations

import operator
import re
from typing import Any

from provisioner.lab.world.guests import scalars
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.guests.hardware import Disk, Hardware

MODEL = "Virtual Disk"
_COMPARED = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "": operator.eq,
    "==": operator.eq,
}


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
    sign, wanted = scalars.size_match(text)
    return bool(_COMPARED[sign](size, scalars.size(wanted)))
