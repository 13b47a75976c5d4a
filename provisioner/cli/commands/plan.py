"""`provision plan`, which is `up --dry-run` too."""

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.cli.json_output import plan_object, print_json
from provisioner.cli.options import ClusterOptions, ConsoleOptions, ExitCodeOptions, UpOptions, command_of
from provisioner.faults import Exit

if TYPE_CHECKING:
    from provisioner.model import options as model_options
    from provisioner.model.plan import Plan
    from provisioner.ports import Ports


@dataclass(frozen=True, kw_only=True)
class Options(UpOptions, ExitCodeOptions, ClusterOptions):
    """What `plan` takes."""


@command_of(Options)
def plan(terminal: ConsoleOptions, options: Options) -> int:
    """Show what up would do. Changes nothing.

    provision plan home

    provision plan home --exit-code
    """
    return show(terminal, options, options.for_workflow(), exit_code=options.exit_code)


def show(
    terminal: ConsoleOptions, about: ClusterOptions, options: "model_options.RunOptions", *, exit_code: bool
) -> int:
    """Prints the plan. Gives 0; what `up` would end with where the plan refuses; with `exit_code` 10 where anything differs."""
    from provisioner.cli.confirm import refusal_code
    from provisioner.cli.loading import open_cluster, read
    from provisioner.workflows.up import UP

    context = open_cluster(about, start_lab=True)
    cluster = context.cluster

    async def plan_it(ports: "Ports") -> tuple["Plan", float]:
        begun = time.monotonic()
        return await UP.planned(cluster, ports, options), time.monotonic() - begun

    plan, read_s = read(context, terminal, plan_it)
    if about.json:
        print_json(plan_object(plan, file=str(cluster.file), read_s=round(read_s, 3)))
    else:
        from provisioner.store.durations import usual_times
        from provisioner.views.plan import render_plan

        usual = usual_times(context.store.folder, command="up")
        sys.stdout.write(
            render_plan(plan, cluster, read_s=read_s, console=terminal.out, verbosity=terminal.verbosity, usual=usual)
        )
    if plan.refusals:
        return refusal_code(plan)
    return Exit.PENDING if exit_code and (plan.changes or plan.differences) else Exit.DONE
