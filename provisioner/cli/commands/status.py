"""`provision status`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.cli.json_output import print_json
from provisioner.cli.options import ClusterOptions, ConsoleOptions, ExitCodeOptions, command_of
from provisioner.faults import Exit

if TYPE_CHECKING:
    from provisioner.model.status import StatusReport
    from provisioner.ports import Ports


@dataclass(frozen=True, kw_only=True)
class Options(ExitCodeOptions, ClusterOptions):
    """What `status` takes."""


@command_of(Options)
def status(terminal: ConsoleOptions, options: Options) -> int:
    """Show the cluster as it is, and how it differs from the file. Exits with 4 if not everything could be read.

    provision status home

    provision status home --json
    """
    from provisioner.cli.loading import open_cluster, read

    context = open_cluster(options, start_lab=False)

    async def report_on(ports: "Ports") -> "StatusReport":
        from provisioner.operations.status import status as read_status  # while the host signs us in

        return await read_status(context.cluster, ports)

    report = read(context, terminal, report_on, calls_from=1)
    if options.json:
        print_json(report.to_json())
    else:
        from provisioner.views.status import render_status

        terminal.print(render_status(report, terminal.out))
    if not report.complete:
        return Exit.NOT_READY
    return Exit.PENDING if options.exit_code and (report.drifted or not report.healthy) else Exit.DONE
