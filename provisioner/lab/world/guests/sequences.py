"""What a user asks of a configured machine: bootstrap, a changed config, reboot, shutdown, reset."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from provisioner.lab.world.guests import boot, clusters, times
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.guests.events import phase, sequence, task
from provisioner.lab.world.guests.machine import Machine
from provisioner.lab.world.guests.process import Steps
from provisioner.lab.world.state import InstalledSystem, Stage


class Refused(Exception):
    """Why Talos refuses a request. `code` is the name of a gRPC status, as FAILED_PRECONDITION."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def check_bootstrap(machine: Machine) -> None:
    """What Talos' v1alpha1_server.go checks, but for the clock, which the server waits for."""
    if not machine.control_plane:
        raise Refused("FAILED_PRECONDITION", "bootstrap can only be performed on a control plane node")
    cri = machine.talos.services.get("cri")
    if cri is None or cri.state != "Running" or "etcd" not in machine.talos.services:
        raise Refused("FAILED_PRECONDITION", "bootstrap is not available yet")
    if clusters.etcd_data(machine) is not None or machine.bootstrap_asked:
        raise Refused("ALREADY_EXISTS", "etcd data directory is not empty")


def bootstrap(machine: Machine) -> None:
    """Starts etcd as the only member of a new cluster. The caller checked."""
    machine.bootstrap_asked = True
    machine.note("bootstrap", f"apid_open/{machine.owner}")
    machine.wake("etcd")


def reboot(machine: Machine, *, powercycle: bool, actor: str = "") -> None:
    machine.run("boot", _reboot(machine, actor, powercycle=powercycle))


def shut_down(machine: Machine, *, actor: str = "") -> None:
    machine.run("boot", _shut_down(machine, actor))


@dataclass(frozen=True, kw_only=True)
class Wiping:
    """What a reset wipes. `labels` empty: the whole system disk, if that is meant at all; user disks by their device."""

    labels: tuple[str, ...] = ()
    system_disk: bool = True
    user_disks: tuple[str, ...] = ()


def reset(machine: Machine, wiping: Wiping, *, graceful: bool, then_reboot: bool, actor: str = "") -> None:
    machine.run("boot", _reset(machine, actor, wiping, graceful=graceful, then_reboot=then_reboot))


def change_config(machine: Machine, config: MachineConfig, *, persist: bool = True, now: bool = True) -> None:
    """Another config for a machine that has one: written, taken at once, or both."""
    if persist and machine.system is not None:
        machine.system.config = config.data
    if now:
        machine.take_config(config)
        machine.environment.kube.config_changed(machine.talos)
        machine.changed()
        clusters.changed(machine.environment)


def try_config(machine: Machine, config: MachineConfig, seconds: float) -> None:
    """Taken at once, not written, and taken back after that time."""
    change_config(machine, config, persist=False)
    machine.run("try", _take_back(machine, seconds))


def new_actor(machine: Machine) -> str:
    return str(uuid.UUID(int=machine.kernel.random.getrandbits(128), version=4))


def _take_back(machine: Machine, seconds: float) -> Steps:
    yield seconds
    if machine.system is not None and machine.system.config:
        change_config(machine, MachineConfig(machine.system.config), persist=False)


def _stop_services(machine: Machine, name: str, stage: Stage, actor: str) -> Steps:
    machine.event(sequence(name, "START"), actor)
    machine.stage(stage, actor)
    machine.event(phase("cleanup", "START"), actor)
    machine.event(task("stopAllServices", "START"), actor)
    yield times.STOP_SERVICES.draw(machine.kernel)
    machine.event(task("stopAllServices", "STOP"), actor)


def _reboot(machine: Machine, actor: str, *, powercycle: bool) -> Steps:
    yield from _stop_services(machine, "reboot", "rebooting", actor)
    machine.note("reboot")
    boot.restart(machine, boot.cold if powercycle else boot.by_kexec)


def _shut_down(machine: Machine, actor: str) -> Steps:
    yield from _stop_services(machine, "shutdown", "shutting down", actor)
    yield times.SHUTDOWN.draw(machine.kernel)
    machine.note("shut_down")
    machine.hardware.powered_off()


def _reset(machine: Machine, actor: str, wiping: Wiping, *, graceful: bool, then_reboot: bool) -> Steps:
    kernel = machine.kernel
    if graceful and machine.control_plane:
        until = kernel.now() + times.LEAVE_WINDOW
        while not clusters.leave(machine):
            if kernel.now() >= until:
                machine.event(sequence("reset", "NOOP", "etcd: failed to leave the cluster"), actor)
                return
            yield 10.0
    yield from _stop_services(machine, "reset", "resetting", actor)
    _wipe(machine, wiping)
    machine.note("reset")
    if then_reboot:
        boot.restart(machine, boot.cold)
    else:
        machine.hardware.powered_off()


def _wipe(machine: Machine, wiping: Wiping) -> None:
    system, labels = machine.system, wiping.labels
    for disk in machine.hardware.disks():
        if system is not None and disk.vhd.system is system:
            if wiping.system_disk and not labels:
                disk.vhd.system = None
            elif wiping.system_disk:
                _wipe_partitions(system, labels)
        elif f"/dev/{disk.device}" in wiping.user_disks:
            disk.vhd.system, disk.vhd.other_system = None, ""
    if wiping.system_disk and (not labels or "EPHEMERAL" in labels):
        machine.environment.kube.forget_disk(machine.owner)


def _wipe_partitions(system: InstalledSystem, labels: tuple[str, ...]) -> None:
    if "STATE" in labels:
        system.config = b""
    if "EPHEMERAL" in labels:
        system.etcd = None
