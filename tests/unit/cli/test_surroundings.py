"""Bad surroundings end in a fault with a way out: never a traceback, never a bug."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner.cli.app import app
from provisioner.cli.exit import guarded
from provisioner.faults import Exit
from tests.conftest import ROOT

PROVISION = [sys.executable, "-m", "provisioner"]


def run(
    *arguments: str, cwd: Path, user: int | None = None, **environment: str | None
) -> subprocess.CompletedProcess[bytes]:
    merged = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environment}
    done = subprocess.run(
        [*PROVISION, *arguments],
        cwd=cwd,
        env={name: value for name, value in merged.items() if value is not None},
        capture_output=True,
        timeout=60,
        check=False,
        user=user,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert b"P-RUN-BUG" not in done.stderr + done.stdout, done.stderr.decode()
    return done


@pytest.mark.parametrize("command", [("status", "lab"), ("plan",), ("config", "check", "lab"), ()])
def test_a_home_that_cannot_be_is_told(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(*command, cwd=tmp_path, PROVISION_HOME="~nosuch/x")
    assert done.returncode == 4
    assert b"P-LOCAL-HOME" in done.stderr
    assert b"there is no user nosuch" in done.stderr


def test_an_account_without_a_home_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As containers run us, under a number that no account has."""

    def nobody(_uid: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "PROVISION_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["provision", "status", "lab"])
    assert guarded(app) == Exit.NOT_READY
    assert "HOME is not set" in capsys.readouterr().err

    def broken(**_: object) -> None:
        raise ZeroDivisionError

    assert guarded(broken) == Exit.BUG
    assert "nowhere" in capsys.readouterr().err, "the last net needs no home either"


def test_a_working_folder_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'rmdir {gone}; exec "$0" -m provisioner config check nosuch'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable],
        cwd=gone,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, b"P-FILE-NOTFOUND" in done.stderr) == (3, True), done.stderr.decode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_of_cluster_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "clusters").mkdir(mode=0o000)
    done = run("config", "check", "lab", cwd=tmp_path)
    (tmp_path / "clusters").chmod(0o700)
    assert (done.returncode, b"P-FILE-NOTFOUND" in done.stderr) == (3, True)


def test_a_terminal_of_another_encoding_takes_every_name(tmp_path: Path) -> None:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "厨房.yaml").write_text("version: 1\nhost: h\n")
    for command in ((), ("config", "check", "厨房"), ("config", "check", "厨房", "--json")):
        done = run(*command, cwd=tmp_path, PYTHONIOENCODING="latin-1", PYTHONUTF8="0", LC_ALL="C.UTF-8")
        assert done.returncode in (0, 3), done.stderr


def test_file_names_do_not_steer_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "\x1b]0;title\x07\u202e.yaml").write_text("version: 1\n")
    done = run(cwd=tmp_path)
    assert b"]0;title" in done.stdout
    assert b"\x1b" not in done.stdout
    assert "\u202e".encode() not in done.stdout


@pytest.mark.parametrize("name", ["clusters", "bugs"])
def test_names_of_folders_that_are_kept_are_no_names_of_clusters(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text("version: 1\nhost: hv01.lan\nuser: me\nmachines: {control_planes: 1}\nswitch: {name: LAB}\n")
    done = run("config", "check", str(path), cwd=tmp_path)
    assert (done.returncode, b"reserved for another folder" in done.stdout + done.stderr) == (3, True)


# --- streams that take nothing ----------------------------------------------------------------------------------------


def shell(line: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.replace("provision", f"{sys.executable} -m provisioner")],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_a_reader_who_leaves_is_no_failure(tmp_path: Path) -> None:
    done = shell("provision explain | true", tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_what_cannot_be_told_changes_no_exit_code(tmp_path: Path) -> None:
    assert shell("provision config check nosuch 2>/dev/full", tmp_path).returncode == 3
    assert shell("provision nosuch 2>/dev/full", tmp_path).returncode == 2
    assert shell("provision explain >/dev/full", tmp_path).returncode == 4, "success is none when nothing was printed"


# --- what lies in the way ---------------------------------------------------------------------------------------------

DEEP = "[" * 3000


@pytest.mark.parametrize("name", ["secrets.yaml", "kubeconfig", "talosconfig", "notes.json", "cluster-id"])
@pytest.mark.parametrize("kind", ["deep", "fifo", "folder", "binary"])
def test_damaged_files_of_a_cluster_are_no_bugs(tmp_path: Path, name: str, kind: str) -> None:
    home = Path(os.environ["PROVISION_HOME"])
    path = home / "lab" / name
    path.parent.mkdir(parents=True, mode=0o700)
    match kind:
        case "deep":
            path.write_text(DEEP)
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.write_bytes(bytes(range(256)))
    done = run("config", "machine", "lab", "lab-cp-1", cwd=tmp_path)
    assert done.returncode in (0, 4, 6), done.stderr.decode()
