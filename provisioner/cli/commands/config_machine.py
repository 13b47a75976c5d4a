"""`provision config machine`."""

import sys
from dataclasses import dataclass, field
from typing import Annotated

import typer

from provisioner.cli.options import ConsoleOptions, command_of
from provisioner.errors import Fault
from provisioner.faults import Exit


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """What `config machine` takes."""

    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="Name or path of a cluster file.")] = field()
    machine: Annotated[str, typer.Argument(metavar="MACHINE", help="Name of a machine of that cluster.")] = field()
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Print keys and tokens too.")] = False


@command_of(MachineOptions)
def machine(_terminal: ConsoleOptions, options: MachineOptions) -> int:
    """Print the machine config that up would send to a machine, without its secrets.

    provision config machine home home-worker-1

    provision config machine home home-cp-1 --show-secrets
    """
    from provisioner.cli.loading import load, machine_config
    from provisioner.views.machine_config import without_secrets

    settings, loaded = load(options.cluster)
    cluster = loaded.cluster
    names = [each.name for each in cluster.machines]
    if options.machine not in names:
        raise Fault(
            "P-RUN-UNKNOWN",
            f"{cluster.name} has no machine {options.machine}",
            expected="a machine of the cluster file",
            seen=(f"there are {', '.join(names)}",),
        )
    text = machine_config(settings, cluster, cluster.machine(options.machine)).decode()
    sys.stdout.write(text if options.show_secrets else without_secrets(text))
    return Exit.DONE
