"""The arrows of the architecture: who may import whom, and what `--help` must not load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "provisioner"

_NONE: frozenset[str] = frozenset()
ALLOWED: dict[str, set[str] | frozenset[str]] = {
    "faults": _NONE,
    "data": _NONE,
    "clienttls": _NONE,
    "wire": _NONE,
    "errors": {"faults"},
    "model": {"errors"},
    "ports": {"errors", "model"},
    "steps": {"errors", "model", "ports"},
    "operations": {"errors", "faults", "model", "ports", "steps", "workflows"},
    "workflows": {"errors", "faults", "model", "ports", "steps", "operations"},
    "images": {"model"},
    "clusterfile": {"errors", "model", "images", "data"},
    "views": {"errors", "faults", "model"},
    "store": {"errors", "model", "ports", "data"},
    "web": {"errors", "clienttls", "wire"},
    "kubernetes": {"errors", "model", "ports", "clienttls", "web", "wire"},
    "winrm": {"errors", "ports", "web", "wire"},  # a transport, which knows no Talos
    "hyperv": {"errors", "model", "ports", "data", "winrm", "wire"},
    "talos": {"errors", "model", "ports", "clienttls", "wire", "talos.api.gen"},
    "lab": {"data", "talos.api.gen"},  # only what a third party could know too: the messages it must speak
    "credentials": {"errors", "model"},
    "runlock": {"errors", "store"},
    "lab_client": {"errors", "model", "ports", "credentials", "lab"},
    "compose": {"model", "ports", "credentials", "lab_client", "clusterfile", "hyperv", "kubernetes", "store", "talos"},
    "cli": {"errors", "faults", "model", "ports", "compose", "runlock", "lab_client", "workflows", "operations"}
    | {"clusterfile", "views", "store", "data"},
    "__main__": {"cli"},
    "__init__": _NONE,
}
"""Beside itself; the same as in docs/architecture.md."""
CIRCLES = {
    ("provisioner.workflows.workflow", "provisioner.workflows.session"): "the type of who tells a story",
}
"""Imports that would close a circle, and why they may: for types alone, never at run time."""
HEAVY = (
    "pypsrp",
    "winrm",
    "requests",
    "cryptography",
    "google.protobuf",
    "pydantic",
    "grpclib",
    "psrpcore",
    "aiohttp",
    "yaml",
    "provisioner.lab",
)


def part_of(module: str) -> str:
    """`provisioner.workflows.up` -> `workflows`; the generated messages keep their full place."""
    rest = module.removeprefix("provisioner").lstrip(".")
    return "talos.api.gen" if rest.startswith("talos.api.gen") else rest.split(".")[0] or "__init__"


def imports_of(path: Path) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "provisioner"]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write the whole path"
            if node.module and node.module.split(".")[0] == "provisioner":
                found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if "talos/api/gen" not in path.as_posix()]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {part} may not import {module}"
        for line, module in imports_of(path)
        if part_of(module) not in ALLOWED[part] | {part, "__init__"}
        and not module.startswith("provisioner.__version__")
    ]
    assert not wrong, "\n".join(wrong)


def test_the_architecture_tells_the_same_arrows() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    told: dict[str, set[str]] = {}
    for line in page.splitlines():
        cells = [re.findall(r"`([\w.]+)`", cell) for cell in line.strip("|").split("|")]
        if len(cells) == 2 and cells[0] and set(cells[0]) <= set(ALLOWED):
            told |= {part: set(cells[1]) - {part} for part in cells[0]}
    assert told == {part: set(arrows) for part, arrows in ALLOWED.items() if part != "__init__"}


def modules() -> dict[str, Path]:
    found = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in SOURCES}
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


def graph(sources: Mapping[str, Path]) -> dict[str, set[str]]:
    """Which modules each module imports, in functions and for types too."""
    arrows: dict[str, set[str]] = {}
    for name, path in sources.items():
        imported = (module for _, module in imports_of(path))
        targets = {module if module in sources else module.rpartition(".")[0] for module in imported}
        arrows[name] = {
            each for target in targets for each in loaded_by(target, name) if each in sources and each != name
        }
    return arrows


def loaded_by(target: str, importer: str) -> list[str]:
    """The module and the packages that it stands in, which are loaded with it; not those that the importer stands in too."""
    parts = target.split(".")
    return [
        package
        for count in range(1, len(parts) + 1)
        if (package := ".".join(parts[:count])) == target or not f"{importer}.".startswith(f"{package}.")
    ]


def circle_in(arrows: Mapping[str, set[str]]) -> list[str]:
    """Some circle, as the modules on it; empty when there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for target in sorted(arrows[name]):
            if found := walk(target, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in arrows if (found := walk(name, []))), [])


def test_there_is_no_import_circle() -> None:
    arrows = graph(modules())
    for (importer, imported), reason in CIRCLES.items():
        assert reason
        assert imported in arrows[importer], f"{importer} does not import {imported} any more: take it off the list"
        arrows[importer].discard(imported)
    assert circle_in(arrows) == []


@pytest.mark.parametrize(("importer", "imported"), CIRCLES)
def test_an_import_that_closes_a_circle_is_for_types_alone(importer: str, imported: str) -> None:
    code = f"import sys, {importer}; sys.exit({imported!r} in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_circle_is_noticed() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert loaded_by("a.b.c", "a.x") == ["a.b", "a.b.c"]
    assert loaded_by("a.b.c", "a.b.d") == ["a.b.c"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_time_and_processes_stay_outside_the_core(path: Path) -> None:
    """Model, steps, workflows and operations know no wall clock, no sleep, no process and no print: those are ports."""
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part not in ("model", "steps", "workflows", "operations", "ports", "errors", "faults"):
        return
    banned = {
        ("time", "sleep"),
        ("time", "time"),
        ("time", "monotonic"),
        ("datetime", "now"),
        ("asyncio", "sleep"),
        ("subprocess", "run"),
    }
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            assert (node.func.value.id, node.func.attr) not in banned, (
                f"{path}:{node.lineno}: {node.func.value.id}.{node.func.attr}"
            )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{path}:{node.lineno}: print"


@pytest.mark.parametrize("words", [("--help",), ("_complete", "--", "up", "")], ids=["help", "completion"])
def test_help_and_completion_load_nothing_heavy(words: tuple[str, ...]) -> None:
    code = f"import sys\ntry:\n    from provisioner.__main__ import main\n    sys.argv = {['provision', *words]!r}\n    main()\nexcept SystemExit:\n    pass\nprint([m for m in {(*HEAVY, 'asyncio')!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stdout


def test_a_client_of_the_lab_does_not_load_the_lab() -> None:
    """`status` of a lab reads its card and asks its control port; the world behind it lives in another process."""
    code = (
        "import sys, provisioner.lab.control\nprint([m for m in sys.modules if m.startswith('provisioner.lab.world')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_command_that_only_reads_does_not_load_the_table_of_a_run() -> None:
    code = "import sys, provisioner.cli.loading\nprint([m for m in sys.modules if m.startswith('provisioner.views.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "provisioner.views.table" not in done.stdout
