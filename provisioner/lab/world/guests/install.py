"""The first config: from maintenance to an installed system (sequence `install` of v1alpha1_sequencer.go)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from provisioner.lab.world.guests import boot, times
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.guests.events import phase, sequence, task
from provisioner.lab.world.guests.hardware import install_disk
from provisioner.lab.world.guests.machine import Machine
from provisioner.lab.world.guests.process import Steps
from provisioner.lab.world.state import InstalledSystem

INSTALLED_BYTES = 1024**3
"""What the installed system takes of a thin disk's volume; images and data come later."""


def accept(machine: Machine, config: MachineConfig) -> None:
    """The maintenance server took the config. A partial one, without v1alpha1 document, leaves the machine in maintenance."""
    if config.v1alpha1 is not None:
        machine.note("config_applied")
        machine.run("boot", _first_config(machine, config))


def _first_config(machine: Machine, config: MachineConfig) -> Steps:
    yield times.CONFIG_TAKEN.draw(machine.kernel)
    machine.talos.api = "closed"
    machine.event(task("runningMaintenance", "STOP"))
    machine.event(phase("config", "STOP"))
    machine.stage("booting")
    machine.event(sequence("initialize", "STOP"))
    system = machine.system
    if system is None:
        yield from _install(machine, config)
    else:
        system.config = config.data
        machine.take_config(config)
        yield from boot.configured(machine)


def _install(machine: Machine, config: MachineConfig) -> Steps:
    kernel = machine.kernel
    machine.event(sequence("install", "START"))
    machine.event(phase("install", "START"))
    machine.stage("installing")
    image = config.install_image
    machine.say(f"[talos] pulling {image}")
    until = kernel.now() + times.INSTALL_RETRY_WINDOW
    yield times.INSTALL_PULL.draw(kernel) + (kernel.injected("install-slow", machine.name) or 0)
    lost = kernel.injected("image-pull-fails", machine.name) is not None
    while lost or not machine.hardware.lan_up() or _is_nowhere(image):
        if kernel.now() >= until:
            yield from boot.fail(machine, "install", f"failed to pull {image}: no such host")
            return
        yield min(10.0, until - kernel.now())
    disk = install_disk(machine.hardware, config)
    if disk is None:
        yield from boot.fail(
            machine, "install", f"no disk {config.get('machine', 'install', 'disk')}: no such file or directory"
        )
        return
    disk.vhd.other_system = ""
    machine.say(f"[talos] wiping and writing /dev/{disk.device}")
    yield times.INSTALL_WRITE.draw(kernel)
    no_room = not machine.hardware.write_disk(disk, INSTALLED_BYTES)
    if no_room or kernel.injected("install-fails", machine.name) is not None:
        yield from boot.fail(machine, "install", f"error writing /dev/{disk.device}: input/output error")
        return
    disk.vhd.system = InstalledSystem(version=_version(image, machine.talos.version), config=config.data)
    machine.hardware.put_efi_entry_first()
    machine.event(phase("install", "STOP"))
    machine.note("install_done")
    machine.event(phase("kexec", "START"))
    machine.stage("rebooting")
    yield times.STOP_SERVICES.draw(kernel)
    boot.restart(machine, boot.by_kexec)


def _version(image: str, running: str) -> str:
    """Talos' version by the installer's tag."""
    found = re.search(r":(v\d+\.\d+\.\d+[-.\w]*)", image)
    return found[1] if found else running


def _is_nowhere(image: str) -> bool:
    """Names that by RFC 2606 never resolve: pulling from there fails in the lab as it does anywhere."""
    host = urlsplit(f"//{image}").hostname or ""
    return host.endswith((".invalid", ".test")) or not image
