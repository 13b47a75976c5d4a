"""A cold boot: the firmware walks its list until something boots. A reboot by kexec does not come here."""

from __future__ import annotations

from collections.abc import Generator

from provisioner.lab.world.guests import times
from provisioner.lab.world.guests.hardware import BootOption, Hardware
from provisioner.lab.world.kernel import Kernel

PROMPT = "Hyper-V UEFI: looking for a boot device"


def walk(kernel: Kernel, hardware: Hardware, screen: list[str]) -> Generator[float, None, BootOption | None]:
    """Lets the time pass that the firmware takes, and returns what boots, or None: then the VM runs and nothing is in it.

    What the firmware says goes to `screen`.
    """
    screen[:] = [PROMPT]
    yield times.FIRMWARE.draw(kernel)
    if kernel.injected("vm-never-boots", hardware.name) is not None:
        return None
    again = kernel.injected("boots-iso-again", hardware.name) is not None
    options = hardware.boot_options()
    for option in sorted(options, key=lambda o: o.medium != "iso") if again else options:
        if option.kind == "network":
            screen.append(
                "PXE Network Boot using IPv4 ... no server answered. PXE Network Boot using IPv6 ... none either."
            )
            yield times.NETWORK_BOOT.draw(kernel)
        elif option.medium and hardware.secure_boot and option.medium != "other":
            screen.append(f"{option.entry}: the signed image's hash is not allowed (DB)")
            yield times.EMPTY_DEVICE.draw(kernel)
        elif option.medium == "iso":
            yield times.ISO_LOADER.draw(kernel)
            return option
        elif option.medium:
            yield times.DISK_LOADER.draw(kernel)
            return option
        else:
            screen.append(f"{option.entry}: the boot loader was not found")
            yield times.EMPTY_DEVICE.draw(kernel)
    screen.append("No operating system was loaded. The VM may be configured incorrectly.")
    return None
