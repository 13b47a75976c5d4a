"""`provision down`."""

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from provisioner.cli.json_output import plan_object, print_json
from provisioner.cli.options import ConsoleOptions, RemoveOptions, command_of
from provisioner.model.options import RemovalScope


@dataclass(frozen=True, kw_only=True)
class Options(RemoveOptions):
    """What `down` takes."""

    switch: Annotated[
        bool, typer.Option("--switch", help="Also remove the virtual switch, if this program created it.")
    ] = False
    image: Annotated[bool, typer.Option("--image", help="Also remove the ISO, if this program downloaded it.")] = False
    secrets: Annotated[bool, typer.Option("--secrets", help="Also move the secrets aside.")] = False
    everything: Annotated[bool, typer.Option("--all", help="The same as --switch --image --secrets.")] = False

    @property
    def remove(self) -> RemovalScope:
        """What else goes beside the machines."""
        return RemovalScope(
            switch=self.switch or self.everything,
            image=self.image or self.everything,
            secrets=self.secrets or self.everything,
        )


@command_of(Options)
def down(terminal: ConsoleOptions, options: Options) -> int:
    """Remove what this cluster created, and nothing else.

    provision down lab

    provision down home --all --yes
    """
    from provisioner.cli.confirm import confirm, refusal_code, refuse_protected
    from provisioner.cli.loading import open_cluster, read
    from provisioner.cli.runner import run
    from provisioner.views.down import render_down
    from provisioner.workflows.down import DOWN

    context = open_cluster(options, start_lab=True, needs_name=True)
    cluster = context.cluster
    plan = read(context, terminal, lambda ports: DOWN.planned(cluster, ports, options.for_workflow()))
    refuse_protected(cluster, plan)
    if options.dry_run and options.json:
        print_json(plan_object(plan, file=str(cluster.file), read_s=0.0))
    elif not options.machine_readable and (terminal.verbosity >= 0 or not options.yes):
        sys.stderr.write(terminal.err.render(render_down(plan, cluster, terminal.err)))
    if options.dry_run:
        return refusal_code(plan)
    if plan.destroys:
        confirm(cluster, "remove", command="down", yes=options.yes)
    return run(context, terminal, options, DOWN, shown=plan)
