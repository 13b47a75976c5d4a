"""`provision console`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from provisioner.cli.json_output import print_json
from provisioner.cli.options import ClusterOptions, ConsoleOptions, command_of
from provisioner.faults import Exit
from provisioner.views.console import line

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.operations.machine import Located
    from provisioner.ports import Ports


@dataclass(frozen=True, kw_only=True)
class Options(ClusterOptions):
    """What `console` takes."""

    cluster: Annotated[
        str, typer.Argument(metavar="CLUSTER", show_default=False, help="Name or path of a cluster file.")
    ]
    machine: Annotated[
        str, typer.Argument(metavar="MACHINE", show_default=False, help="Name of a machine, or the end of it: cp-1.")
    ]


@command_of(Options)
def console(terminal: ConsoleOptions, options: Options) -> int:
    """Save a picture of a machine's screen, and tell what the machine says.

    provision console home cp-1
    """
    from provisioner.cli.loading import open_cluster, read
    from provisioner.operations.machine import named, picture_of

    context = open_cluster(options, start_lab=False)
    machine = named(context.cluster, options.machine)

    async def look(ports: "Ports") -> tuple["Located", "Path"]:
        return await picture_of(context.cluster, ports, machine)

    found, path = read(context, terminal, look, calls_from=1)
    if options.json:
        print_json({**found.to_json(), "schema": "provision/console/1", "picture": str(path)})
    else:
        terminal.print([line(found.words), line(str(path))])
    return Exit.DONE
