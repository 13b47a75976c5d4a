"""`$PROVISION_HOME/<cluster>/`: what is kept on this computer about one cluster.

cluster-id          the id in our marks; outlives the secrets, so that `down` works without them
secrets.yaml        the only thing that must survive (0600)
talosconfig         for talosctl and kubectl (0600)
kubeconfig
machines/*.yaml     machine configs as they were sent (0600)
notes.json          hints for the next run, never needed for truth
runs/<n>/           journal, pictures
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from provisioner.errors import Fault
from provisioner.model.facts import UNREADABLE, ConsoleFacts, SecretsFacts
from provisioner.ports import ContextFile
from provisioner.record.files import make_private_folder, write_atomically

KUBECONFIG, TALOSCONFIG = "kubeconfig", "talosconfig"

RENEWED_BEFORE = timedelta(days=30)
"""Client certificates are good for a year; a context whose own has less than this left counts as stale, so that `up` renews it in time."""


def user_file(name: str, environment: Mapping[str, str]) -> Path:
    """The user's own kubeconfig or talosconfig, where kubectl and talosctl look first."""
    home = Path(environment.get("HOME") or "~").expanduser()
    if name == KUBECONFIG:
        listed = [part for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
        return Path(listed[0]) if listed else home / ".kube" / "config"
    return Path(environment.get("TALOSCONFIG") or home / ".talos" / "config")


class FileStore:
    """`ports.Store` on the disk of this computer. A disk that is full, or files that are not ours, are a Fault: P-LOCAL-HOME for our own
    folder, P-LOCAL-CONTEXTS for the user's files.
    """

    def __init__(
        self, home: Path, cluster: str, edits: Mapping[str, ContextFile], environment: Mapping[str, str]
    ) -> None:
        self.folder = home / cluster
        self._context = f"admin@{cluster}"
        self._edits = edits
        self._environment = environment
        try:
            make_private_folder(home)
            make_private_folder(self.folder)
        except OSError as error:
            raise Fault(
                "P-LOCAL-HOME",
                f"{self.folder} cannot be made",
                expected="a folder of yours",
                seen=(str(error),),
                then=("make it writable for you, or set PROVISION_HOME",),
            ) from error

    # -- secrets

    def read_secrets(self) -> bytes | None:
        return _read(self._secrets)

    def write_secrets(self, text: bytes) -> None:
        with _ours(self._secrets):
            write_atomically(self._secrets, text, mode=0o600)
        if self.read_secrets() != text:
            raise Fault(
                "P-LOCAL-HOME",
                f"{self._secrets} does not read back as it was written",
                expected="a disk that keeps what it is given",
            )

    def remove_secrets(self) -> None:
        if self._secrets.exists():
            stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
            with _ours(self._secrets):
                self._secrets.rename(self._secrets.with_name(f"secrets.{stamp}.yaml"))

    def secrets_facts(self) -> SecretsFacts:
        known = _read(self.folder / "cluster-id")
        return SecretsFacts(
            exists=self._secrets.exists(),
            cluster_id=known.decode().strip() if known else "",
            path=str(self._secrets),
        )

    def ensure_cluster_id(self) -> str:
        path = self.folder / "cluster-id"
        known = _read(path)
        if known is None:
            known = secrets.token_hex(8).encode()
            with _ours(path):
                write_atomically(path, known + b"\n", mode=0o600)
        return known.decode().strip()

    def forget_cluster(self) -> None:
        with _ours(self.folder):
            for path in (self.folder / KUBECONFIG, self.folder / TALOSCONFIG, self._notes, self.folder / "cluster-id"):
                path.unlink(missing_ok=True)
            for path in (self.folder / "machines").glob("*.yaml"):
                path.unlink()

    @property
    def _secrets(self) -> Path:
        return self.folder / "secrets.yaml"

    # -- files for clients

    def write_client_files(self, *, talosconfig: bytes, kubeconfig: bytes) -> None:
        with _ours(self.folder):
            write_atomically(self.folder / TALOSCONFIG, talosconfig, mode=0o600)
            write_atomically(self.folder / KUBECONFIG, kubeconfig, mode=0o600)

    def read_client_file(self, name: str) -> bytes | None:
        return _read(self.folder / name)

    def write_machine_config(self, machine: str, config: bytes) -> None:
        folder = self.folder / "machines"
        with _ours(folder):
            make_private_folder(folder)
            write_atomically(folder / f"{machine}.yaml", config, mode=0o600)

    def merge_contexts(self) -> tuple[str, ...]:
        changed = []
        for name, edit in self._edits.items():
            ours = self.read_client_file(name)
            path = user_file(name, self._environment)
            if ours is None:
                continue
            with _users(path):
                existing = path.read_bytes() if path.exists() else None
                merged = edit.merge(existing, ours)
                if merged != existing:
                    make_private_folder(path.parent)
                    closed = ", closed to others: it holds a key now" if _mode(path) & 0o077 else ""
                    write_atomically(path.resolve(), merged, mode=_mode(path) & 0o700)
                    changed.append(f"{path} context {self._context_in(name)}{closed}")
        return tuple(changed)

    def contexts(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for name, edit in self._edits.items():
            path, context = user_file(name, self._environment), self._context_in(name)
            own, until = None, None
            with contextlib.suppress(ValueError):  # ours is written anew then
                ours = self.read_client_file(name) or b""
                own, until = edit.find(ours, context), edit.expires(ours, context)
            try:
                present = edit.find(path.read_bytes(), context) if path.exists() else None
            except (OSError, ValueError) as error:
                found[name] = f"{UNREADABLE}: {path}: {_words(error)}"
            else:
                good = present == own and (until is None or until - datetime.now(UTC) > RENEWED_BEFORE)
                found[name] = "" if present is None else "current" if good else "stale"
        return found

    def remove_contexts(self) -> tuple[str, ...]:
        removed = []
        for name, edit in self._edits.items():
            if self.contexts()[name].startswith(UNREADABLE):
                continue  # left as it is
            path, context = user_file(name, self._environment), self._context_in(name)
            with _users(path):
                existing = path.read_bytes() if path.exists() else b""
                if existing and edit.find(existing, context) is not None:
                    write_atomically(path.resolve(), edit.remove(existing, context), mode=_mode(path))
                    removed.append(f"{path} context {context}")
        return tuple(removed)

    def _context_in(self, name: str) -> str:
        """Talosctl's own name for a context is the cluster's; kubectl's is `admin@<cluster>`."""
        return self._context if name == KUBECONFIG else self._context.removeprefix("admin@")

    # -- notes and pictures

    def read_notes(self) -> dict[str, Any]:
        text = _read(self._notes)
        try:
            notes = json.loads(text) if text else {}
        except ValueError:
            return {}  # a hint that cannot be read is no hint
        return notes if isinstance(notes, dict) else {}

    def write_notes(self, notes: Mapping[str, Any]) -> None:
        with _ours(self._notes):
            write_atomically(self._notes, json.dumps(notes, indent=1, sort_keys=True).encode() + b"\n", mode=0o600)

    @property
    def _notes(self) -> Path:
        return self.folder / "notes.json"

    def save_picture(self, run_folder: Path, machine: str, console: ConsoleFacts) -> Path:
        from provisioner.record.picture import png_of

        path = run_folder / f"{machine}.png"
        with _ours(path):
            write_atomically(path, png_of(console), mode=0o600)
        return path


@contextlib.contextmanager
def _ours(path: Path) -> Iterator[None]:
    """What the system says about a file in our own folder, as a Fault."""
    try:
        yield
    except OSError as error:
        raise Fault(
            "P-LOCAL-HOME",
            f"{path} cannot be read or written",
            expected="a disk with space, and files of yours",
            seen=(_words(error),),
            then=("make space, or make it yours: sudo chown -R $USER the folder, or set PROVISION_HOME",),
        ) from error


@contextlib.contextmanager
def _users(path: Path) -> Iterator[None]:
    """What is wrong with one of the user's own files, as a Fault."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise Fault(
            "P-LOCAL-CONTEXTS",
            f"{path} cannot be used, and was left as it is",
            expected="a file of yours that kubectl or talosctl can read",
            seen=(_words(error),),
            then=(f"mend or move {path}",),
        ) from error


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or error)


def _read(path: Path) -> bytes | None:
    with _ours(path), contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def _mode(path: Path) -> int:
    """The user's own choice for a file that is there; private for a new one."""
    return path.stat().st_mode & 0o777 if path.exists() else 0o600
