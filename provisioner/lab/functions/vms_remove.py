"""Remove-TalosVM: the VM, its disks and its folder, and nothing that is not ours."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.lab.functions.call import Arguments, Call, Result, bare_id, by_id, cluster_of, refuse
from provisioner.lab.functions.folders import LOCKED_BOUND_S, delete_folder, marked_folders, users_of
from provisioner.lab.functions.vms_get import folder_mark, mark_of, vm_result
from provisioner.lab.world.hyperv.service import VmView
from provisioner.lab.world.storage import key


def remove_vm(call: Call, arguments: Arguments) -> Iterator[Result]:
    cluster, keep = arguments["ClusterId"], arguments["KeepMark"]

    def work(vm_id: str) -> Iterator[Result]:
        vms = call.vms()
        view = by_id(vms, vm_id)
        if view is None:
            for folder in _left_folders(call, vms, bare_id(vm_id), cluster):
                if not call.what_if:
                    _delete_files(call, bare_id(vm_id), cluster, folder, [], keep_record=keep)
            return
        if cluster_of(mark_of(call, view)) != cluster:
            text = f"The VM '{view.name}' does not bear a mark of the cluster '{cluster}'."
            raise refuse("VMNotOurs", "ResourceExists", text, vm_id)
        if not call.what_if:
            result = vm_result(call, view, changed=True)
            if view.vm.state != "Off":
                call.hyperv.power.turn_off(view.id)
            call.hyperv.vms.remove_vm(view.id)
            disks = [drive.path for drive in view.vm.hard_drives]
            _delete_files(call, view.id, cluster, view.vm.path, disks, keep_record=keep)
            for folder in [] if keep else _left_folders(call, vms, view.id, cluster):  # its storage was moved
                _delete_files(call, view.id, cluster, folder, [], keep_record=False)
            yield {**result, "State": "Off", "Heartbeat": "", "UptimeSeconds": 0}

    yield from call.each(arguments["Id"], work)


def _delete_files(call: Call, vm_id: str, cluster: str, folder: str, disks: list[str], *, keep_record: bool) -> None:
    """The whole folder where its record bears our mark and no other VM is in it; else the VM's own disks that lie in it."""
    others = [view for view in call.hyperv.vms.get_vms() if view.id != vm_id]
    if not users_of(others, folder) and cluster_of(folder_mark(call, folder, vm_id)) == cluster:
        gone = delete_folder(call, folder, LOCKED_BOUND_S, keep_record=keep_record)
    else:
        inside, used = key(folder) + "\\", {key(drive.path) for view in others for drive in view.vm.hard_drives}
        own = [disk for disk in disks if key(disk).startswith(inside) and key(disk) not in used]
        gone = all([delete_folder(call, disk, LOCKED_BOUND_S) for disk in own])  # each is tried  # noqa: C419
    if not gone:
        text = f"The VM is removed, but files in '{folder}' are in use."
        raise refuse("VMFilesLocked", "ResourceBusy", text, folder)


def _left_folders(call: Call, vms: list[VmView], vm_id: str, cluster: str) -> list[str]:
    """Folders that a VM left which is gone: beside those of other VMs, and in the host's own folder for virtual disks."""
    return [
        folder["Path"]
        for folder in marked_folders(call, vms)
        if folder["VMId"] == vm_id and cluster_of(folder["Mark"]) == cluster
    ]
