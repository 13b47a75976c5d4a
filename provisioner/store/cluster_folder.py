"""`$PROVISION_HOME/<cluster>/`: what is kept on this computer about one cluster.

cluster-id          the id in our marks; outlives the secrets, so that `down` works without them; the secrets tell it too
secrets.yaml        the only thing that must survive (0600)
talosconfig         for talosctl and kubectl (0600)
kubeconfig
machines/*.yaml     machine configs as they were sent (0600)
notes.json          hints for the next run, never needed for truth
hosts.json          hints about hosts, written by whatever reads them: two at once lose no more than a hint
runs/<n>/           journal, pictures
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provisioner.errors import Fault
from provisioner.model import naming
from provisioner.model.facts import ConsoleFacts, ContextFacts, SecretsFacts
from provisioner.model.hints import Hints
from provisioner.ports import ContextFile
from provisioner.store.files import (
    NotOurs,
    Target,
    check_ours,
    close_to_others,
    make_private_folder,
    read_plain,
    target_of,
    words_of,
    write_atomically,
)
from provisioner.store.user_contexts import KUBECONFIG, TALOSCONFIG, UserContexts

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What an id in a mark may look like."""


class FileStore:
    """`ports.Store` on the disk of this computer. A disk that is full, or files that are not ours, are a Fault: P-LOCAL-HOME for our own
    folder, P-LOCAL-CONTEXTS for the user's files.
    """

    def __init__(
        self,
        home: Path,
        cluster: str,
        edits: Callable[[], Mapping[str, ContextFile]],
        environment: Mapping[str, str],
        *,
        talos_id: Callable[[bytes], str] = lambda _secrets: "",
    ) -> None:
        """`edits` gives how the user's own files are edited, asked for at first need: it loads much. `talos_id` reads the cluster's id from
        the text of a secrets bundle; empty where there is none.
        """
        self.folder = home / cluster
        self._cluster = cluster
        self._talos_id = functools.cache(talos_id)
        self._unkept: dict[str, bytes] = {}
        """Client files whose place is the null device: known to this run alone."""
        self._contexts = UserContexts(
            cluster,
            edits,
            environment,
            own=lambda name: _if_readable(lambda: self.read_client_file(name)),
            own_problem=self._client_file_problem,
            secrets=lambda: _if_readable(self.read_secrets),
        )
        self._opened: tuple[str, ...] = ()
        """Files with keys that others could read until now."""
        try:
            make_private_folder(home)
            make_private_folder(self.folder)
            self._check_ours(home)
        except NotOurs as error:
            raise Fault(
                "P-LOCAL-HOME",
                f"{error.filename} can be changed by other users",
                expected="a folder and files that only you can write to, because keys are read from them",
                seen=(words_of(error),),
                next_steps=(error.remedy, "or set PROVISION_HOME to another folder"),
            ) from error
        except OSError as error:
            raise Fault(
                "P-LOCAL-HOME",
                f"{self.folder} cannot be made",
                expected="a folder of yours",
                seen=(str(error),),
                next_steps=("make it writable for you, or set PROVISION_HOME",),
            ) from error

    def _check_ours(self, home: Path) -> None:
        """No other user can have written keys there, and none can read them. Raises OSError."""
        files = [self.folder / name for name in ("secrets.yaml", "cluster-id", KUBECONFIG, TALOSCONFIG, "notes.json")]
        for path in (home, self.folder, *files):
            check_ours(path)
        close_to_others(self.folder)
        machines = sorted((self.folder / "machines").glob("*.yaml"))
        modes = {path: close_to_others(path) for path in (*files, *machines)}
        self._opened = tuple(f"{path} (mode {mode:04o})" for path, mode in modes.items() if mode)

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
                expected="a disk that keeps what is written",
            )

    def remove_secrets(self) -> None:
        if self.read_secrets() is not None:
            stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
            with _ours(self._secrets):
                aside = self._secrets.with_name(f"secrets.{stamp}.yaml")
                while aside.exists():  # twice in a second
                    aside = aside.with_name(f"{aside.stem}-1.yaml")
                self._secrets.rename(aside)

    def secrets_facts(self) -> SecretsFacts:
        try:
            exists = target_of(self._secrets) is Target.FILE
        except OSError:
            exists = True  # something is there; reading it tells what
        known, told = self._known_id(), self._id_of_secrets()
        former = (told,) if told and told != known else ()
        path = str(self._secrets)
        return SecretsFacts(exists=exists, cluster_id=known, former_ids=former, path=path, opened=self._opened)

    def ensure_cluster_id(self) -> str:
        known = self._known_id() or naming.new_id(os.urandom(8))
        if self._kept_id() != known:
            path = self.folder / "cluster-id"
            with _ours(path):
                write_atomically(path, f"{known}\n".encode(), mode=0o600)
        return known

    def _known_id(self) -> str:
        """The id that is kept; else the one that the secrets tell, which may be all that was restored."""
        return self._kept_id() or self._id_of_secrets()

    def _kept_id(self) -> str:
        try:
            found = (_read(self.folder / "cluster-id") or b"").decode(errors="replace").strip()
        except Fault:
            return ""  # the secrets tell it too, and who writes it says what is wrong
        return found if _ID.fullmatch(found) else ""

    def _id_of_secrets(self) -> str:
        text = _if_readable(self.read_secrets)
        return naming.id_from_secrets(self._cluster, self._talos_id(text)) if text else ""

    def forget_cluster(self, *, keep_id: str = "") -> None:
        with _ours(self.folder):
            cluster_id = self.folder / "cluster-id"
            if keep_id:
                write_atomically(cluster_id, f"{keep_id}\n".encode(), mode=0o600)
            gone = () if keep_id else (cluster_id,)
            for path in (self.folder / KUBECONFIG, self.folder / TALOSCONFIG, self._hints, self._hosts, *gone):
                path.unlink(missing_ok=True)
            for path in (self.folder / "machines").glob("*.yaml"):
                path.unlink()

    @property
    def _secrets(self) -> Path:
        return self.folder / "secrets.yaml"

    # -- files for clients

    def write_client_files(self, *, talosconfig: bytes, kubeconfig: bytes) -> None:
        for name, content in ((TALOSCONFIG, talosconfig), (KUBECONFIG, kubeconfig)):
            path = self.folder / name
            with _ours(path):
                if target_of(path) is Target.NOWHERE:
                    self._unkept[name] = content
                write_atomically(path, content, mode=0o600)

    def read_client_file(self, name: str) -> bytes | None:
        return self._unkept.get(name) or _read(self.folder / name)

    def _client_file_problem(self, name: str) -> str:
        """Why our own file can be neither read nor replaced; empty where it can."""
        path = self.folder / name
        try:
            target_of(path)
        except OSError as error:
            return f"{path}: {words_of(error)}"
        return ""

    def write_machine_config(self, machine: str, config: bytes) -> None:
        folder = self.folder / "machines"
        with _ours(folder):
            make_private_folder(folder)
            write_atomically(folder / f"{machine}.yaml", config, mode=0o600)

    def merge_contexts(self) -> tuple[str, ...]:
        return self._contexts.merge()

    def contexts(self) -> Mapping[str, ContextFacts]:
        return self._contexts.facts()

    def remove_contexts(self) -> tuple[str, ...]:
        return self._contexts.remove()

    # -- hints and pictures

    def read_hints(self) -> Hints:
        return Hints.from_json(_read_json(self._hints))

    def write_hints(self, hints: Hints) -> None:
        _write_json(self._hints, hints.to_json())

    def hosts_without_module(self) -> frozenset[str]:
        """Hosts that lacked our PowerShell module when they were last read, as `note_module` was told their names."""
        names = _read_json(self._hosts).get("without_module")
        return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()

    def note_module(self, host: str, *, lacking: bool) -> None:
        """Keeps for the next run whether the host lacks the module. A disk that refuses is no failure."""
        known = self.hosts_without_module()
        if lacking != (host in known):
            with contextlib.suppress(Fault):
                _write_json(self._hosts, {"without_module": sorted(known ^ {host})})

    @property
    def _hints(self) -> Path:
        return self.folder / "notes.json"

    @property
    def _hosts(self) -> Path:
        return self.folder / "hosts.json"

    def save_picture(self, run_folder: Path, machine: str, console: ConsoleFacts) -> Path:
        path = run_folder / f"{machine}.png"
        with _ours(path):
            make_private_folder(run_folder)
            write_atomically(path, png_of(console), mode=0o600)
        return path


