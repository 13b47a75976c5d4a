"""What is kept on this computer: modes, atomicity, nothing lost, other people's contexts untouched."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from provisioner.compose import client_files
from provisioner.errors import Fault
from provisioner.model import naming
from provisioner.model.facts import ContextState
from provisioner.model.hints import Hints, MachineHint
from provisioner.store.cluster_folder import FileStore
from provisioner.talos import kubeconfigs, secrets, talosconfigs

KUBE = """apiVersion: v1
kind: Config
clusters:
  - name: home
    cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: Q0E=}
users:
  - name: admin@home
    user: {client-certificate-data: Q1JU, client-key-data: S0VZ}
contexts:
  - name: admin@home
    context: {cluster: home, user: admin@home, namespace: default}
current-context: admin@home
"""
TALOS = """context: home
contexts:
  home: {endpoints: ["127.0.0.1:50000"], ca: Q0E=, crt: Q1JU, key: S0VZ}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> FileStore:
    return FileStore(home / ".provision", "home", client_files, {"HOME": str(home)})


def states(store: FileStore) -> dict[str, str]:
    return {name: str(found.state) for name, found in store.contexts().items()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_private_and_moved_aside_never_deleted(store: FileStore) -> None:
    store.write_secrets(b"keys")
    path = store.folder / "secrets.yaml"
    assert mode(path) == 0o600
    assert mode(store.folder) == 0o700
    assert store.secrets_facts().exists
    store.remove_secrets()
    assert store.read_secrets() is None
    (aside,) = store.folder.glob("secrets.*.yaml")
    assert aside.read_bytes() == b"keys"
    assert mode(aside) == 0o600


def test_whatever_holds_keys_is_private(store: FileStore) -> None:
    store.write_client_files(talosconfig=b"context: a\n", kubeconfig=b"kind: Config\n")
    store.write_machine_config("cp1", b"machine: {}\n")
    files = [path for path in store.folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"talosconfig", "kubeconfig", "cp1.yaml"}
    assert {mode(path) for path in files} == {0o600}
    assert mode(store.folder) == mode(store.folder / "machines") == 0o700


def test_the_cluster_id_is_made_once_and_outlives_the_secrets(store: FileStore) -> None:
    assert store.secrets_facts().cluster_id == ""
    made = store.ensure_cluster_id()
    store.write_secrets(b"keys")
    store.remove_secrets()
    assert store.ensure_cluster_id() == made == store.secrets_facts().cluster_id


def test_contexts_are_merged_and_removed_without_touching_others(store: FileStore, home: Path) -> None:
    kube, talos = home / ".kube" / "config", home / ".talos" / "config"
    kube.parent.mkdir(parents=True)
    before = (
        "# mine\napiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\ncurrent-context: other # stays\n"
    )
    kube.write_text(before)
    kube.chmod(0o640)
    store.write_client_files(talosconfig=TALOS.encode(), kubeconfig=KUBE.encode())
    assert states(store) == {"talosconfig": "missing", "kubeconfig": "missing"}
    assert len(store.merge_contexts()) == 2
    assert states(store) == {"talosconfig": "current", "kubeconfig": "current"}
    assert store.merge_contexts() == (), "a second time changes nothing"
    text = kube.read_text()
    assert "# mine" in text
    assert "current-context: other # stays" in text
    assert mode(kube) == 0o600, "a file that others may read gets no key of ours"
    assert mode(talos) == 0o600
    store.write_client_files(talosconfig=TALOS.encode(), kubeconfig=KUBE.replace("6443", "7443").encode())
    assert states(store)["kubeconfig"] == "stale"
    assert len(store.remove_contexts()) == 2
    assert "admin@home" not in kube.read_text()
    assert "current-context: other # stays" in kube.read_text()
    assert store.remove_contexts() == ()


def test_a_linked_kubeconfig_stays_a_link(store: FileStore, home: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "kubeconfig"
    real.parent.mkdir()
    real.write_text("apiVersion: v1\nkind: Config\n")
    link = home / ".kube" / "config"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    store.write_client_files(talosconfig=TALOS.encode(), kubeconfig=KUBE.encode())
    store.merge_contexts()
    assert link.is_symlink()
    assert "admin@home" in real.read_text()


def test_notes_that_cannot_be_read_are_no_notes(store: FileStore) -> None:
    hints = Hints(machines={"a": MachineHint(address="192.0.2.1")}, others={"of another version": [1]})
    store.write_hints(hints)
    assert store.read_hints() == hints
    (store.folder / "notes.json").write_text("{torn")
    assert store.read_hints() == Hints()


def test_hosts_without_the_module_are_kept_until_one_has_it(store: FileStore) -> None:
    first, second = "hv01:5986 Microsoft.PowerShell", "hv02:5986 Microsoft.PowerShell"
    store.note_module(first, lacking=True)
    store.note_module(second, lacking=True)
    assert store.hosts_without_module() == {first, second}
    store.note_module(first, lacking=False)
    assert store.hosts_without_module() == {second}
    for torn in ("{torn", '{"without_module": 7}', "[]"):
        (store.folder / "hosts.json").write_text(torn)
        assert store.hosts_without_module() == set()
    store.note_module(first, lacking=True)
    store.forget_cluster()
    assert store.hosts_without_module() == set()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Fault) as caught:
        FileStore(tmp_path / "p", "home", client_files, {})
    assert caught.value.id == "P-LOCAL-HOME"


def test_a_file_in_the_place_of_the_home_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("a file")
    with pytest.raises(Fault) as caught:
        FileStore(tmp_path / "p", "home", client_files, {})
    assert caught.value.id == "P-LOCAL-HOME"


# --- what the disk and the user's files refuse ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["contexts: [", "just a text\n", "contexts: {a: b}\n", "contexts: [a]\n", "- a\n", "\x80\x81", "a: 1\n---\nb: 2\n"],
)
def test_a_broken_file_of_the_user_is_told_and_left_as_it_is(store: FileStore, home: Path, text: str) -> None:
    kube = home / ".kube" / "config"
    kube.parent.mkdir(parents=True)
    kube.write_text(text, encoding="latin-1")
    store.write_client_files(talosconfig=TALOS.encode(), kubeconfig=KUBE.encode())
    found = store.contexts()
    assert found["kubeconfig"].state is ContextState.UNUSABLE
    assert found["kubeconfig"].problem.startswith(f"{kube}: ")
    assert found["talosconfig"].state is ContextState.MISSING
    with pytest.raises(Fault) as caught:
        store.merge_contexts()
    assert caught.value.id == "P-LOCAL-CONTEXTS"
    assert str(kube) in caught.value.message
    assert store.remove_contexts() == (str(home / ".talos" / "config") + " context home",), "the other is mended"
    assert kube.read_text(encoding="latin-1") == text


