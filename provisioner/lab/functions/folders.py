"""Get- and Remove-TalosFolder: the folders that were made for VMs, known by the record in them, with their VM or without."""

from __future__ import annotations

import ntpath
import re
from collections.abc import Iterator

from provisioner.lab.functions.call import Arguments, Call, Result, bare_id, cluster_of, find_mark, refuse
from provisioner.lab.functions.vms_get import RECORD, folder_record
from provisioner.lab.world.hyperv.service import VmView
from provisioner.lab.world.storage import FileFault, key

LOCKED_BOUND_S = 30.0
"""A merge or a virus scanner holds files for a while after the VM is gone."""


def get_folder(call: Call, arguments: Arguments) -> Iterator[Result]:
    yield from marked_folders(call, call.vms(), arguments["Path"])


def remove_folder(call: Call, arguments: Arguments) -> Iterator[Result]:
    path, vms = arguments["Path"], call.vms()
    if not call.storage.is_folder(path):
        return
    folder = _result(call, path)
    if folder is None or cluster_of(folder["Mark"]) != arguments["ClusterId"]:
        text = f"The folder '{path}' does not bear a mark of the cluster '{arguments['ClusterId']}'."
        raise refuse("FolderNotOurs", "PermissionDenied", text, path)
    users = users_of(vms, path)
    if users:
        raise refuse("FolderInUse", "ResourceBusy", f"The folder '{path}' is used by {', '.join(users)}.", path)
    if call.what_if:
        return
    if not delete_folder(call, path, LOCKED_BOUND_S):
        raise refuse("VMFilesLocked", "ResourceBusy", f"Files in '{path}' are in use.", path)
    yield {**folder, "Changed": True}


def marked_folders(call: Call, vms: list[VmView], path: str = "") -> Iterator[Result]:
    """Below that path, below the host's own folder for virtual disks, and beside the folders of all VMs."""
    parents = [path, call.world.state.host.disk_folder, *(ntpath.dirname(view.vm.path) for view in vms)]
    for parent in dict.fromkeys(
        key(parent).rstrip("\\") for parent in parents if parent[1:2] == ":"
    ):  # on a drive, not a share
        for child in call.storage.children(parent):
            folder = _result(call, child)
            if folder is not None:
                yield folder


def users_of(vms: list[VmView], folder: str) -> list[str]:
    """Names of the VMs that live in a folder, or have a disk in it."""
    inside = key(folder) + "\\"
    return [
        view.name
        for view in vms
        if any(key(path).startswith(inside) for path in (f"{view.vm.path}\\x", *(d.path for d in view.vm.hard_drives)))
    ]


def delete_folder(call: Call, path: str, bound_s: float, *, keep_record: bool = False) -> bool:
    """Deletes a folder with all in it, its record last or not at all, or a file; tried again each second. Tells whether it is gone."""
    kernel, storage = call.kernel, call.storage
    until = kernel.now() + bound_s
    while storage.exists(path):
        records = {key(ntpath.join(path, RECORD))}
        held = [child for child in storage.children(path) if key(child) not in records and not _deleted(call, child)]
        if not held and (keep_record or _deleted(call, path)):
            return True
        if kernel.now() >= until:
            return False
        kernel.spend(1.0)
    return True


def _deleted(call: Call, path: str) -> bool:
    try:
        call.storage.delete(path, recurse=True)
    except FileFault:
        return False
    return True


def _result(call: Call, path: str) -> Result | None:
    """A folder as a result, or None where it bears no mark."""
    record, file = folder_record(call, path), call.storage.find(ntpath.join(path, RECORD))
    mark = find_mark(str(record.get("mark", "")))
    if not mark or file is None:
        return None
    return {
        "Path": ntpath.dirname(file.path),
        "Mark": mark,
        "VMId": bare_id(str(record.get("vmId", ""))),
        "DiskBytes": sum(
            file.size_bytes
            for file in call.storage.files_below(path)
            if re.search(r"\.a?vhdx?$", file.path, re.IGNORECASE)
        ),
        "Changed": False,
    }
