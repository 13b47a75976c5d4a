"""The docs are true: made pages are current, links and names lead somewhere, commands exist, PowerShell can be typed."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from provisioner.clusterfile import load_cluster
from provisioner.credentials import keychain_command
from provisioner.faults import FAULTS, Exit
from provisioner.lab.world.faults import FAULTS as LAB_FAULTS
from provisioner.model.cluster import HostSpec
from provisioner.model.events import RunStarted
from provisioner.workflows import tables
from tests.docs import recording, reference
from tests.docs.pages import pages
from tests.docs.screens import SCREENS
from tests.unit.commands import command_problem

ROOT = Path(__file__).resolve().parents[2]
BY_HAND = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
ALL = sorted([*BY_HAND, *(ROOT / "docs" / "reference").glob("*.md")])


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


every_page = pytest.mark.parametrize("path", ALL, ids=named)
every_page_by_hand = pytest.mark.parametrize("path", BY_HAND, ids=named)

# --- what is made ---------------------------------------------------------------------------------------------------


def test_made_pages_are_current() -> None:
    """`make docs` writes them anew. It is from here that a stale README is noticed."""
    stale = [named(path) for path, text in pages().items() if not path.exists() or path.read_text() != text]
    assert stale == [], "make docs"


def test_every_screen_is_shown() -> None:
    shown = {name for path in BY_HAND for name in re.findall(r"<!-- screen: ([\w-]+) -->", path.read_text())}
    assert shown == set(SCREENS)


def test_the_reference_is_whole() -> None:
    headings = {line[3:] for path in ALL for line in path.read_text().splitlines() if line.startswith("## ")}
    assert set(FAULTS) <= headings
    assert set(reference.EXITS) == set(Exit)
    assert {f"provision {words}".rstrip() for words in reference.command_line()} <= headings


def test_the_runs_behind_the_screens_are_of_today() -> None:
    events = recording.read(recording.GOOD)
    assert {order.step for order in tables.UP} <= {line.split()[0] for line in recording.story(events)}
    lab = load_cluster(ROOT / "clusters" / "lab.yaml").cluster.lab
    assert lab is not None
    assert [event.speed for event in events if isinstance(event, RunStarted)] == [lab.speed]


# --- style ----------------------------------------------------------------------------------------------------------

NEVER = ("please wait", "simply", "just ", "unexpected error", "something went wrong", "!\n", "TODO")
GLYPHS = "✓✗·◐╷│╵«»"
"""Of the screens; everything else is ASCII."""


@every_page
def test_plain_words_and_plain_characters(path: Path) -> None:
    text = path.read_text()
    assert [word for word in NEVER if word in text] == []
    assert {character for character in text if not character.isascii()} <= set(GLYPHS)
    assert not re.search(r"(?<![\w~.])/(?:home|root|tmp|Users|work)/", text), "no path of anybody's machine"


# --- links and names ------------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """As code forges make them of headings."""
    heads = [line.lstrip("#").strip() for line in path.read_text().splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@every_page
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.is_file(), target
        assert not anchor or anchor in anchors(there), target


@every_page_by_hand
def test_tests_that_are_named_exist(path: Path) -> None:
    for file, name in re.findall(r"`([\w/]+\.py)::(\w+)`", path.read_text()):
        tree = ast.parse((ROOT / "tests" / file).read_text())
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        names |= {
            t.id for node in tree.body if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)
        }
        assert name in names, f"{file}::{name}"


def test_every_row_of_the_lab_names_a_test_or_says_why_not() -> None:
    rows = [line for line in (ROOT / "docs" / "lab.md").read_text().splitlines() if line.startswith("| ")]
    cells = [row.strip("|").split(" | ")[-1] for row in rows if not row.startswith("| what the real one does")]
    assert len(cells) > 80
    assert [cell for cell in cells if "::test_" not in cell and not re.search(r"not modelled: \S", cell)] == []


@every_page_by_hand
def test_faults_files_and_options_that_are_named_exist(path: Path) -> None:
    text = path.read_text()
    assert set(re.findall(r"\bP-[A-Z]+-[A-Z]+\b", text)) <= set(FAULTS)
    for file in re.findall(r"`((?:clusters|docs|powershell|provisioner|tests)/[\w./-]+)`", text):
        assert (ROOT / file).exists() or file == "clusters/home.yaml", file
    known = {option for command in reference.command_line().values() for p in command.params for option in p.opts}
    mentioned = set(re.findall(r"`(--[a-z-]+)", text))
    assert mentioned <= known | {"--help"}
    assert set(re.findall(r"fault `([a-z-]+)`", text)) <= set(LAB_FAULTS)


# --- what one is told to type ---------------------------------------------------------------------------------------


def typed(text: str) -> Iterator[str]:
    """Lines of indented and fenced blocks, and code within sentences, that begin with our command."""
    for line in re.findall(r"^(?: {4}|\$ |)(?:\.venv/bin/)?(provision .+)$", text, re.MULTILINE):
        yield re.split(r"\s{2,}| \| | > ", line)[0]
    yield from re.findall(r"`(provision [^`]+)`", text)


@every_page
def test_commands_exist(path: Path) -> None:
    problems = [problem for line in typed(path.read_text()) if (problem := command_problem(line))]
    assert problems == []


@every_page_by_hand
def test_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^ {4}|`)make (?:\w+=\S+ )?([a-z]+)", path.read_text(), re.MULTILINE)) <= targets


def test_the_start_pages_cluster_file_is_one(tmp_path: Path) -> None:
    """The blocks of YAML, put into the file that the page has one change."""
    document = yaml.safe_load((ROOT / "clusters" / "homelab.yaml").read_text())
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "start.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        document |= yaml.safe_load(block)
    file = tmp_path / "homelab.yaml"
    file.write_text(yaml.safe_dump(document))
    loaded = load_cluster(file)
    assert loaded.warnings == ()
    (host,) = loaded.cluster.hosts.values()
    assert (host.address, host.user, len(host.pin.replace(":", ""))) == ("hv01.lan", "hv01\\provision", 64)


def test_the_keychain_item_is_the_one_that_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    host = HostSpec(name="hv01.lan", address="hv01.lan", user="hv01\\provision")
    monkeypatch.setattr("sys.platform", "linux")
    command = keychain_command(host)
    assert command in (ROOT / "docs" / "start.md").read_text()


def test_powershell_of_the_start_page_can_be_parsed(pwsh: str) -> None:
    blocks = re.findall(r"```powershell\n(.*?)```", (ROOT / "docs" / "start.md").read_text(), re.DOTALL)
    assert len(blocks) > 5
    script = (
        "$errors = $null; $text = [Console]::In.ReadToEnd();"
        "[void][System.Management.Automation.Language.Parser]::ParseInput($text, [ref]$null, [ref]$errors);"
        "$errors | ForEach-Object { $_.Message }; 'parsed'"
    )
    done = subprocess.run(
        [pwsh, "-NoLogo", "-NoProfile", "-Command", script],
        input="\n".join(blocks),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["parsed"]


# --- the architecture ------------------------------------------------------------------------------------------------

ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()


def tree() -> list[str]:
    """The paths of the tree on the page."""
    (block,) = re.findall(r"```text\n(.*?)```", ARCHITECTURE, re.DOTALL)
    paths: list[str] = []
    above: dict[int, str] = {}
    for line in block.splitlines():
        indent = len(line) - len(line.lstrip())
        above[indent] = above.get(indent - 2, "") + line.split()[0]
        paths.append(above[indent])
    return paths


def test_the_tree_shows_what_is_there() -> None:
    told = tree()
    for path in told:
        assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file(), path
    there = [
        path for path in (ROOT / "provisioner").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    missing = {f"provisioner/{path.name}{'/' if path.is_dir() else ''}" for path in there} - set(told)
    assert missing == {"provisioner/__init__.py"}


def test_where_to_put_what_leads_somewhere() -> None:
    named_there = set(re.findall(r"`((?:provisioner|powershell|docs|clusters|tests)/[\w./-]+)`", ARCHITECTURE))
    assert len(named_there) > 20
    assert [path for path in sorted(named_there) if not (ROOT / path).exists()] == []
    packages = "|".join(sorted(path.name for path in (ROOT / "provisioner").iterdir() if path.is_dir()))
    modules = set(re.findall(rf"`((?:{packages})/[\w/]+\.py)`", ARCHITECTURE))
    assert len(modules) > 10
    assert [path for path in sorted(modules) if not (ROOT / "provisioner" / path).exists()] == []


def test_the_glossary_says_each_word_once() -> None:
    rows = re.findall(r"^\| ([\w -]+) \|", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)[1:]
    assert rows == sorted(set(rows))