def test_a_folder_in_the_place_of_a_users_file(store: FileStore, home: Path) -> None:
    (home / ".kube" / "config").mkdir(parents=True)
    assert states(store)["kubeconfig"] == "unusable"


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.write_secrets(b"keys"),
        lambda store: store.ensure_cluster_id(),
        lambda store: store.write_hints(Hints()),
        lambda store: store.write_machine_config("home-cp-1", b"config"),
        lambda store: store.write_client_files(talosconfig=b"", kubeconfig=b""),
    ],
)
def test_a_full_disk_is_no_bug(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, write: Callable[[FileStore], None]
) -> None:
    monkeypatch.setattr("provisioner.store.cluster_folder.write_atomically", full)
    with pytest.raises(Fault) as caught:
        write(store)
    assert caught.value.id == "P-LOCAL-HOME"
    assert "No space left" in caught.value.seen[0]


@pytest.mark.parametrize(("made_days_ago", "state"), [(0, "current"), (330, "current"), (340, "stale"), (400, "stale")])
def test_contexts_whose_certificate_runs_out_are_stale(store: FileStore, made_days_ago: int, state: str) -> None:
    made = datetime.now(UTC) - timedelta(days=made_days_ago)
    bundle = secrets.stand_in(made)
    store.write_client_files(
        talosconfig=talosconfigs.render(bundle, made, context="home", endpoints=["192.0.2.1"], nodes=[]),
        kubeconfig=kubeconfigs.render(bundle, made, cluster="home", server="https://192.0.2.1:6443"),
    )
    store.merge_contexts()
    assert states(store) == {"talosconfig": state, "kubeconfig": state}


