"""Options that several commands share, declared once; and how the terminal looks."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from provisioner.model.steps import STEPS
from provisioner.views.console import Console, fitting_width

MAKE, LOOK, PREPARE = "Make and change", "Look", "Prepare"

STEP_NAMES = [str(step.id) for step in STEPS]

ClusterArg = Annotated[
    str, typer.Argument(help="Name (home means clusters/home.yaml) or path of a cluster file.", show_default=False)
]
MaybeClusterArg = Annotated[
    str,
    typer.Argument(help="Name or path of a cluster file; may be left out where there is only one.", show_default=False),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Answers only what the plan says.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Stop after the plan.")]
ProgressOption = Annotated[
    str, typer.Option("--progress", help="auto, live, plain, json or none: how to show long work.", metavar="HOW")
]
UntilOption = Annotated[
    str,
    typer.Option("--until", help=f"Stop after a step: {', '.join(STEP_NAMES)}.", metavar="STEP", show_default=False),
]
WaitScaleOption = Annotated[float, typer.Option("--wait-scale", help="Stretch all bounds, for slow hosts.", min=0.1)]
RetrySwitchOption = Annotated[
    bool, typer.Option("--retry-switch", help="Make the switch again although the host undid it before.")
]
HostOption = Annotated[str, typer.Option("--host", help="Another address of the host.", show_default=False)]
UserOption = Annotated[str, typer.Option("--user", help="Another user on the host.", show_default=False)]
ExitCodeOption = Annotated[bool, typer.Option("--exit-code", help="Exit 10 when anything differs.")]
EVERYWHERE = re.compile(r"-[vq]+|--verbose|--quiet|--no-color|--ascii")
"""Options of the whole command line: people type them before the command and after it."""
PROGRESS = ("auto", "live", "plain", "json", "none")


def in_front(arguments: Sequence[str]) -> list[str]:
    """The same words with the options that all commands have moved before the command, where typer looks for them."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words = arguments[:end]
    moved = [word for word in words if EVERYWHERE.fullmatch(word)]
    return [*moved, *(word for word in words if not EVERYWHERE.fullmatch(word)), *arguments[end:]]


@dataclass(frozen=True, kw_only=True)
class ConsoleOptions:
    """How this invocation may speak: set by the options before the command, read by all."""

    verbosity: int = 0
    """-1 quiet, 0, 1, 2."""
    console: Console
    terminal: bool = False
    """stderr is a terminal that can be painted on."""


def console_options(*, verbose: int, quiet: bool, no_color: bool, ascii: bool) -> ConsoleOptions:
    """From the options and the surroundings: NO_COLOR, TERM=dumb, CI and a locale without UTF-8 are respected."""
    dumb = os.environ.get("TERM", "dumb") == "dumb"
    terminal = sys.stderr.isatty() and not dumb and not os.environ.get("CI")
    utf8 = (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"
    width = fitting_width(shutil.get_terminal_size((100, 24)).columns)
    color = terminal and not no_color and "NO_COLOR" not in os.environ
    return ConsoleOptions(
        verbosity=-1 if quiet else min(verbose, 2),
        console=Console(width=width, color=color, ascii=ascii or not utf8),
        terminal=terminal,
    )
