"""The command line: one command per file of `commands/`. Nothing heavy is loaded before a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from provisioner.cli import options as o
from provisioner.cli.commands import config, lab
from provisioner.cli.commands.completion import COMPLETE, completion
from provisioner.cli.commands.config_machine import machine
from provisioner.cli.commands.console import console
from provisioner.cli.commands.down import down
from provisioner.cli.commands.explain import explain
from provisioner.cli.commands.lab_fault import fault
from provisioner.cli.commands.plan import plan
from provisioner.cli.commands.rebuild import rebuild
from provisioner.cli.commands.status import status
from provisioner.cli.commands.up import up
from provisioner.cli.help import Command, Program

app = typer.Typer(
    name="provision",
    help="One command from a Windows machine with Hyper-V to a healthy Talos Linux Kubernetes cluster, and back.",
    no_args_is_help=False,
    cls=Program,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="-v, -q, --no-color and --ascii may stand before the command or after it.",
)
for command, heading in (
    (up, o.MAKE),
    (down, o.MAKE),
    (rebuild, o.MAKE),
    (plan, o.LOOK),
    (status, o.LOOK),
    (console, o.LOOK),
    (explain, o.LOOK),
):
    app.command(cls=Command, rich_help_panel=heading)(command)
lab.app.command(cls=Command)(fault)
config.app.command(cls=Command)(machine)
app.add_typer(lab.app, name="lab", rich_help_panel=o.PREPARE)
app.add_typer(config.app, name="config", rich_help_panel=o.PREPARE)
app.command(cls=Command, rich_help_panel=o.PREPARE)(completion)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    *,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="More detail; -vv shows each call.", show_default=False)
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors and the result only.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
    ascii: Annotated[bool, typer.Option("--ascii", help="ASCII characters only.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version; with -v, of everything it works with.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --version: print one JSON object.")] = False,
) -> None:
    context.obj = o.ConsoleOptions(verbosity=-1 if quiet else min(verbose, 2), no_color=no_color, ascii=ascii)
    if as_json and not version:
        raise typer.BadParameter("it stands after the command, or with --version", param_hint="--json")
    if version:
        from provisioner.cli.version import print_version

        print_version(verbose=verbose > 0, json=as_json)
        raise typer.Exit
    if context.invoked_subcommand is None:
        from provisioner.cli.welcome import welcome

        welcome(context.obj)


def run() -> None:
    """Runs the command line; every end is an exit code of `faults.Exit`, never a bare traceback."""
    from provisioner.cli.exit import guarded

    sys.exit(guarded(complete if sys.argv[1:2] == [COMPLETE] else app))


def complete(*, args: Sequence[str], **_: object) -> None:
    """What a completion script asks for: `_complete -- WORD...`. Typer would load pydantic to read the words."""
    from provisioner.cli.completing import candidates

    for value, meaning in candidates(typer.main.get_command(app), args[2:] or [""]):
        sys.stdout.write(f"{value}\t{meaning}\n")
