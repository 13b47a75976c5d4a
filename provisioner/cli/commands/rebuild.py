"""`provision rebuild`."""

import sys

from provisioner.cli.json_output import plan_object, print_json
from provisioner.cli.options import ConsoleOptions, RemoveOptions, command_of


@command_of(RemoveOptions)
def rebuild(terminal: ConsoleOptions, options: RemoveOptions) -> int:
    """Run down, then up, after checking both as one plan. Keeps switch, ISO, secrets and contexts.

    provision rebuild lab

    provision rebuild home --yes --progress plain
    """
    from provisioner.cli.confirm import confirm, refusal_code, refuse_protected
    from provisioner.cli.loading import open_cluster, read
    from provisioner.cli.runner import run
    from provisioner.model.steps import StepId
    from provisioner.views.down import render_down
    from provisioner.views.plan import render_plan
    from provisioner.workflows.rebuild import REBUILD

    context = open_cluster(options, start_lab=True, needs_name=True)
    cluster = context.cluster

    plan = read(context, terminal, lambda ports: REBUILD.planned(cluster, ports, options.for_workflow()))
    removing = plan.only(StepId.REMOVE)
    refuse_protected(cluster, removing)
    if not options.machine_readable and (terminal.verbosity >= 0 or not options.yes):
        sys.stderr.write(terminal.err.render(render_down(removing, cluster, terminal.err)))
    if options.dry_run:
        if options.json:
            print_json(plan_object(plan, file=str(cluster.file), read_s=0.0))
        elif not options.machine_readable:
            sys.stdout.write(render_plan(plan, cluster, read_s=0.0, console=terminal.out, verbosity=terminal.verbosity))
        return refusal_code(plan)
    for action in plan.refusals:
        if action.fault is not None:  # before the question: what cannot be created again is not given up
            raise action.fault
    if removing.destroys:
        confirm(cluster, "rebuild", command="rebuild", yes=options.yes)
    return run(context, terminal, options, REBUILD, shown=plan)
