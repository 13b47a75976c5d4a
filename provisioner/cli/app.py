"""The command line: parse, build a context, call one use case, map its outcome to an exit code. Nothing heavy is loaded before a command
needs it.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import provisioner
from provisioner.cli import options as o
from provisioner.cli.config import Needs, config_app
from provisioner.cli.help import Grouped
from provisioner.cli.lab import lab_app

app = typer.Typer(
    name="provision",
    help="One command from a Windows machine with Hyper-V to a healthy Talos Linux Kubernetes cluster, and back.",
    no_args_is_help=False,
    cls=Grouped,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="-v, -q, --no-color and --ascii may stand before the command or after it.",
)
app.add_typer(lab_app, name="lab", rich_help_panel=o.PREPARE)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"provision {provisioner.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    *,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="More detail; -vv shows each call.", show_default=False)
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors and the result only.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
    ascii: Annotated[bool, typer.Option("--ascii", help="7-bit glyphs only.")] = False,
    version: Annotated[  # noqa: ARG001 - typer calls it by itself
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    context.obj = o.console_options(verbose=verbose, quiet=quiet, no_color=no_color, ascii=ascii)
    if context.invoked_subcommand is None:
        from provisioner.cli.welcome import first_minutes

        first_minutes()


@app.command(rich_help_panel=o.MAKE)
def up(
    context: typer.Context,
    cluster: o.MaybeClusterArg = "",
    *,
    until: o.UntilOption = "",
    dry_run: o.DryRunOption = False,
    yes: o.YesOption = False,
    progress: o.ProgressOption = "auto",
    as_json: o.JsonOption = False,
    wait_scale: o.WaitScaleOption = 1.0,
    retry_switch: o.RetrySwitchOption = False,
    host: o.HostOption = "",
    user: o.UserOption = "",
) -> None:
    """Make it so; goes on where an earlier run stopped.

    provision up lab

    provision up home --until maintenance
    """
    from provisioner.cli import changing

    wanted = changing.Wanted(
        cluster=cluster,
        until=until,
        yes=yes,
        progress=progress,
        as_json=as_json,
        wait_scale=wait_scale,
        retry_switch=retry_switch,
        host=host,
        user=user,
    )
    raise typer.Exit(changing.plan_only(context.obj, wanted) if dry_run else changing.up(context.obj, wanted))


@app.command(rich_help_panel=o.LOOK)
def plan(
    context: typer.Context,
    cluster: o.MaybeClusterArg = "",
    *,
    until: o.UntilOption = "",
    as_json: o.JsonOption = False,
    exit_code: o.ExitCodeOption = False,
    retry_switch: o.RetrySwitchOption = False,
    host: o.HostOption = "",
    user: o.UserOption = "",
) -> None:
    """Show what up would do. Changes nothing.

    provision plan home

    provision plan home --exit-code
    """
    from provisioner.cli import changing

    wanted = changing.Wanted(
        cluster=cluster, until=until, as_json=as_json, retry_switch=retry_switch, host=host, user=user
    )
    raise typer.Exit(changing.plan_only(context.obj, wanted, exit_code=exit_code))


@app.command(rich_help_panel=o.LOOK)
def status(
    context: typer.Context,
    cluster: o.MaybeClusterArg = "",
    *,
    as_json: o.JsonOption = False,
    exit_code: o.ExitCodeOption = False,
    host: o.HostOption = "",
    user: o.UserOption = "",
) -> None:
    """What is there now, and how it differs from the file.

    provision status home

    provision status home --json
    """
    from provisioner.cli import looking

    raise typer.Exit(looking.status(context.obj, cluster, as_json=as_json, exit_code=exit_code, host=host, user=user))


@app.command(rich_help_panel=o.MAKE)
def down(
    context: typer.Context,
    cluster: o.ClusterArg,
    *,
    switch: Annotated[bool, typer.Option("--switch", help="Also the virtual switch, if we made it.")] = False,
    image: Annotated[bool, typer.Option("--image", help="Also the ISO, if we downloaded it.")] = False,
    secrets: Annotated[bool, typer.Option("--secrets", help="Also the secrets; they are moved aside.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Switch, image and secrets too.")] = False,
    dry_run: o.DryRunOption = False,
    yes: o.YesOption = False,
    progress: o.ProgressOption = "auto",
    as_json: o.JsonOption = False,
    wait_scale: o.WaitScaleOption = 1.0,
    host: o.HostOption = "",
    user: o.UserOption = "",
) -> None:
    """Remove what this cluster made, and nothing else.

    provision down lab

    provision down home --all --yes
    """
    from provisioner.cli import changing

    wanted = changing.Wanted(
        cluster=cluster, yes=yes, progress=progress, as_json=as_json, wait_scale=wait_scale, host=host, user=user
    )
    extent = {"switch": switch or everything, "image": image or everything, "secrets": secrets or everything}
    raise typer.Exit(changing.down(context.obj, wanted, extent, dry_run=dry_run))


@app.command(rich_help_panel=o.MAKE)
def rebuild(
    context: typer.Context,
    cluster: o.ClusterArg,
    *,
    dry_run: o.DryRunOption = False,
    yes: o.YesOption = False,
    progress: o.ProgressOption = "auto",
    as_json: o.JsonOption = False,
    wait_scale: o.WaitScaleOption = 1.0,
    host: o.HostOption = "",
    user: o.UserOption = "",
) -> None:
    """Down, then up; checked as one plan first. Switch, ISO, secrets and contexts are kept.

    provision rebuild lab

    provision rebuild home --yes --progress plain
    """
    from provisioner.cli import changing

    wanted = changing.Wanted(
        cluster=cluster, yes=yes, progress=progress, as_json=as_json, wait_scale=wait_scale, host=host, user=user
    )
    raise typer.Exit(changing.rebuild(context.obj, wanted, dry_run=dry_run))


@app.command(rich_help_panel=o.LOOK)
def explain(
    context: typer.Context, fault: Annotated[str, typer.Argument(help="Id of a fault.", show_default=False)] = ""
) -> None:
    """The long text of a fault; without an id, all ids.

    provision explain P-BOOT-NOMAINT

    provision explain
    """
    from provisioner.cli import looking

    raise typer.Exit(looking.explain(context.obj, fault))


def _config_needs(context: typer.Context) -> Needs:
    """What the sub-app of the cluster file takes from the rest of the command line."""
    from provisioner.cli.loading import check_configs, read_all_settings
    from provisioner.cli.looking import machine_config

    return Needs(
        settings=read_all_settings(""),
        console=context.obj.console,
        machine_config=machine_config,
        check_configs=check_configs,
    )


app.add_typer(config_app(_config_needs), name="config", rich_help_panel=o.PREPARE)


def run() -> None:
    """Runs the command line; every end is an exit code of `faults.Exit`, never a bare traceback."""
    from provisioner.cli.exit import guarded

    sys.exit(guarded(app))
