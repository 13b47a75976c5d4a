"""What is kept on this computer, in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provisioner.model.facts import ConsoleFacts, ContextFacts, ContextState, SecretsFacts
from provisioner.model.hints import Hints
from provisioner.ports import Store
from tests.fakes.script import Scripted

NEW_ID = "c1d2e3f4"
"""The id of a cluster that had none."""


class FakeStore(Scripted):
    def __init__(
        self,
        *,
        secrets: bytes | None = None,
        cluster_id: str = "",
        access: Mapping[str, ContextFacts] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.folder = Path("~/.provision/home")
        self.secrets = secrets
        self.cluster_id = cluster_id
        self.access = dict(access or {})
        """Our contexts in the user's own files, as `Store.contexts` tells them."""
        self.notes: dict[str, Any] = dict(notes or {})
        """What stands in the file of the hints."""
        self.aside: list[bytes] = []
        """Secrets that were moved aside."""
        self.files: dict[str, bytes] = {}
        self.machine_configs: dict[str, bytes] = {}

    def read_secrets(self) -> bytes | None:
        with self._told("read_secrets"):
            return self.secrets

    def write_secrets(self, text: bytes) -> None:
        with self._told("write_secrets", text=text):
            self.secrets = text

    def remove_secrets(self) -> None:
        with self._told("remove_secrets"):
            if self.secrets is not None:
                self.aside.append(self.secrets)
            self.secrets = None

    def secrets_facts(self) -> SecretsFacts:
        path = str(self.folder / "secrets.yaml")
        return SecretsFacts(exists=self.secrets is not None, cluster_id=self.cluster_id, path=path)

    def ensure_cluster_id(self) -> str:
        self.cluster_id = self.cluster_id or NEW_ID
        return self.cluster_id

    def forget_cluster(self, *, keep_id: str = "") -> None:
        with self._told("forget_cluster", keep_id=keep_id):
            self.cluster_id, self.notes = keep_id, {}
            self.files.clear()
            self.machine_configs.clear()

    def write_client_files(self, *, talosconfig: bytes, kubeconfig: bytes) -> None:
        with self._told("write_client_files"):
            self.files = {"talosconfig": talosconfig, "kubeconfig": kubeconfig}

    def read_client_file(self, name: str) -> bytes | None:
        return self.files.get(name)

    def write_machine_config(self, machine: str, config: bytes) -> None:
        with self._told("write_machine_config", machine=machine, config=config):
            self.machine_configs[machine] = config

    def merge_contexts(self) -> tuple[str, ...]:
        with self._told("merge_contexts"):
            states = {name: found.state for name, found in self.access.items()}
            changed = tuple(name for name in self.files if states.get(name) is not ContextState.CURRENT)
            self.access |= dict.fromkeys(changed, ContextFacts(state=ContextState.CURRENT))
            return changed

    def contexts(self) -> Mapping[str, ContextFacts]:
        return dict(self.access)

    def remove_contexts(self) -> tuple[str, ...]:
        with self._told("remove_contexts"):
            removed = tuple(name for name, found in self.access.items() if found.there)
            self.access |= dict.fromkeys(removed, ContextFacts(state=ContextState.MISSING))
            return removed

    def read_hints(self) -> Hints:
        return Hints.from_json(json.loads(json.dumps(self.notes)))

    def write_hints(self, hints: Hints) -> None:
        with self._told("write_hints", hints=hints):
            self.notes = json.loads(json.dumps(hints.to_json()))

    def save_picture(self, run_folder: Path, machine: str, console: ConsoleFacts) -> Path:
        with self._told("save_picture", machine=machine):
            return run_folder / f"{machine}.png"


_: type[Store] = FakeStore
