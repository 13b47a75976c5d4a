"""Get-TalosConsole: the screen of a running VM."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from provisioner.lab.functions.call import Arguments, Call, Result, refuse


def get_console(call: Call, arguments: Arguments) -> Iterator[Result]:
    vm_id, width, height = arguments["Id"], arguments["Width"], arguments["Height"]
    if not call.caller.administrator:
        text = "To read the screen of a VM takes an administrator of this host."
        raise refuse("NotAdministrator", "PermissionDenied", text, vm_id)
    view = call.vm(vm_id)
    if view.vm.state != "Running":
        raise refuse("VMNotRunning", "InvalidOperation", f"The VM '{view.name}' is {view.vm.state}.", vm_id)
    answer, image = call.hyperv.console.thumbnail(view.id, width, height)
    if answer != 0:
        text = f"Hyper-V gives no picture of '{view.name}': {answer}."
        raise refuse(f"HyperV.{answer}", "InvalidResult", text, vm_id)
    pixels = image[-width * height * 2 :]  # some builds put the total length in front, in four bytes
    yield {
        "Id": view.id,
        "Name": view.name,
        "Width": width,
        "Height": height,
        "Pixels": base64.b64encode(pixels).decode(),
    }
