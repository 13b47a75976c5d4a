"""Whose files are trusted: as ssh does, none that somebody else could have put there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from provisioner.compose import client_files
from provisioner.errors import Fault
from provisioner.runlock import locked
from provisioner.store.cluster_folder import FileStore
from provisioner.store.files import check_ours

FOREIGN = 54321
"""A user that is not ours."""


def opened(home: Path) -> FileStore:
    return FileStore(home, "home", client_files, {"HOME": str(home)})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "p"
    opened(path)
    return path


@pytest.mark.parametrize("where", [".", "home"])
@pytest.mark.parametrize("bits", [0o020, 0o002, 0o077])
def test_a_folder_that_others_may_write_to_is_refused(home: Path, where: str, bits: int) -> None:
    (home / where).chmod(0o700 | bits)
    with pytest.raises(Fault) as caught:
        opened(home)
    assert caught.value.id == "P-LOCAL-HOME"
    assert any(line.endswith(f"chmod go-w {home / where}") for line in caught.value.next_steps)
    assert mode(home / where) == 0o700 | bits, "left as it is: what is in it is to be looked at first"


@pytest.mark.parametrize("where", [".", "home", "home/secrets.yaml", "home/cluster-id", "home/kubeconfig"])
def test_what_belongs_to_somebody_else_is_refused(home: Path, where: str) -> None:
    path = home / where
    if not path.exists():
        path.write_bytes(b"planted")
    try:
        os.chown(path, FOREIGN, -1)
    except PermissionError:
        pytest.skip("only root gives files away")
    with pytest.raises(Fault) as caught:
        opened(home)
    assert caught.value.id == "P-LOCAL-HOME"
    assert caught.value.seen == (f"it belongs to user {FOREIGN}",)
    assert any("chown" in line for line in caught.value.next_steps)


def test_a_name_that_a_shell_would_take_apart_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "my home; rm x"
    path.mkdir()
    path.chmod(0o777)
    with pytest.raises(OSError, match="others may write to it") as caught:
        check_ours(path)
    assert str(getattr(caught.value, "remedy", "")).endswith(f"chmod go-w '{path}'")


def test_keys_that_others_could_read_are_closed_and_told(home: Path) -> None:
    path = home / "home" / "secrets.yaml"
    path.write_bytes(b"keys")
    path.chmod(0o666)
    machine = home / "home" / "machines" / "home-cp-1.yaml"
    machine.parent.mkdir()
    machine.write_bytes(b"keys")
    machine.chmod(0o644)
    (home / "home").chmod(0o755)
    store = opened(home)
    assert (mode(path), mode(machine), mode(home / "home")) == (0o600, 0o600, 0o700)
    assert store.secrets_facts().opened == (f"{path} (mode 0666)", f"{machine} (mode 0644)")
    assert opened(home).secrets_facts().opened == (), "told once: it is closed"


def test_the_lock_follows_no_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "lock.pid").symlink_to(victim)
    with locked(folder, "home"):
        assert (folder / "lock.pid").read_text() == f"{os.getpid()}\n"
    assert victim.read_text() == "mine"
    (folder / "lock").unlink()
    (folder / "lock").symlink_to(victim)
    with pytest.raises(Fault) as caught, locked(folder, "home"):
        pass
    assert caught.value.id == "P-LOCAL-HOME"
    assert victim.read_text() == "mine"
