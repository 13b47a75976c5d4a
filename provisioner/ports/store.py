"""What is kept on this computer about one cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from provisioner.model.facts import ConsoleFacts, ContextFacts, SecretsFacts
from provisioner.model.hints import Hints

# --- `$PROVISION_HOME/<cluster>/`, by area ----------------------------------------------------------------------------
#
# All writes are atomic (temporary file, fsync, rename), secrets 0600, folders 0700, and can be repeated. What the disk refuses is a Fault:
# P-LOCAL-HOME, for the user's own files P-LOCAL-CONTEXTS.


class SecretsStore(Protocol):
    """The cluster's secrets, and the id that its marks bear."""

    def read_secrets(self) -> bytes | None:
        """The text of the secrets bundle; None where there is none."""

    def write_secrets(self, text: bytes) -> None:
        """Fsynced, and read back."""

    def remove_secrets(self) -> None:
        """Moves them aside with the date in the name; nothing is ever lost at once. None there is success."""

    def secrets_facts(self) -> SecretsFacts:
        """Whether there are secrets, and what is known of the cluster's id; never fails for a file that cannot be read."""

    def ensure_cluster_id(self) -> str:
        """The id in our marks. Kept beside the secrets, so that `down` needs none; else told by them; else made, for new secrets to tell."""

    def forget_cluster(self, *, keep_id: str = "") -> None:
        """After `down --secrets`: client files, machine configs, hints and the id; the secrets were moved aside before. `keep_id`: the id
        that something on a host still bears; the next secrets are made for it.
        """


class ClientFiles(Protocol):
    """talosconfig and kubeconfig: the cluster's own, and our contexts in the user's."""

    def write_client_files(self, *, talosconfig: bytes, kubeconfig: bytes) -> None:
        """The cluster's own files, replaced whole."""

    def read_client_file(self, name: str) -> bytes | None:
        """`talosconfig` or `kubeconfig` of this cluster's folder; None where there is none."""

    def merge_contexts(self) -> tuple[str, ...]:
        """Adds our contexts to the user's own kubeconfig and talosconfig, touching no other; returns what was changed."""

    def contexts(self) -> Mapping[str, ContextFacts]:
        """Our contexts in the user's files by the name of the file; never fails for a file of the user that cannot be read."""

    def remove_contexts(self) -> tuple[str, ...]:
        """Removes our contexts from the user's files, and leaves a file that cannot be changed as it is; returns what was changed."""


class HintStore(Protocol):
    """Small facts worth keeping between runs; never needed for truth."""

    def read_hints(self) -> Hints:
        """What is kept; nothing where the file cannot be read."""

    def write_hints(self, hints: Hints) -> None:
        """Replaces all that is kept."""


class Artifacts(Protocol):
    """What runs leave for people to look at."""

    def write_machine_config(self, machine: str, config: bytes) -> None:
        """The config of a machine as it was sent, keys included; replaces an earlier one."""

    def save_picture(self, run_folder: Path, machine: str, console: ConsoleFacts) -> Path:
        """The screen of a VM as PNG in the folder of a run; where it is. Raises ValueError for pixels that make no picture."""


class Store(SecretsStore, ClientFiles, HintStore, Artifacts, Protocol):
    """All of it."""

    folder: Path
    """`$PROVISION_HOME/<cluster>`."""


# --- the user's own files ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FoundContext:
    """Our context in a file of the user."""

    name: str
    """Its name there, or the one that it would get."""
    entry: object | None
    """It and what it refers to, as a value to compare; None when it is not there."""


class ContextFile(Protocol):
    """How one kind of client file (talosconfig, kubeconfig) is edited: pure, and without touching what is not ours.

    What is ours is told by the cluster's authority, which stands in our `own` file and in the `secrets` bundle, never by a name. `others`
    are further files that are read as one with this one. All raise ValueError for a file that is none of that kind, but never for
    damaged secrets.
    """

    def context_of(self, cluster: str) -> str:
        """The name that our context has where no other cluster's has it."""

    def find(
        self, existing: bytes, context: str, own: bytes | None, secrets: bytes | None, others: Sequence[bytes]
    ) -> FoundContext:
        """Our context in the user's file."""

    def merge(self, existing: bytes, ours: bytes, others: Sequence[bytes]) -> bytes:
        """The user's file with our context in it, new or renewed. The current context is set only if there was none."""

    def remove(self, existing: bytes, context: str, own: bytes | None, secrets: bytes | None) -> bytes:
        """The user's file without our context and what only it used."""

    def entry(self, own: bytes) -> object | None:
        """What `find` gives when the user's file says the same as our own."""

    def expires(self, own: bytes) -> datetime | None:
        """Until when the client certificate of our own file is good, UTC; None when there is none, or none that can be read."""
