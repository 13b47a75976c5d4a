"""What is installed from the wheel is the same product: module text and cluster files are in it, and found in it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from provisioner.faults import exit_code
from provisioner.lab import LIBRARIES

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by its backend alone and unpacked as an installer does."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder / "dist")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, *arguments: str, cwd: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(installed), "HOME": str(cwd)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["powershell", "clusters"])
def test_the_wheel_has_the_files_that_stand_beside_the_package(installed: Path, name: str, tmp_path: Path) -> None:
    there = {path.relative_to(ROOT / name): path.read_bytes() for path in (ROOT / name).rglob("*") if path.is_file()}
    packed = installed / "provisioner" / "_data" / name
    assert {path.relative_to(packed): path.read_bytes() for path in packed.rglob("*") if path.is_file()} == there
    found = run(installed, "-c", f"from provisioner import data; print(data.data_folder({name!r}))", cwd=tmp_path)
    assert Path(found.strip()) == packed


def test_the_wheel_has_no_tests_and_what_only_they_can_reach(installed: Path) -> None:
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {"provisioner"}
    assert not [path for path in installed.rglob("*") if path.suffix == ".psm1" and "_data" not in path.parts]
    assert not (installed / "provisioner" / "lab" / "cmdlets").exists()


def test_without_the_labs_libraries_a_lab_is_refused_with_the_way_to_them(installed: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules.update(psrpcore=None, aiohttp=None); sys.argv = ['provision', 'up', 'lab', '--json']\n"
        "from provisioner.__main__ import main\nmain()"
    )
    environment = os.environ | {"PYTHONPATH": str(installed), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    fault = json.loads(done.stdout)
    assert (done.returncode, fault["id"]) == (exit_code("P-LAB-LIBRARIES"), "P-LAB-LIBRARIES")
    assert fault["seen"] == ["not installed: aiohttp, psrpcore"]
    assert fault["next_steps"] == [f"pip install '{PROJECT['name']}[lab]'"]


def test_only_the_lab_imports_its_libraries_and_the_extra_brings_them() -> None:
    extra = {re.split("[<>=~]", line)[0] for line in PROJECT["optional-dependencies"]["lab"]}
    assert extra == set(LIBRARIES)
    assert f"{PROJECT['name']}[lab]" in PROJECT["optional-dependencies"]["dev"], "make setup installs them"
    importing = {library: set[bool]() for library in LIBRARIES}
    for path in (ROOT / "provisioner").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for library in {name.split(".")[0] for name in names} & extra:
                importing[library].add("lab" in path.relative_to(ROOT / "provisioner").parts[:1])
    assert importing == {key: {True} for key in LIBRARIES}


def test_an_installed_product_knows_its_clusters_anywhere(installed: Path, tmp_path: Path) -> None:
    shown = run(installed, "-m", "provisioner", "config", "check", "lab", cwd=tmp_path)
    assert "lab.yaml: no findings" in " ".join(shown.split()), "however long the path is, and where the line wraps"
    assert str(installed / "provisioner" / "_data" / "clusters" / "homelab.yaml") in run(
        installed, "-m", "provisioner", cwd=tmp_path
    )


def test_what_an_index_shows_is_whole(installed: Path) -> None:
    (folder,) = installed.glob("*.dist-info")
    shown = metadata.PathDistribution(folder).metadata
    assert shown["Name"] == "provision-talos-hyperv"
    assert shown["Requires-Python"] == ">=3.11"
    assert shown["Summary"]
    assert shown["Keywords"]
    assert "Typing :: Typed" in shown.get_all("Classifier", [])
    assert {url.split(",")[0] for url in shown.get_all("Project-URL", [])} >= {"Homepage", "Source", "Issues"}
    scripts = metadata.PathDistribution(folder).entry_points.select(group="console_scripts")
    assert [each.name for each in scripts] == ["provision"]
