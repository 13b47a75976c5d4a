"""Help in plain text, its commands in groups. Typer's own boxes load a Markdown renderer and a syntax highlighter, which takes longer
than all the rest of `--help`.
"""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperGroup


class Grouped(TyperGroup):
    """Commands stand before the options, each under the heading that its `rich_help_panel` names."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            heading = str(getattr(command, "rich_help_panel", None) or "Commands")
            summary, _, _ = inspect.cleandoc(command.help or "").partition("\n\n")
            groups.setdefault(heading, []).append((name, " ".join(summary.split())))
        width = max((len(name) for name in self.commands), default=0)
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in rows])
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Typer would list them once more, after the options."""
