"""`provision up`."""

from dataclasses import dataclass

from provisioner.cli.options import ConsoleOptions, RunOptions, UpOptions, command_of


@dataclass(frozen=True, kw_only=True)
class Options(UpOptions, RunOptions):
    """What `up` takes."""


@command_of(Options)
def up(terminal: ConsoleOptions, options: Options) -> int:
    """Create the cluster, or continue where an earlier run stopped.

    provision up lab

    provision up home --until maintenance
    """
    if options.dry_run:
        from provisioner.cli.commands import plan

        return plan.show(terminal, options, options.for_workflow(), exit_code=False)
    from provisioner.cli.loading import open_cluster
    from provisioner.cli.runner import run
    from provisioner.workflows.up import UP

    context = open_cluster(options, start_lab=True)
    return run(context, terminal, options, UP)
