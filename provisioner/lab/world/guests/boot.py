"""From power to a running system: firmware, kernel, then maintenance, halt, or the services of a configured machine.

Sequences and their tasks are those of Talos' internal/app/machined/pkg/runtime/v1alpha1/v1alpha1_sequencer.go and _sequencer_tasks.go.
"""

from __future__ import annotations

from collections.abc import Callable

from provisioner.lab.world.guests import addressing, clusters, firmware, services, times
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.guests.events import phase, sequence, task
from provisioner.lab.world.guests.machine import Machine
from provisioner.lab.world.guests.process import Steps, UntilWoken
from provisioner.lab.world.state import Medium

Next = Callable[[Machine], Steps]


def cold(machine: Machine) -> Steps:
    """The firmware's way: whatever the boot order finds."""
    found = yield from firmware.walk(machine.kernel, machine.hardware, machine.screen)
    if found is None:
        return
    if found.medium == "other":
        yield from _other_system(machine)
    else:
        yield from _talos(machine, "iso" if found.medium == "iso" else "disk", found.version)


def by_kexec(machine: Machine) -> Steps:
    """Firmware, boot order and DVD are bypassed: the kernel just written to the disk starts."""
    system = machine.system
    if (
        system is None
        or machine.hardware.secure_boot
        or machine.kernel.injected("kexec-fails", machine.name) is not None
    ):
        yield from cold(machine)
    else:
        yield times.KEXEC.draw(machine.kernel)
        yield from _talos(machine, "disk", system.version)


def restart(machine: Machine, how: Next) -> None:
    """All that ran is gone; the machine starts again."""
    machine.stop_all()
    clusters.changed(machine.environment)
    machine.run("boot", how(machine))


def fail(machine: Machine, name: str, error: str) -> Steps:
    """A sequence that fails is fatal: the machine says so and reboots ten seconds later, by its firmware."""
    machine.event(sequence(name, "NOOP", error))
    machine.say(f"[talos] {name} failed: {error}; rebooting in 10 seconds")
    machine.stage("rebooting")
    yield times.REBOOT_AFTER_FAILURE
    restart(machine, cold)


def _talos(machine: Machine, booted_from: Medium, version: str) -> Steps:
    """Sequence `initialize`."""
    yield times.KERNEL.draw(machine.kernel)
    machine.begin(booted_from, version)
    machine.event(sequence("initialize", "START"))
    machine.stage("booting")
    machine.service("machined", "Running", "Service started", healthy=True)
    system = machine.system
    if booted_from == "disk" and system is not None and system.config:
        machine.take_config(MachineConfig(system.config))
    machine.run("network", addressing.bring_up(machine))
    yield times.INITIALIZE.draw(machine.kernel)
    if booted_from == "iso" and system is not None:
        yield from _halted(machine)
    elif machine.config is not None:
        machine.event(sequence("initialize", "STOP"))
        yield from configured(machine)
    else:
        yield from _maintenance(machine)


def _maintenance(machine: Machine) -> Steps:
    """Waits for a config, without limit. A new key every twelve hours, and whenever address or time change."""
    talos = machine.talos
    machine.event(phase("config", "START"))
    machine.event(task("runningMaintenance", "START"))
    talos.api = "maintenance"
    talos.key_generation += 1
    machine.stage("maintenance")
    machine.note("maintenance")
    while True:
        yield times.KEY_RENEWAL
        talos.key_generation += 1
        machine.changed()


def _halted(machine: Machine) -> Steps:
    """`talos.halt_if_installed`: nothing listens, the address answers, until the boot's time-out."""
    machine.talos.halted = True
    machine.note("halted")
    machine.event(phase("haltIfInstalled", "START"))
    until = machine.kernel.now() + times.BOOT_TIMEOUT
    while machine.kernel.now() < until:
        machine.say(
            "[talos] Talos is already installed to disk but booted from another media; please reboot from the disk"
        )
        yield times.HALT_MESSAGE_EVERY
    yield from fail(machine, "initialize", "halted: Talos is installed, but another medium was booted")


def configured(machine: Machine) -> Steps:
    """Sequence `boot`: all services must come up within 70 minutes, etcd of a control plane included."""
    kernel = machine.kernel
    machine.event(sequence("boot", "START"))
    machine.event(phase("startEverything", "START"))
    machine.run("services", services.start(machine))
    until = kernel.now() + times.BOOT_TIMEOUT
    while down := machine.services_down():
        if kernel.now() >= until:
            yield from fail(machine, "boot", "; ".join(down))
            return
        yield UntilWoken(at_most_s=until - kernel.now())
    machine.event(phase("startEverything", "STOP"))
    machine.event(sequence("boot", "STOP"))
    machine.stage("running")
    machine.note("running")


def _other_system(machine: Machine) -> Steps:
    """A Linux or Windows of another owner: it runs, has an address and integration services."""
    yield times.OTHER_SYSTEM.draw(machine.kernel)
    machine.other_system = True
    machine.screen = ["login:"]
    machine.changed()
    while not machine.hardware.lan_up():
        yield times.LINK_CHECK.draw(machine.kernel)
    machine.other_address = addressing.lease(machine.kernel, machine.hardware)
    machine.changed()
