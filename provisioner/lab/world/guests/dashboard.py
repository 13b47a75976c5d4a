"""What the VM's screen shows: the firmware's words, then Talos' dashboard on the first console (facts/hyperv.md 11.1)."""

from __future__ import annotations

from provisioner.lab.world.guests.machine import Machine

LOG_LINES = 18


def screen(machine: Machine) -> list[str]:
    talos = machine.guest
    if talos is None:
        return list(machine.screen)
    uptime = int(machine.kernel.now() - talos.booted)
    kind = "controlplane" if machine.control_plane else "worker" if machine.config is not None else "unknown"
    size = f"{machine.hardware.cpus} cores, {talos.memory_bytes // 2**20} MiB"
    return [
        f"{talos.hostname or '(no host name)'} ({talos.version}): uptime {uptime // 60}m{uptime % 60}s, {size}",
        f"UUID    {talos.uuid}",
        f"TYPE    {kind}    STAGE {talos.stage}    READY {talos.ready}",
        f"IP      {talos.address or '(none)'}",
        "",
        *(f"{when - talos.booted:9.3f} {line}" for when, _date, line in machine.log[-LOG_LINES:]),
    ]
