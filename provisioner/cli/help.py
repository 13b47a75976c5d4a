"""Help in plain text: commands in groups, examples below a heading. Typer's own boxes load a Markdown renderer and a syntax highlighter,
which takes longer than all the rest of `--help`.
"""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperCommand, TyperGroup

ENVIRONMENT = (
    ("PROVISION_CLUSTER", "Cluster file of commands that name none."),
    ("PROVISION_HOST", "Address of the host, in place of the file's."),
    ("PROVISION_USER", "User on the host, in place of the file's."),
    ("PROVISION_PASSWORD", "Password of that user, in place of the keychain's."),
    ("PROVISION_HOME", "Folder for secrets, client files and runs. Default: ~/.provision."),
    ("NO_COLOR", "If set, no colours."),
)


class Command(TyperCommand):
    """The paragraphs of its text that begin with `provision` are examples."""

    def format_help_text(self, _ctx: Any, formatter: Any) -> None:
        """Text, then examples."""
        paragraphs = inspect.cleandoc(self.help or "").split("\n\n")
        text = [each for each in paragraphs if not each.startswith("provision ")]
        examples = [each for each in paragraphs if each.startswith("provision ")]
        for each in text:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(" ".join(each.split()))
        if examples:
            with formatter.section("Examples"):
                for each in examples:
                    formatter.write_text(each)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments by the names that the usage line gives them, then options."""
        rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx)
            if record is not None and each.param_type_name == "argument":
                rows["Arguments"].append((str(each.metavar), record[1]))
            elif record is not None:
                rows["Options"].append(record)
        for heading, records in rows.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class Group(TyperGroup):
    """Commands stand before the options, each under the heading that its `rich_help_panel` names."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Commands, then options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            heading = str(getattr(command, "rich_help_panel", None) or "Commands")
            summary, _, _ = inspect.cleandoc(command.help or "").partition("\n\n")
            groups.setdefault(heading, []).append((name, " ".join(summary.split())))
        width = max(len(name) for rows in groups.values() for name, _ in rows)
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in rows])
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Typer would list them once more, after the options."""


class Program(Group):
    """The whole program, with what it reads from the environment."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Environment variables, then the epilog."""
        with formatter.section("Environment"):
            formatter.write_dl(ENVIRONMENT)
        super().format_epilog(ctx, formatter)
