"""What may be typed at the end of a command line, by the commands and options themselves. Reads names of files, nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

Candidate = tuple[str, str]
"""A word, and what it means."""


def candidates(program: Any, words: Sequence[str]) -> list[Candidate]:
    """All that the last of the words, as far as it is typed, may become. `program` is the whole command line, as typer builds it."""
    command, positional, waiting = _parsed(program, words[:-1])
    last = words[-1]
    if waiting is not None:
        found = _values(waiting)
    elif last.startswith("-"):
        found = _options(program, command)
    elif hasattr(command, "commands"):
        shown = (each for each in command.commands.items() if not each[1].hidden)
        found = ((name, _summary(below.help)) for name, below in shown)
    else:
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        found = _values(arguments[positional]) if positional < len(arguments) else iter(())
    return sorted(each for each in found if each[0].startswith(last))


def _parsed(program: Any, words: Sequence[str]) -> tuple[Any, int, Any]:
    """The command that the words name, how many arguments of it are typed, and the option that waits for its value, or None."""
    command, positional, waiting = program, 0, None
    for word in words:
        if waiting is not None:
            waiting = None
        elif word.startswith("-"):
            option = next((each for each in command.params if word in each.opts), None)
            takes_value = option is not None and not (option.is_flag or option.count)
            waiting = option if takes_value else None
        elif word in getattr(command, "commands", {}):
            command = command.commands[word]
        else:
            positional += 1
    return command, positional, waiting


def _options(program: Any, command: Any) -> Iterator[Candidate]:
    """Those of the command, and those that stand everywhere; long names alone."""
    for owner in dict.fromkeys((command, program)):
        for each in owner.params:
            if each.param_type_name == "option" and (owner is command or each.name not in ("version", "as_json")):
                yield max(each.opts, key=len), _summary(each.help)
    yield "--help", "Show the help."


def _values(parameter: Any) -> Iterator[Candidate]:
    """The values of an argument or an option that can be told from here."""
    choices = parameter.type_descriptor.choices
    if choices is not None:
        yield from ((str(each), "") for each in choices)
    elif parameter.name == "cluster":
        yield from _clusters()
    elif parameter.name == "fault":
        from provisioner.faults import FAULTS

        yield from ((kind.id, kind.title) for kind in FAULTS.values())


def _clusters() -> Iterator[Candidate]:
    from provisioner.cli.settings import read_all_settings
    from provisioner.clusterfile import list_clusters
    from provisioner.views.formatting import shown_path

    return ((name, shown_path(path)) for name, path in list_clusters(read_all_settings("").folders).items())


def _summary(text: str | None) -> str:
    first, _, _ = inspect.cleandoc(text or "").partition("\n\n")
    return " ".join(first.split())
