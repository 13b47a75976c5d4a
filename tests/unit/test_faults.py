"""The table of faults and the code agree, and what a box tells people to type exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.faults import FAULTS
from tests.unit.commands import command_problem

PACKAGE = Path(__file__).resolve().parents[2] / "provisioner"
SOURCES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py")) if "gen" not in path.parts}
TABLE = PACKAGE / "faults.py"
ID = re.compile(r"P-[A-Z]+-[A-Z]+")


def texts(tree: ast.Module) -> Iterator[str]:
    """Every text but docstrings; what an f-string puts in stands as `NAME`, each choice of a condition in turn."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)} - {
        id(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
    }
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in docs or id(node) in inside:
            continue
        if isinstance(node, ast.JoinedStr):
            yield from joined(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def joined(node: ast.JoinedStr) -> list[str]:
    built = [""]
    for part in node.values:
        if isinstance(part, ast.Constant):
            choices = [str(part.value)]
        elif isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.IfExp):
            branches = (part.value.body, part.value.orelse)
            choices = [str(b.value) if isinstance(b, ast.Constant) else "NAME" for b in branches]
        else:
            choices = ["NAME"]
        built = [begun + choice for begun in built for choice in choices]
    return built


def test_choices_and_values_of_a_text_are_seen() -> None:
    tree = ast.parse("""f"provision {'down' if a else 'rebuild'} {name} --yes" """.strip().join(("x = ", "")))
    assert list(texts(tree)) == ["provision down NAME --yes", "provision rebuild NAME --yes"]


def used() -> set[str]:
    return {text for path, tree in SOURCES.items() if path != TABLE for text in texts(tree) if ID.fullmatch(text)}


def test_every_id_that_the_code_raises_is_in_the_table() -> None:
    assert used() - set(FAULTS) == set()


def test_every_id_of_the_table_can_be_met() -> None:
    assert set(FAULTS) - used() == set()


def test_ids_have_their_form() -> None:
    areas = {"FILE", "LOCAL", "HOST", "SWITCH", "ISO", "VM", "BOOT", "CONFIG", "INSTALL", "ETCD", "KUBE", "RUN", "LAB"}
    for kind in FAULTS.values():
        assert ID.fullmatch(kind.id), kind.id
        assert kind.id.split("-")[1] in areas, kind.id
        assert (kind.why[-1], kind.remedy[-1], kind.title[-1].isalnum()) == (".", ".", True), kind.id


NOT_COMMANDS = ("provision home", "provision needs", "provision cluster file")
"""Where the word is no command."""


def advised(tree: ast.Module) -> list[str]:
    found = [
        re.split(r"\s{2,}", line)[0]
        for text in texts(tree)
        for line in re.findall(r"(?:(?<=^)|(?<=[ :(]))provision [a-z].*?(?=[,.:;)](?: |$)|$)", text, re.MULTILINE)
    ]
    return [line for line in found if not line.startswith(NOT_COMMANDS)]


def test_commands_that_are_advised_exist() -> None:
    lines = [line for tree in SOURCES.values() for line in advised(tree)]
    assert len(lines) > 30
    assert [problem for line in lines if (problem := command_problem(line))] == []


@pytest.mark.parametrize(
    "line", ["provision upp lab", "provision up lab --retry", "provision lab begin", "provision config check|drop"]
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    assert line in command_problem(line)


# --- each is met by a test of what the program does -----------------------------------------------------------------

TESTS = Path(__file__).resolve().parents[1]
LISTS = ("docs", "bench", "unit/views", "unit/test_faults.py", "unit/test_docs.py", "mutants.toml")
"""Tests of texts: a fault that stands only there was never met."""


def behaviours() -> Iterator[str]:
    """The tests and case files that make the program do something."""
    for path in sorted([*TESTS.rglob("*.py"), *TESTS.glob("cases/**/*.yaml")]):
        if not path.relative_to(TESTS).as_posix().startswith(LISTS):
            yield path.read_text(errors="replace")


def asserted(text: str) -> Iterator[str]:
    """Ids within a line that says what came: an assertion, a row of a table, an expected value of a case. Prose is none of these."""
    for line in text.splitlines():
        if '"""' not in line and not line.lstrip().startswith("#"):
            yield from ID.findall(line)


def test_every_fault_is_met_by_a_test_of_behaviour() -> None:
    met = {found for text in behaviours() for found in asserted(text)}
    assert sorted(set(FAULTS) - met) == []