# --- the id in our marks --------------------------------------------------------------------------------------------------


def store_of(folder: Path, cluster: str = "home") -> FileStore:
    return FileStore(folder, cluster, client_files, {"HOME": str(folder)}, talos_id=secrets.cluster_id_in)


def bundle_for(store: FileStore, cluster: str = "home") -> bytes:
    """As `up` makes it."""
    talos_id = naming.talos_id_for(cluster, store.ensure_cluster_id(), os.urandom(32))
    return secrets.write_bundle(replace(secrets.stand_in(datetime.now(UTC)), cluster_id=talos_id))


def test_the_secrets_alone_tell_the_id_of_the_marks(tmp_path: Path) -> None:
    first = store_of(tmp_path / "one")
    made = first.ensure_cluster_id()
    text = bundle_for(first)
    restored = store_of(tmp_path / "two")
    (restored.folder / "secrets.yaml").write_bytes(text)
    assert restored.secrets_facts().cluster_id == made == restored.ensure_cluster_id()
    (restored.folder / "secrets.yaml").write_bytes(b"{damaged")
    assert restored.secrets_facts().cluster_id == made, "kept, so that down works with damaged secrets"


def test_secrets_copied_for_a_second_cluster_do_not_make_the_machines_of_the_first_its_own(tmp_path: Path) -> None:
    first, second = store_of(tmp_path), store_of(tmp_path, "other")
    (second.folder / "secrets.yaml").write_bytes(bundle_for(first))
    assert second.secrets_facts().cluster_id not in ("", first.ensure_cluster_id())


def test_an_id_that_is_kept_wins_and_that_of_the_secrets_counts_too(tmp_path: Path) -> None:
    """As clusters have it whose id was made apart from their secrets."""
    store = store_of(tmp_path)
    text = bundle_for(store)
    told = store.ensure_cluster_id()
    (store.folder / "secrets.yaml").write_bytes(text)
    (store.folder / "cluster-id").write_text("c0ffee\n")
    facts = store.secrets_facts()
    assert (facts.cluster_id, facts.former_ids) == ("c0ffee", (told,))


@pytest.mark.parametrize("kept", [b"", b"\xff\xfe", b"two words", b"x" * 100])
def test_a_damaged_id_is_none(tmp_path: Path, kept: bytes) -> None:
    store = store_of(tmp_path)
    told = store.ensure_cluster_id()
    (store.folder / "secrets.yaml").write_bytes(bundle_for(store))
    (store.folder / "cluster-id").write_bytes(kept)
    assert store.ensure_cluster_id() == told


@pytest.mark.parametrize("made_by_talosctl", ["abc", "not base64!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="])
def test_a_bundle_of_talosctl_tells_an_id_too(made_by_talosctl: str) -> None:
    found = naming.id_from_secrets("home", made_by_talosctl)
    assert len(found) == 16
    assert found == naming.id_from_secrets("home", made_by_talosctl)
    assert naming.id_from_secrets("home", "") == ""


def test_secrets_that_do_not_read_back_are_no_secrets(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(path: Path, content: bytes, *, mode: int) -> None:
        path.write_bytes(content[:-1])

    monkeypatch.setattr("provisioner.store.cluster_folder.write_atomically", torn)
    with pytest.raises(Fault) as caught:
        store.write_secrets(b"keys")
    assert caught.value.id == "P-LOCAL-HOME"


def test_secrets_that_were_moved_aside_twice_in_a_second_are_both_there(store: FileStore) -> None:
    for text in (b"one", b"two"):
        store.write_secrets(text)
        store.remove_secrets()
    assert sorted(path.read_bytes() for path in store.folder.glob("secrets.*.yaml")) == [b"one", b"two"]


def test_files_with_keys_are_for_this_user_alone(store: FileStore) -> None:
    store.write_client_files(talosconfig=TALOS.encode(), kubeconfig=KUBE.encode())
    store.write_machine_config("home-cp-1", b"keys")
    files = [store.folder / "kubeconfig", store.folder / "talosconfig", store.folder / "machines" / "home-cp-1.yaml"]
    assert [mode(path) for path in files] == [0o600, 0o600, 0o600]
