"""Where files are written, and where not: only regular files are replaced, and what cannot be changed is known before a run begins."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.compose import client_files
from provisioner.errors import Fault
from provisioner.model.facts import ContextFacts, ContextState
from provisioner.model.hints import Hints
from provisioner.store.cluster_folder import FileStore
from provisioner.store.files import (
    Target,
    make_private_folder,
    read_plain,
    target_of,
    write_atomically,
    write_in_place,
)
from provisioner.talos import kubeconfigs, secrets, talosconfigs
from tests.unit.store.test_store import KUBE, TALOS
from tests.unit.talos.helpers import NOW


@pytest.fixture
def null(tmp_path: Path) -> Path:
    """A null device of the test's own: never the computer's."""
    path = tmp_path / "null"
    number = Path(os.devnull).stat().st_rdev
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, number)
        path.open("wb").close()
    except OSError:
        pytest.skip("no device can be made here")
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def store_with(home: Path, **environment: str) -> FileStore:
    store = FileStore(home / ".provision", "home", client_files, {"HOME": str(home), **environment})
    store.write_client_files(talosconfig=TALOS.encode(), kubeconfig=KUBE.encode())
    return store


def kube(store: FileStore) -> ContextFacts:
    return store.contexts()["kubeconfig"]


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def zero(path: Path) -> None:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except OSError:
        pytest.skip("no device can be made here")


THINGS = [Path.mkdir, fifo, unix_socket, zero]


# --- the rule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", THINGS)
@pytest.mark.parametrize("linked", [False, True])
def test_only_files_are_replaced(
    tmp_path: Path, make: Callable[[Path], None], linked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket may not be long
    make(Path("there"))
    path = Path("there")
    if linked:
        path = Path("link")
        path.symlink_to("there")
    before = Path("there").lstat()
    with pytest.raises(OSError, match="not a file"):
        write_atomically(path, b"key", mode=0o600)
    with pytest.raises(OSError, match="not a file"):
        read_plain(path)
    after = Path("there").lstat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize("linked", [False, True])
def test_the_null_device_means_not_to_write(null: Path, tmp_path: Path, linked: bool) -> None:
    path = null
    if linked:
        path = tmp_path / "link"
        path.symlink_to(null)
    assert target_of(path) is Target.NOWHERE
    write_atomically(path, b"key", mode=0o600)
    assert stat.S_ISCHR(null.lstat().st_mode)
    assert null.lstat().st_mode & 0o777 == 0o666 & ~_umask()
    assert read_plain(path) is None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_link_to_nowhere_is_told_as_one(tmp_path: Path) -> None:
    link = tmp_path / "config"
    link.symlink_to(tmp_path / "gone" / "config")
    with pytest.raises(OSError, match=r"a link to .*, whose folder does not exist"):
        write_atomically(link, b"key", mode=0o600)
    folder = tmp_path / "folder"
    folder.symlink_to(tmp_path / "gone")
    with pytest.raises(OSError, match=r"a link to .*, which does not exist"):
        make_private_folder(folder / "home")


def test_a_link_is_never_followed_by_a_note(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "lock.pid").symlink_to(tmp_path / "victim")
    write_in_place(tmp_path / "lock.pid", b"123")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "lock.pid").read_bytes() == b"123"


# --- the user's files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["environment", "link", "one of several"])
def test_no_context_is_written_to_the_null_device(null: Path, home: Path, how: str) -> None:
    link = home / ".kube" / "config"
    link.parent.mkdir(parents=True)
    if how == "link":
        link.symlink_to(null)
    given = {"environment": str(null), "one of several": f"{null}:{home / 'other'}"}
    store = store_with(home, **({"KUBECONFIG": given[how]} if how in given else {}))
    assert kube(store).nowhere
    assert kube(store).state is ContextState.CURRENT, "nothing is left to do"
    assert any("nothing is written there" in line for line in store.merge_contexts())
    assert stat.S_ISCHR(null.lstat().st_mode)
    assert store.remove_contexts() == (f"{home}/.talos/config context home",)
    assert stat.S_ISCHR(null.lstat().st_mode)
    assert not (home / "other").exists()


def test_our_own_kubeconfig_may_lead_nowhere(null: Path, home: Path) -> None:
    folder = home / ".provision" / "home"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "kubeconfig").symlink_to(null)
    store = store_with(home)
    assert stat.S_ISCHR(null.lstat().st_mode)
    assert store.read_client_file("kubeconfig") == KUBE.encode(), "the run itself knows it"
    store.merge_contexts()
    assert "admin@home" in (home / ".kube" / "config").read_text()


@pytest.mark.parametrize("make", THINGS)
def test_what_is_no_file_is_refused_in_the_plan(
    home: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    monkeypatch.chdir(home)
    make(Path("thing"))
    store = store_with(home, KUBECONFIG=str(home / "thing"))
    assert kube(store).state is ContextState.UNUSABLE
    assert kube(store).problem.startswith(f"{home}/thing: a ")
    with pytest.raises(Fault) as caught:
        store.merge_contexts()
    assert caught.value.id == "P-LOCAL-CONTEXTS"


def test_a_dangling_link_is_refused_in_the_plan(home: Path) -> None:
    link = home / ".kube" / "config"
    link.parent.mkdir(parents=True)
    link.symlink_to("gone/real")
    assert "a link to gone/real" in kube(store_with(home)).problem


def test_a_read_only_file_is_left_to_its_owner(home: Path) -> None:
    config = home / ".kube" / "config"
    config.parent.mkdir(parents=True)
    config.write_text("apiVersion: v1\n")
    config.chmod(0o444)
    store = store_with(home)
    assert kube(store).state is ContextState.UNUSABLE
    assert "read-only (mode 0444)" in kube(store).problem
    with pytest.raises(Fault) as caught:
        store.merge_contexts()
    assert caught.value.id == "P-LOCAL-CONTEXTS"
    assert config.read_text() == "apiVersion: v1\n"
    config.chmod(0o644)
    store.merge_contexts()
    config.chmod(0o444)
    assert kube(store).state is ContextState.CURRENT, "nothing has to be written"
    assert kube(store).problem, "but it cannot be removed"
    assert store.remove_contexts() == (f"{home}/.talos/config context home",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_found_in_the_plan(home: Path, tmp_path: Path) -> None:
    real = tmp_path / "store" / "config"
    real.parent.mkdir()
    real.write_text("apiVersion: v1\n")
    link = home / ".kube" / "config"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    real.parent.chmod(0o500)
    found = kube(store_with(home))
    real.parent.chmod(0o700)
    assert f"its folder {real.parent} cannot be written" in found.problem


@pytest.mark.parametrize(
    ("content", "said"), [(b"\xe9\xe8", "UTF-8"), (b"a\0:\0", "UTF-16 without"), (b"\xff\xfea", "UTF-16-LE")]
)
def test_an_encoding_that_cannot_be_read_is_named(home: Path, content: bytes, said: str) -> None:
    config = home / ".kube" / "config"
    config.parent.mkdir(parents=True)
    config.write_bytes(content)
    assert said in kube(store_with(home)).problem


# --- several kubeconfigs: kubectl's own rule --------------------------------------------------------------------------


def several(home: Path, *names: str) -> FileStore:
    return store_with(home, KUBECONFIG=":".join(str(home / name) for name in names))


EMPTY = "apiVersion: v1\nkind: Config\n"


def test_of_several_files_the_first_that_is_there_gets_the_context(home: Path) -> None:
    home.mkdir()
    (home / "b").write_text(EMPTY)
    store = several(home, "a", "b", "c")
    assert kube(store).path == str(home / "b")
    store.merge_contexts()
    assert [path.name for path in sorted(home.glob("?"))] == ["b"]


def test_where_none_is_there_the_last_is_made(home: Path) -> None:
    store = several(home, "a", "b")
    store.merge_contexts()
    assert [path.name for path in sorted(home.glob("?"))] == ["b"]


def test_a_context_is_changed_where_it_is(home: Path) -> None:
    home.mkdir()
    (home / "b").write_text(EMPTY)
    several(home, "b").merge_contexts()
    (home / "a").write_text(EMPTY)
    store = several(home, "a", "b")
    assert (kube(store).state, kube(store).path) == (ContextState.CURRENT, str(home / "b"))
    store.write_client_files(talosconfig=TALOS.encode(), kubeconfig=KUBE.replace("6443", "7443").encode())
    store.merge_contexts()
    assert (home / "a").read_text() == EMPTY
    assert "7443" in (home / "b").read_text()
    assert f"{home}/b context admin@home" in store.remove_contexts()
    assert "admin@home" not in (home / "b").read_text()


def test_the_broken_one_of_several_is_named(home: Path) -> None:
    home.mkdir()
    (home / "a").write_text(EMPTY)
    (home / "b").write_text("contexts: [")
    assert kube(several(home, "a", "b")).problem.startswith(f"{home}/b: ")


def test_kubeconfig_and_talosconfig_of_the_environment_are_heeded(home: Path) -> None:
    store = store_with(home, KUBECONFIG=str(home / "k"), TALOSCONFIG=str(home / "t"))
    store.merge_contexts()
    assert "admin@home" in (home / "k").read_text()
    assert "home" in (home / "t").read_text()
    assert not (home / ".kube").exists()


def test_another_clusters_context_of_our_name_is_told_before(home: Path) -> None:
    theirs = kubeconfigs.render(secrets.stand_in(NOW), NOW, cluster="home", server="https://192.0.2.99:6443")
    config = home / ".kube" / "config"
    config.parent.mkdir(parents=True)
    config.write_bytes(theirs)
    store = store_with(home)
    assert (kube(store).state, kube(store).name, kube(store).taken) == (ContextState.MISSING, "admin@home-1", True)
    assert f"{config} context admin@home-1, closed to others: it holds a key now" in store.merge_contexts()
    assert (kube(store).state, kube(store).name) == (ContextState.CURRENT, "admin@home-1")
    assert f"{config} context admin@home-1" in store.remove_contexts()
    assert config.read_bytes() == theirs


def test_down_knows_our_contexts_by_the_secrets_alone(home: Path) -> None:
    bundle = secrets.stand_in(NOW)
    store = store_with(home)
    store.write_secrets(secrets.write_bundle(bundle))
    store.write_client_files(
        talosconfig=talosconfigs.render(bundle, NOW, context="home", endpoints=["192.0.2.1"], nodes=[]),
        kubeconfig=kubeconfigs.render(bundle, NOW, cluster="home", server="https://192.0.2.1:6443"),
    )
    store.merge_contexts()
    for name in ("kubeconfig", "talosconfig"):
        (store.folder / name).unlink()
    assert kube(store).state is ContextState.STALE, "there, and to be written anew with our own file"
    assert len(store.remove_contexts()) == 2
    assert "admin@home" not in (home / ".kube" / "config").read_text()


@pytest.mark.parametrize("name", ["secrets.yaml", "cluster-id", "kubeconfig", "talosconfig", "notes.json"])
@pytest.mark.parametrize("make", THINGS[:2])
def test_what_lies_in_the_way_of_our_own_files_keeps_nobody_from_removing(
    home: Path, name: str, make: Callable[[Path], None]
) -> None:
    """`down` and `status` read what they can; who would have to write there is told in the plan."""
    store = store_with(home)
    store.merge_contexts()
    path = store.folder / name
    path.unlink(missing_ok=True)
    make(path)
    facts, contexts = store.secrets_facts(), store.contexts()
    assert facts.exists == (name == "secrets.yaml")
    assert store.read_hints() == Hints()
    if name in contexts:
        assert contexts[name].problem.lower().startswith(f"{path}: a f".lower())
        assert contexts[name].state is ContextState.UNUSABLE
    others = [found for other, found in contexts.items() if other != name]
    assert all(found.state is ContextState.CURRENT for found in others)
    assert len(store.remove_contexts()) == len(others)


def test_a_file_of_ours_that_has_grown_beyond_all_measure_is_written_anew(home: Path) -> None:
    store = store_with(home)
    store.merge_contexts()
    with (store.folder / "kubeconfig").open("wb") as stream:
        stream.truncate(30 * 1024**2)
    assert kube(store).state is ContextState.MISSING, "what is ours in the user's file cannot be told by it"
    store.write_client_files(talosconfig=TALOS.encode(), kubeconfig=KUBE.encode())
    assert kube(store).state is ContextState.CURRENT
