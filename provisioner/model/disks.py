"""Names of disks as Linux has them: which of them Talos can be installed on."""

from __future__ import annotations

import re

_PATH = re.compile(r"/dev(/[A-Za-z0-9_.:+@-]+)+")
_PARTITION = re.compile(r"(/dev/(?:sd|vd|hd|xvd)[a-z]+)[0-9]+|(/dev/(?:nvme[0-9]+n[0-9]+|mmcblk[0-9]+))p[0-9]+")
_PART_LINK = re.compile(r"(/dev/disk/.+)-part[0-9]+")
_NO_DISK = re.compile(r"/dev/(?:sr|loop|ram|zram|fd|dm-|tty|null|zero)[0-9]*")


def disk_problem(path: str) -> str:
    """Why Talos cannot be installed there; empty for what can be a disk."""
    if not _PATH.fullmatch(path) or "/../" in f"{path}/" or "/./" in f"{path}/":
        return "is no disk as Talos names it"
    if whole_disk(path):
        return "is a partition"
    return "is no disk that can be installed on" if _NO_DISK.fullmatch(path) else ""


def whole_disk(path: str) -> str:
    """The disk of a partition, or that of a bare name; empty where there is none to guess."""
    for pattern in (_PARTITION, _PART_LINK):
        if found := pattern.fullmatch(path):
            return next(part for part in found.groups() if part)
    return f"/dev/{path}" if re.fullmatch(r"[a-z0-9]+", path) and not disk_problem(f"/dev/{path}") else ""
