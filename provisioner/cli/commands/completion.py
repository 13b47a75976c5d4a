"""`provision completion`: a script for the shell. What the script asks for at each Tab is answered by `cli/completing.py`."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import typer

from provisioner.cli.options import ConsoleOptions, command_of

COMPLETE = "_complete"
"""With this word in place of a command a script asks what may be typed. The words follow `--`; the last one is not finished."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `completion` takes."""

    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")] = (
        field()
    )


@command_of(Options)
def completion(_terminal: ConsoleOptions, options: Options) -> int:
    """Print a script that completes commands, options and names of clusters. Its first lines say how to install it.

    provision completion zsh

    provision completion bash > ~/.local/share/bash-completion/completions/provision
    """
    script = Path(__file__).parents[1] / "completions" / f"provision.{options.shell}"
    sys.stdout.write(script.read_text(encoding="utf-8"))
    return 0
