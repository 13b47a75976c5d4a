"""Is a line that somebody is told to type a command of ours? Asked of the docs and of the faults' advice."""

from __future__ import annotations

import re

from tests.docs.reference import command_line

_COMMANDS = command_line()


def command_problem(line: str) -> str:
    """What is wrong with `provision WORDS --options`; empty when nothing is. Values and names are not looked at."""
    words = [word for word in line.split()[1:] if word not in ("-v", "-vv", "-q")]
    found = ""
    while words and (longer := f"{found} {words[0]}".strip()) in _COMMANDS:
        found = longer
        words = words[1:]
    if found == "" and [word for word in words if not word.startswith("-")]:
        return f"{line}: no such command"
    if found and hasattr(_COMMANDS[found], "commands") and words and not words[0].startswith("-"):
        one_of_several = set(words[0].split("|")) <= set(_COMMANDS[found].commands)
        return "" if one_of_several else f"{line}: no such command of {found}"
    options = {option for command in (_COMMANDS[found], _COMMANDS[""]) for p in command.params for option in p.opts}
    unknown = [
        word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word) and word not in options | {"-h", "--help"}
    ]
    return f"{line}: {found or 'provision'} has no {', '.join(unknown)}" if unknown else ""
