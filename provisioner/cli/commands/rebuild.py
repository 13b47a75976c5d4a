"""`provision rebuild`."""

import sys
from typing import TYPE_CHECKING

from provisioner.cli.options import ConsoleOptions, RemoveOptions, command_of

if TYPE_CHECKING:
    from provisioner.model.plan import Plan
    from provisioner.ports import Ports


@command_of(RemoveOptions)
def rebuild(terminal: ConsoleOptions, options: RemoveOptions) -> int:
    """Run down, then up, after checking both as one plan. Keeps switch, ISO, secrets and contexts.

    provision rebuild lab

    provision rebuild home --yes --progress plain
    """
    from provisioner.cli.confirm import confirm, refusal_code, refuse_protected
    from provisioner.cli.json_output import plan_object, print_json
    from provisioner.cli.loading import open_cluster, read
    from provisioner.cli.runner import run
    from provisioner.model.options import RemovalScope
    from provisioner.operations.observe import observe
    from provisioner.views.down import render_down
    from provisioner.views.plan import render_plan
    from provisioner.workflows.down import plan_down, without_machines
    from provisioner.workflows.up import plan_up

    context = open_cluster(options.cluster, host=options.host, user=options.user, start_lab=True, needs_name=True)
    cluster = context.cluster

    async def plan_both(ports: "Ports") -> tuple["Plan", "Plan"]:
        seen = await observe(cluster, ports)
        return plan_down(cluster, seen, RemovalScope(contexts=False)), plan_up(cluster, without_machines(seen))

    removing, creating = read(context, plan_both)
    refuse_protected(cluster, removing)
    if not options.machine_readable:
        sys.stderr.write(render_down(removing, cluster, console=terminal.err))
    if options.dry_run:
        if options.json:
            print_json(plan_object(creating, file=str(cluster.file), read_s=0.0))
        elif not options.machine_readable:
            sys.stdout.write(
                render_plan(creating, cluster, read_s=0.0, console=terminal.out, verbosity=terminal.verbosity)
            )
        return refusal_code(creating, removing)
    for action in (*creating.refusals, *removing.refusals):
        if action.fault is not None:  # before anybody is asked to give up what could not be made again
            raise action.fault
    if removing.destroys:
        confirm(cluster, "rebuild", command="rebuild", yes=options.yes)
    return run(context, terminal, options, "rebuild", lambda session: session.rebuild(shown=removing))
