"""The screen of a VM, as a picture."""

from __future__ import annotations

from pathlib import Path

from provisioner.errors import TransportError
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.operations.machine import Located, locate
from provisioner.ports import Ports
from provisioner.steps.host_faults import fault_of
from provisioner.steps.waiting import bounded

SIZE = (1024, 768)
"""Generation 2 firmware's own resolution; more than the native one is refused."""
BOUND_S = 30.0


async def picture_of(cluster: Cluster, ports: Ports, machine: MachineSpec) -> tuple[Located, Path]:
    """Locates the machine and saves its screen below the cluster's folder `console`. Raises the faults of `locate`, P-HOST-*, and P-VM-STUCK
    for a VM that does not run.
    """
    found = await locate(cluster, ports, machine)
    try:
        path = await save(ports, machine, found.vm.id, ports.store.folder / "console")
    except TransportError as error:
        raise fault_of(error, host=machine.host, machine=machine.name) from error
    return found, path


async def save(ports: Ports, machine: MachineSpec, vm_id: str, folder: Path) -> Path:
    """Takes the picture and writes it into the folder. Raises TransportError, ValueError for pixels that make no picture, P-LOCAL-HOME."""
    width, height = SIZE
    looking = ports.hosts[machine.host].console(vm_id, width=width, height=height)
    screen = await bounded(ports.clock, looking, what=f"screen of {machine.name}", bound_s=BOUND_S)
    return ports.store.save_picture(folder, machine.name, screen)
