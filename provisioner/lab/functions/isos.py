"""Mount-TalosIso and Dismount-TalosIso: what is in a VM's DVD drives. The drives stay."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.lab.functions.call import Arguments, Call, Result, compact, refuse
from provisioner.lab.functions.vms_get import drive_rows, vm_again, vm_result
from provisioner.lab.world.storage import key
from provisioner.lab.world.vmms import VmView


def mount_iso(call: Call, arguments: Arguments) -> Iterator[Result]:
    path = arguments["Path"]

    def work(vm_id: str) -> Iterator[Result]:
        view = call.vm(vm_id)
        if call.world.storage.find(path) is None:
            raise refuse("VMIsoNotFound", "ObjectNotFound", f"There is no ISO '{path}'.", path)
        if call.what_if:
            yield _forecast(call, view, path)
            return
        yield vm_again(call, view.id, changed=insert_iso(call, view, path))

    yield from call.each(arguments["Id"], work)


def insert_iso(call: Call, view: VmView, path: str) -> bool:
    """Puts an ISO into the first DVD drive, made at SCSI 0:1 where there is none. Tells whether that changed anything."""
    drives = view.vm.dvd_drives
    if any(drive.path and key(drive.path) == key(path) for drive in drives):
        return False
    if drives:
        first = drives[0]
        call.hyperv.set_dvd(view.id, path, number=first.controller_number, location=first.controller_location)
    else:
        call.hyperv.add_dvd(view.id, path, number=0, location=1)
    return True


def dismount_iso(call: Call, arguments: Arguments) -> Iterator[Result]:
    def work(vm_id: str) -> Iterator[Result]:
        view = call.vm(vm_id)
        full = any(drive.path for drive in view.vm.dvd_drives)
        if call.what_if:
            yield _forecast(call, view, "")
            return
        if full:
            call.hyperv.set_dvd(view.id, "")
        yield vm_again(call, view.id, changed=full)

    yield from call.each(arguments["Id"], work)


def _forecast(call: Call, view: VmView, path: str) -> Result:
    """A VM as it is, but with this ISO in its first DVD drive, or with all of them empty."""
    rows = drive_rows(call, view)
    dvds = [row for row in rows if row["Kind"] == "dvd"]
    if path and not dvds:
        rows.append({"Kind": "dvd", "Path": path, "ControllerNumber": 0, "ControllerLocation": 1, "SizeBytes": 0})
    for row in dvds[:1] if path else dvds:
        row["Path"] = path
    return {**vm_result(call, view, changed=False), "Drives": compact(rows)}
