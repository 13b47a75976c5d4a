"""Reference pages, made from what the program itself goes by: its command line, its tables, its types."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer.main

from provisioner.cli.app import app
from provisioner.clusterfile import json_schema
from provisioner.faults import FAULTS, Exit
from provisioner.model import events
from provisioner.model.steps import STEP, Order
from provisioner.views.formatting import duration
from provisioner.workflows import tables

MADE = "<!-- made by `make docs` from the program; changes here are lost -->\n"
COLUMNS = 96


# --- commands -------------------------------------------------------------------------------------------------------


def command_line() -> dict[str, Any]:
    """Every command by its words, as `config check`; groups too, and the program itself by the empty text."""
    found: dict[str, Any] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        found[" ".join(words)] = command
        for name, below in getattr(command, "commands", {}).items():
            walk(below, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


def commands() -> str:
    def told() -> Iterator[str]:
        yield f"# Commands\n\n{MADE}\n"
        yield "What `--help` prints, command by command. Options that stand before the command go for all of them.\n"
        for words in command_line():
            name = f"provision {words}".rstrip()
            yield f"\n## {name}\n\n```text\n{_help(name)}```\n"

    return "".join(told())


def _help(name: str) -> str:
    """As the program prints it at a fixed width."""
    first, *words = name.split()
    command: Any = typer.main.get_command(app)
    context = command.make_context(first, [], resilient_parsing=True, terminal_width=COLUMNS)
    for word in words:
        command = command.commands[word]
        context = command.context_class(command, parent=context, info_name=word)
    return f"{command.get_help(context).rstrip()}\n"


# --- steps, exit codes, faults --------------------------------------------------------------------------------------

EXITS: Mapping[Exit, str] = {
    Exit.DONE: "done, or nothing to do",
    Exit.OTHER: "a fault that no other code names",
    Exit.USAGE: "wrong use of the command line, or a name that does not exist",
    Exit.FILE: "the cluster file, or the machine config made of it, is wrong",
    Exit.NOT_READY: "the host, this computer or the network is not ready",
    Exit.TIMED_OUT: "something did not get where it should in time",
    Exit.REFUSED: "refused: not ours, protected, another run at work, a confirmation missing",
    Exit.PENDING: "with `--exit-code`: `plan` has changes to make or something differs from the file, or `status` found something that differs or is not healthy",
    Exit.BUG: "an internal error; the message names a file with the traceback",
    Exit.INTERRUPTED: "interrupted with Ctrl-C or SIGTERM",
}


def _order(step: Order) -> str:
    """What a step waits for, as the engine does."""
    parts = [f"`{before}`" for before in step.after]
    parts += [f"`{before}` of the first control plane" for before in step.after_first]
    parts += [f"on workers `{before}`" for before in step.workers_after]
    turns = "; machines that it restarts take turns" if step.restarts_in_turns else ""
    return ", ".join(parts) + turns


def exit_codes() -> str:
    rows = [(str(int(code)), meaning, _ids(code)) for code, meaning in EXITS.items()]
    return (
        f"# Exit codes\n\n{MADE}\nEvery command ends with one of these. A code is stable once released.\n\n"
        + _table(("code", "meaning", "faults"), rows)
    )


def _ids(code: Exit) -> str:
    return ", ".join(f"[{kind.id}](faults.md#{kind.id.lower()})" for kind in FAULTS.values() if kind.exit is code)


def faults() -> str:
    def told() -> Iterator[str]:
        yield f"# Faults\n\n{MADE}\n"
        yield "The same texts as `provision explain ID`. An id is stable for ever; the exit code belongs to the id.\n"
        for kind in FAULTS.values():
            yield f"\n## {kind.id}\n\n**{kind.title}** (exit {int(kind.exit)})\n\n{kind.why}\n\n"
            yield f"What to do: {kind.remedy}\n"

    return "".join(told())


def steps() -> str:
    def told() -> Iterator[str]:
        yield f"# Steps of `up`\n\n{MADE}\n"
        yield "Plan, run, screens and `--until` go by this table. A step starts as soon as those before it are done for the same\n"
        yield "machine: no machine waits for another unless Talos demands it. `--wait-scale` stretches the bounds.\n\n"
        rows = [
            (
                str(number),
                f"`{order.step}`",
                STEP[order.step].title,
                str(STEP[order.step].scope),
                _order(order),
                STEP[order.step].does,
                STEP[order.step].proven_by,
                duration(STEP[order.step].bound_s),
            )
            for number, order in enumerate(tables.UP, start=1)
        ]
        yield _table(("", "step", "on screen", "per", "after", "does", "proven by", "at most"), rows)
        yield "\n## Other workflows\n\n"
        yield "The same steps in another order; what they remove is what bears our mark.\n\n"
        for name, table in (("down", tables.DOWN), ("rebuild", tables.REBUILD)):
            yield f"- `{name}`: {', '.join(f'`{order.step}`' for order in table)}\n"

    return "".join(told())


# --- events ---------------------------------------------------------------------------------------------------------


def event_page() -> str:
    def told() -> Iterator[str]:
        yield f"# Events\n\n{MADE}\n"
        yield "A run is its events: the lines of `runs/<n>/events.jsonl` in the cluster's folder, and of `--progress json` on stdout\n"
        yield f"(there the last line is the result object instead). Schema `{events.SCHEMA}`: new fields may come, meanings do not\n"
        yield "change. Fields without a value are left out.\n\n"
        yield "Every line has `t` (UTC), `type`, and `at_s`: seconds of the run's clock since its begin, which in a lab runs faster than\n"
        yield "the wall's. Lines with a `step` also have `number` and `of`: its place in the table of steps.\n"
        for kind in events.BY_TYPE.values():
            yield f"\n## {kind.type}\n\n"
            if "__doc__" in kind.__dict__ and not (kind.__doc__ or "").startswith(f"{kind.__name__}("):
                yield f"{_one_line(kind.__doc__ or '')}\n\n"
            yield _table(("field", "type", "meaning"), list(_fields(kind)))

    return "".join(told())


def _fields(kind: type[events.Event]) -> Iterator[tuple[str, str, str]]:
    """The annotated fields of a class and its bases, but for those of all events, with the text that stands below each."""
    told: dict[str, tuple[str, str, str]] = {}
    for each in reversed([base for base in kind.__mro__ if base not in (events.Event, object)]):
        (body,) = ast.parse(inspect.getsource(each)).body
        assert isinstance(body, ast.ClassDef)
        for item, below in zip(body.body, [*body.body[1:], None], strict=True):
            if (
                isinstance(item, ast.AnnAssign)
                and isinstance(item.target, ast.Name)
                and item.target.id not in ("type", "_")
            ):
                text = ""
                if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                    text = _one_line(str(below.value.value))
                told[item.target.id] = (f"`{item.target.id}`", _json_type(ast.unparse(item.annotation)), text)
    yield from told.values()


def _json_type(annotation: str) -> str:
    plain = annotation.removesuffix(" | None")
    words = {
        "str": "text",
        "int": "number",
        "float": "number",
        "bool": "true or false",
        "StepId": "id of a step",
        "tuple[str, ...]": "list of texts",
        "Sequence[str]": "list of texts",
        "Mapping[str, str]": "object",
    }
    return words.get(plain, "list of objects")


# --- the cluster file -----------------------------------------------------------------------------------------------


def cluster_file() -> str:
    schema = json_schema()

    def told() -> Iterator[str]:
        yield f"# Cluster file\n\n{MADE}\n"
        yield f"{schema['description']} `provision config check CLUSTER` tells everything that is wrong with one, and\n"
        yield "`provision config show CLUSTER` every value and where it came from. Unknown fields are findings. An example with every\n"
        yield "field is [clusters/everything.yaml](../../clusters/everything.yaml); editors take\n"
        yield "[clusters/schema.json](../../clusters/schema.json). Sizes are GiB or MiB.\n\n## The file\n\n"
        yield _table(("field", "value", "default", "meaning"), _schema_rows(schema))
        for name, part in sorted(schema["$defs"].items()):
            yield f"\n## {name}\n\n{part['description']}\n\n"
            yield _table(("field", "value", "default", "meaning"), _schema_rows(part))

    return "".join(told())


def _schema_rows(part: Mapping[str, Any]) -> list[tuple[str, ...]]:
    needed = part.get("required", ())
    return [
        (
            f"`{name}`",
            _value_words(field),
            "needed" if name in needed else _default_words(field),
            _one_line(field.get("description", "")),
        )
        for name, field in part["properties"].items()
    ]


def _value_words(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(_value_words(each) for each in field["anyOf"])
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    kind = field["type"]
    if kind == "array":
        return f"list of: {_value_words(field['items'])}"
    if kind == "object":
        inner = field.get("additionalProperties")
        return f"by name: {_value_words(inner)}" if isinstance(inner, dict) else "a patch"
    if kind in ("integer", "number"):
        low, high = field.get("minimum"), field.get("maximum")
        bounds = f" from {low}" if low is not None else ""
        return f"number{bounds}{f' to {high}' if high is not None else ''}"
    if kind == "boolean":
        return "true or false"
    examples = field.get("examples", ())
    return f"text, as `{examples[0]}`" if examples else "text"


def _default_words(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value is None or value == [] or "$ref" in field:
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


# --- Markdown -------------------------------------------------------------------------------------------------------


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)
