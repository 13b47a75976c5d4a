"""Our contexts in the user's own kubeconfig and talosconfig: where those files are, what is in them, whether they can be changed."""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from provisioner.data import home_folder
from provisioner.errors import Fault
from provisioner.model.facts import ContextFacts, ContextState
from provisioner.ports import ContextFile, FoundContext
from provisioner.store.files import Target, make_private_folder, read_plain, target_of, words_of, write_atomically

KUBECONFIG, TALOSCONFIG = "kubeconfig", "talosconfig"

RENEWED_BEFORE = timedelta(days=30)
"""Client certificates are good for a year; a context whose own has less than this left counts as stale, so that `up` renews it in time."""


def user_files(name: str, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The user's own files of that name, as kubectl and talosctl look for them. Raises a Fault where there is no home to look in."""
    if name == KUBECONFIG:
        listed = [part for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
        # kubectl drops doubles, and takes each name as it stands: the shell knows `~`, it does not
        return tuple(dict.fromkeys(Path(part) for part in listed)) or (_home(environment) / ".kube" / "config",)
    given = environment.get("TALOSCONFIG")
    return (Path(given) if given else _home(environment) / ".talos" / "config",)


def _home(environment: Mapping[str, str]) -> Path:
    found = home_folder(environment)
    if found is None:
        raise OSError(errno.ENOENT, "HOME is not set, and this account has no home folder")
    return found


@dataclass(frozen=True)
class _Place:
    """The file that holds our context, or that it would be written to."""

    path: Path
    content: bytes
    others: tuple[bytes, ...]
    nowhere: bool
    found: FoundContext


class UserContexts:
    """`own` and `secrets` read our own client file of a name and the secrets bundle: both tell what in the user's files is ours.

    `own_problem` says why our own file can be neither read nor replaced.
    """

    def __init__(
        self,
        cluster: str,
        edits: Callable[[], Mapping[str, ContextFile]],
        environment: Mapping[str, str],
        *,
        own: Callable[[str], bytes | None],
        own_problem: Callable[[str], str],
        secrets: Callable[[], bytes | None],
    ) -> None:
        self._cluster = cluster
        self._edits_of = edits
        self._environment = environment
        self._own = own
        self._own_problem = own_problem
        self._secrets = secrets

    @functools.cached_property
    def _edits(self) -> Mapping[str, ContextFile]:
        return self._edits_of()

    def facts(self) -> Mapping[str, ContextFacts]:
        return {name: self._facts(name) for name in self._edits}

    def merge(self) -> tuple[str, ...]:
        """Raises P-LOCAL-CONTEXTS."""
        changed = []
        for name, edit in self._edits.items():
            ours = self._own(name)
            if ours is None:
                continue
            path = None
            try:
                place = self._place(name)
                path = place.path
                if place.nowhere:
                    changed.append(f"{path}: nothing is written there")
                    continue
                merged = edit.merge(place.content, ours, place.others)
                if merged == place.content:
                    continue
                _check_writable(path)
                make_private_folder(path.parent)
                closed = ", closed to others: it holds a key now" if _mode(path) & 0o077 else ""
                write_atomically(path, merged, mode=_mode(path) & 0o700)
                changed.append(f"{path} context {place.found.name}{closed}")
            except (OSError, ValueError) as error:
                raise _unusable(path or self._default(name), error) from error
        return tuple(changed)

    def remove(self) -> tuple[str, ...]:
        """What cannot be changed is left as it is. Raises P-LOCAL-CONTEXTS for a file that fails while it is written."""
        removed = []
        for name, edit in self._edits.items():
            facts = self._facts(name)
            if not facts.there or facts.problem:
                continue
            place = self._place(name)
            try:
                left = edit.remove(place.content, edit.context_of(self._cluster), self._own(name), self._secrets())
                write_atomically(place.path, left, mode=_mode(place.path))
            except (OSError, ValueError) as error:
                raise _unusable(place.path, error) from error
            removed.append(f"{place.path} context {facts.name}")
        return tuple(removed)

    def _facts(self, name: str) -> ContextFacts:
        edit = self._edits[name]
        wanted = edit.context_of(self._cluster)
        own, until = self._own_entry(name)
        fresh = until is None or until - datetime.now(UTC) > RENEWED_BEFORE
        path = None
        try:
            place = self._place(name)
            path = place.path
        except (OSError, ValueError) as error:
            where = str(getattr(error, "filename", None) or self._default(name))
            return ContextFacts(
                state=ContextState.UNUSABLE,
                path=where,
                name=wanted,
                wanted=wanted,
                problem=f"{where}: {words_of(error)}",
            )
        present = own if place.nowhere else place.found.entry
        if present is None:
            state = ContextState.MISSING
        elif fresh and present == own:
            state = ContextState.CURRENT
        else:
            state = ContextState.STALE
        problem = self._own_problem(name) or ("" if place.nowhere else _write_problem(path))
        if problem and state is not ContextState.CURRENT:
            state = ContextState.UNUSABLE
        return ContextFacts(
            state=state,
            path=str(path),
            name=place.found.name,
            wanted=wanted,
            nowhere=place.nowhere,
            problem=problem,
        )

    def _own_entry(self, name: str) -> tuple[object | None, datetime | None]:
        """What our own file says, and until when its certificate is good; nothing for a damaged file, which will be replaced."""
        own = self._own(name)
        if own is None:
            return None, None
        try:
            return self._edits[name].entry(own), self._edits[name].expires(own)
        except ValueError:
            return None, None

    def _place(self, name: str) -> _Place:
        """Kubectl's own rule for several files: where the entry is; else the first that exists; else the last.

        Raises OSError and ValueError for a file that cannot be read as one; `filename` tells which.
        """
        edit, own, secrets = self._edits[name], self._own(name), self._secrets()
        paths = user_files(name, self._environment)
        targets = {path: target_of(path) for path in paths}
        contents = {path: read_plain(path, limit=1 << 30) or b"" for path in paths}
        wanted = edit.context_of(self._cluster)

        def look(path: Path) -> FoundContext:
            others = [content for other, content in contents.items() if other != path]
            try:
                return edit.find(contents[path], wanted, own, secrets, others)
            except ValueError as error:
                raise _at(error, contents, edit, wanted) from error

        looks = {path: look(path) for path in paths}
        path = next((path for path in paths if looks[path].entry is not None), None)
        if path is None:
            path = next((path for path in paths if targets[path] is not Target.ABSENT), paths[-1])
        others = tuple(content for other, content in contents.items() if other != path)
        return _Place(path, contents[path], others, targets[path] is Target.NOWHERE, looks[path])

    def _default(self, name: str) -> Path:
        try:
            return user_files(name, self._environment)[0]
        except OSError:
            return Path("~") / (".kube" if name == KUBECONFIG else ".talos") / "config"


def _at(error: ValueError, contents: Mapping[Path, bytes], edit: ContextFile, wanted: str) -> OSError:
    """The same error with the file that it is about: the first that cannot be read by itself."""
    for path, content in contents.items():
        try:
            edit.find(content, wanted, None, None, ())
        except ValueError as own:
            return OSError(errno.EINVAL, str(own), str(path))
    return OSError(errno.EINVAL, str(error), str(next(iter(contents))))


def _check_writable(path: Path) -> None:
    """Raises OSError where the file cannot be changed, or where its owner has said that it shall not be."""
    problem = _write_problem(path)
    if problem:
        raise OSError(errno.EACCES, problem.removeprefix(f"{path}: "), str(path))


def _write_problem(path: Path) -> str:
    """Why the file cannot be replaced, or made; empty when it can."""
    try:
        target = target_of(path)
        real = Path(os.path.realpath(path))
        if target is Target.FILE:
            found = real.stat()
            if not found.st_mode & stat.S_IWUSR:
                return f"{path}: read-only (mode {stat.S_IMODE(found.st_mode):04o}): chmod u+w {real}"
            if found.st_uid != os.geteuid() and os.geteuid() != 0:
                return f"{path}: belongs to user {found.st_uid}"
    except OSError as error:
        return f"{path}: {words_of(error)}"
    folder = real.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return f"{path}: its folder {folder} cannot be written"
    return ""


def _unusable(path: Path, error: Exception) -> Fault:
    where = getattr(error, "filename", None) or path
    return Fault(
        "P-LOCAL-CONTEXTS",
        f"{where} cannot be used, and was left unchanged",
        expected="a file that you own and that kubectl or talosctl can read",
        seen=(words_of(error),),
        next_steps=(f"fix or move {where}",),
    )


def _mode(path: Path) -> int:
    """The user's own choice for a file that is there; private for a new one."""
    return path.stat().st_mode & 0o777 if path.exists() else 0o600
