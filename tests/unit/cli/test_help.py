"""`--help`: commands in their groups, options after them, nothing cut."""

from __future__ import annotations

from typer.testing import CliRunner

from provisioner.cli.app import app


def test_commands_stand_in_groups_before_the_options() -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Make and change:", "Look:", "Prepare:", "Options:", "Environment:"]
    lines = text.splitlines()
    for command, heading in (("up", "Make and change:"), ("status", "Look:"), ("lab", "Prepare:")):
        row = next(number for number, line in enumerate(lines) if line.startswith(f"  {command} "))
        assert [line for line in lines[:row] if line in headings][-1] == heading


def test_a_group_without_headings_lists_its_commands_once() -> None:
    text = CliRunner().invoke(app, ["lab", "--help"]).stdout
    assert text.count("  start ") == 1
    assert text.index("Commands:") < text.index("Options:")


def test_summaries_are_wrapped_and_never_cut() -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    assert "Keeps switch, ISO, secrets and contexts." in " ".join(text.split())
    assert "..." not in text.replace("[ARGS]...", "")


def test_examples_have_a_heading_and_arguments_one_name() -> None:
    text = CliRunner().invoke(app, ["up", "--help"]).stdout
    assert "Usage: provision up [OPTIONS] [CLUSTER]" in text.replace("Usage: root", "Usage: provision")
    assert text.index("Examples:") < text.index("  provision up lab") < text.index("Arguments:\n  CLUSTER  ")
    assert "<" not in text, "what an option takes has a name, not a type"


def test_the_environment_is_named() -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    for name in ("CLUSTER", "HOST", "USER", "PASSWORD", "HOME"):
        assert f"PROVISION_{name}" in text
