"""Mount-TalosIso and Dismount-TalosIso: what is in a VM's DVD drives. The drives stay."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.lab.functions.call import Arguments, Call, Result, refuse
from provisioner.lab.functions.vms_get import vm_again
from provisioner.lab.world.hyperv.service import VmView
from provisioner.lab.world.storage import key


def mount_iso(call: Call, arguments: Arguments) -> Iterator[Result]:
    path = arguments["Path"]

    def work(vm_id: str) -> Iterator[Result]:
        view = call.vm(vm_id)
        if call.storage.find(path) is None:
            raise refuse("VMIsoNotFound", "ObjectNotFound", f"There is no ISO '{path}'.", path)
        if not call.what_if:
            yield vm_again(call, view.id, changed=insert_iso(call, view, path))

    yield from call.each(arguments["Id"], work)


def insert_iso(call: Call, view: VmView, path: str) -> bool:
    """Puts an ISO into the first DVD drive, made at SCSI 0:1 where there is none. Tells whether that changed anything."""
    drives = view.vm.dvd_drives
    if any(drive.path and key(drive.path) == key(path) for drive in drives):
        return False
    if drives:
        first = drives[0]
        call.hyperv.disks.set_dvd(view.id, path, number=first.controller_number, location=first.controller_location)
    else:
        call.hyperv.disks.add_dvd(view.id, path, number=0, location=1)
    return True


def dismount_iso(call: Call, arguments: Arguments) -> Iterator[Result]:
    def work(vm_id: str) -> Iterator[Result]:
        view = call.vm(vm_id)
        full = any(drive.path for drive in view.vm.dvd_drives)
        if full and call.what_if:
            return
        if full:
            call.hyperv.disks.set_dvd(view.id, "")
        yield vm_again(call, view.id, changed=full)

    yield from call.each(arguments["Id"], work)
