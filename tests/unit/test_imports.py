"""The arrows of the architecture: who may import whom, and what `--help` must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "provisioner"

ADAPTERS = {"hyperv", "winrm", "talos", "kubernetes", "images", "store", "views", "schedule"}
VALUES = {"errors", "faults", "model"}
ALLOWED: dict[str, set[str]] = {
    "errors": {"faults"},
    "faults": set(),
    "data": set(),
    "clienttls": set(),
    "wire": set(),
    "web": VALUES | {"clienttls", "wire"},
    "model": VALUES,
    "ports": VALUES | {"ports"},
    "steps": VALUES | {"ports", "steps"},
    "workflows": VALUES | {"ports", "steps", "operations", "workflows"},
    "operations": VALUES | {"ports", "steps", "operations", "workflows"},
    "clusterfile": VALUES | {"images", "data", "clusterfile"},
    "images": VALUES | {"ports", "images"},
    **{adapter: VALUES | {"ports", "data", "clienttls", "wire", "web", adapter} for adapter in ADAPTERS - {"images"}},
    "winrm": VALUES | {"ports", "wire", "web", "winrm"},  # a transport, which knows no Talos
    "hyperv": VALUES | {"ports", "data", "winrm", "wire", "hyperv"},
    "talos": VALUES | {"ports", "data", "clienttls", "wire", "talos", "talos.api.gen"},
    "lab": {"lab", "data", "talos.api.gen"},  # only what a stranger could know too: the messages it must speak
    "credentials": VALUES,
    "runlock": VALUES | {"store"},
    "lab_client": VALUES | {"ports", "credentials", "lab"},
    "compose": VALUES | ADAPTERS | {"ports", "credentials", "lab_client", "clusterfile"},
    "cli": VALUES
    | {"ports", "compose", "credentials", "runlock", "lab_client"}
    | {"workflows", "operations", "clusterfile", "views", "store", "data", "cli"},
    "__main__": {"cli"} | VALUES,
    "__init__": set(),
}
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
    """`provisioner.workflows.up` -> `flow`; the generated messages keep their full place."""
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
        if part_of(module) not in ALLOWED[part]
        and part_of(module) != "__init__"
        and not module.startswith("provisioner.__version__")
    ]
    assert not wrong, "\n".join(wrong)


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


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys\ntry:\n    from provisioner.__main__ import main\n    sys.argv = ['provision', '--help']\n    main()\nexcept SystemExit:\n    pass\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stdout


def test_a_client_of_the_lab_does_not_load_the_lab() -> None:
    """`status` of a lab reads its card and asks its control port; the world behind it lives in another process."""
    code = (
        "import sys, provisioner.lab.control\nprint([m for m in sys.modules if m.startswith('provisioner.lab.world')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
