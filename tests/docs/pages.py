"""All that is made: whole pages of the reference, and the screens that stand between marks in pages written by hand."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs import reference
from tests.docs.recording import ROOT
from tests.docs.screens import SCREENS

WITH_SCREENS = ("README.md", "docs/start.md")
_MARKED = re.compile(r"(<!-- screen: (?P<name>[\w-]+) -->\n).*?(<!-- end of screen -->\n)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Every made page as it should be, by its path."""
    whole = {
        "commands.md": reference.commands(),
        "cluster-file.md": reference.cluster_file(),
        "steps.md": reference.steps(),
        "faults.md": reference.faults(),
        "exit-codes.md": reference.exit_codes(),
        "events.md": reference.event_page(),
    }
    made = {ROOT / "docs" / "reference" / name: text for name, text in whole.items()}
    return made | {ROOT / name: with_screens((ROOT / name).read_text()) for name in WITH_SCREENS}


def with_screens(text: str) -> str:
    """The page with every screen painted anew. Raises KeyError for a screen that does not exist."""
    return _MARKED.sub(lambda found: f"{found[1]}{SCREENS[found['name']]()}{found[3]}", text)