def _read_json(path: Path) -> dict[str, Any]:
    """Of hints: what cannot be read says nothing."""
    try:
        text = _read(path)
        told = json.loads(text) if text else {}
    except (Fault, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _write_json(path: Path, told: Mapping[str, Any]) -> None:
    with _ours(path):
        write_atomically(path, json.dumps(told, indent=1, sort_keys=True).encode() + b"\n", mode=0o600)


@contextlib.contextmanager
def _ours(path: Path) -> Iterator[None]:
    """What the system says about a file in our own folder, as a Fault."""
    try:
        yield
    except OSError as error:
        raise Fault(
            "P-LOCAL-HOME",
            f"{path} cannot be read or written",
            expected="a disk with free space, and files that you own",
            seen=(words_of(error),),
            next_steps=("free space, take ownership of the folder (sudo chown -R $USER), or set PROVISION_HOME",),
        ) from error


def _if_readable(read: Callable[[], bytes | None]) -> bytes | None:
    try:
        return read()
    except Fault:
        return None


def _read(path: Path) -> bytes | None:
    with _ours(path):
        return read_plain(path)


def png_of(console: ConsoleFacts) -> bytes:
    """A VM's screen, which Hyper-V gives as RGB565, as PNG. Raises ValueError when the pixels do not fill it."""
    from PIL import Image

    expected = console.width * console.height * 2
    if len(console.pixels) != expected:
        raise ValueError(f"{len(console.pixels)} bytes of pixels, {console.width}x{console.height} takes {expected}")
    image = Image.frombytes("RGB", (console.width, console.height), console.pixels, "raw", "BGR;16")
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return stream.getvalue()
