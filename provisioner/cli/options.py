"""Options that several commands share, each declared once as a field of a dataclass; `command_of` makes a command of such a class."""

# No `from __future__ import annotations` here and in `commands/`: typer reads the types of the fields.
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any, TextIO, TypeVar

import typer

from provisioner.model import options as model_options
from provisioner.model.steps import StepId
from provisioner.views import Kind
from provisioner.views.console import Console, Line, fitting_width
from provisioner.workflows import tables

MAKE, LOOK, PREPARE = "Make and change", "Look", "Prepare"
"""Headings of the commands in `provision --help`."""

EVERYWHERE = re.compile(r"-[vq]+|--verbose|--quiet|--no-color|--ascii")
"""Options of the whole command line, which stand before the command or after it."""

OptionsT = TypeVar("OptionsT")


def _finite(factor: float) -> float:
    if not math.isfinite(factor):
        raise typer.BadParameter(f"{factor} is no factor: every wait has a bound")
    return factor


def _of_up(step: StepId | None) -> StepId | None:
    names = [order.step for order in tables.UP]
    if step is not None and step not in names:
        raise typer.BadParameter(f"{step} is no step of up; use one of {', '.join(names)}")
    return step


@dataclass(frozen=True, kw_only=True)
class JsonOptions:
    """For a command with a result."""

    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False

    def for_workflow(self) -> model_options.RunOptions:
        """What a workflow goes by, as far as this command has options of those names."""
        names = (each.name for each in fields(model_options.RunOptions))
        return model_options.RunOptions(**{name: getattr(self, name) for name in names if hasattr(self, name)})


@dataclass(frozen=True, kw_only=True)
class FileOptions(JsonOptions):
    """For a command about one cluster file."""

    cluster: Annotated[
        str,
        typer.Argument(
            metavar="CLUSTER",
            show_default=False,
            help="Name or path of a cluster file. Without it: PROVISION_CLUSTER, or the only cluster file.",
        ),
    ] = ""


@dataclass(frozen=True, kw_only=True)
class ClusterOptions(FileOptions):
    """For a command about one cluster, on its host."""

    host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            show_default=False,
            help="Address of the host. Default: PROVISION_HOST, then the cluster file.",
        ),
    ] = ""
    user: Annotated[
        str,
        typer.Option(
            metavar="USER", show_default=False, help="User on the host. Default: PROVISION_USER, then the cluster file."
        ),
    ] = ""


@dataclass(frozen=True, kw_only=True)
class ConsentOptions:
    """For a command that may ask first."""

    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False


@dataclass(frozen=True, kw_only=True)
class RunOptions(ConsentOptions, ClusterOptions):
    """For a command that changes things."""

    dry_run: Annotated[bool, typer.Option("--dry-run", help="Stop after the plan.")] = False
    progress: Annotated[
        Kind,
        typer.Option(metavar="HOW", help="How to show progress: auto, live, plain, json or none."),
    ] = "auto"
    wait_scale: Annotated[
        float,
        typer.Option(
            metavar="FACTOR", min=0.1, callback=_finite, help="Multiply the time limits of all waits, for slow hosts."
        ),
    ] = 1.0

    def __post_init__(self) -> None:
        if self.json and self.progress == "json":
            raise typer.BadParameter("--json and --progress json both write to stdout; use one of them")

    @property
    def machine_readable(self) -> bool:
        """Stdout is for a program."""
        return self.json or self.progress == "json"


@dataclass(frozen=True, kw_only=True)
class RemoveOptions(RunOptions):
    """For a command that destroys things: the cluster is named, never guessed."""

    cluster: Annotated[
        str, typer.Argument(metavar="CLUSTER", show_default=False, help="Name or path of a cluster file.")
    ] = field()


@dataclass(frozen=True, kw_only=True)
class UpOptions(JsonOptions):
    """What `up` and `plan` share."""

    until: Annotated[
        StepId | None,
        typer.Option(
            metavar="STEP",
            show_default=False,
            callback=_of_up,
            help=f"Stop after this step: {', '.join(order.step for order in tables.UP)}.",
        ),
    ] = None
    retry_switch: Annotated[
        bool, typer.Option("--retry-switch", help="Create the switch again although the host undid it before.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class ExitCodeOptions:
    """For a command that compares."""

    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 10 if anything differs.")] = False


def command_of(options: type[OptionsT]) -> Callable[[Callable[["ConsoleOptions", OptionsT], int]], Callable[..., None]]:
    """Makes a command of a function: the fields of `options` are its arguments and options, its result is the exit code.

    The fields of the class itself come first in the help, those of its bases after them.
    """

    def decorate(function: Callable[[ConsoleOptions, OptionsT], int]) -> Callable[..., None]:
        def command(context: typer.Context, **values: Any) -> None:
            raise typer.Exit(function(context.obj, options(**values)))

        parameters = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_ONLY, annotation=typer.Context)]
        parameters += [
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if each.default is MISSING else each.default,
                annotation=each.type,
            )
            for each in _specific_first(options)
        ]
        command.__name__, command.__doc__ = function.__name__.rstrip("_"), function.__doc__
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by inspect.signature
        return command

    return decorate


def _specific_first(options: type[Any]) -> Iterator[Field[Any]]:
    by_name = {each.name: each for each in fields(options)}
    for base in options.__mro__:
        for name in vars(base).get("__annotations__", {}):
            if name in by_name:
                yield by_name.pop(name)


def in_front(arguments: Sequence[str]) -> list[str]:
    """The same words with the options that all commands have moved before the command, where typer looks for them."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words = arguments[:end]
    moved = [word for word in words if EVERYWHERE.fullmatch(word)]
    return [*moved, *(word for word in words if not EVERYWHERE.fullmatch(word)), *arguments[end:]]


@dataclass(frozen=True, kw_only=True)
class ConsoleOptions:
    """How this invocation may speak: set by the options before the command, read by all.

    NO_COLOR, TERM=dumb, CI and a locale without UTF-8 are respected. What goes to no terminal is not wrapped.
    """

    verbosity: int = 0
    """-1 quiet, 0, 1, 2."""
    no_color: bool = False
    ascii: bool = False

    @cached_property
    def live(self) -> bool:
        """Stderr is a terminal that can be painted on."""
        return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI")

    @cached_property
    def out(self) -> Console:
        """For results, on stdout."""
        return self._console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        """For progress, questions and faults, on stderr."""
        return self._console(sys.stderr)

    def print(self, lines: Iterable[Line]) -> None:
        """Writes a result to stdout."""
        sys.stdout.write(self.out.render(lines))

    def _console(self, stream: TextIO) -> Console:
        utf8 = (stream.encoding or "").lower().replace("-", "") == "utf8"
        color = self.live and stream.isatty() and not self.no_color and "NO_COLOR" not in os.environ
        return Console(width=_width(stream), color=color, ascii=self.ascii or not utf8)


def _width(stream: TextIO) -> int:
    """COLUMNS, else the terminal's width; 0 for no terminal."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return fitting_width(int(given))
    try:
        return fitting_width(os.get_terminal_size(stream.fileno()).columns) if stream.isatty() else 0
    except (OSError, ValueError):
        return 0
