"""The objects of one cluster, as etcd keeps them: versions that only grow, and the last changes for those who watch.

Bodies are never changed in place: a new version is a new object, so what was read or is on its way to a watcher stays as it was.
"""

from __future__ import annotations

import copy
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.kube.resources import BY_PLURAL
from provisioner.lab.world.state import KubeCluster, KubeObject

Json = dict[str, Any]

HISTORY = 5000
"""Changes that are kept for watchers; who comes with an older version is told that it is gone."""


class KubeError(Exception):
    """A refusal of the API, as the fields of its Status."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details


@dataclass(frozen=True)
class Change:
    """One version of one object. `before` is None for a new one, `after` for one that is gone."""

    version: int
    plural: str
    before: Json | None
    after: Json | None
    last: Json
    """The newest body; of one that is gone, with the version of its deletion."""


class ObjectStore:
    """All methods are called under the world's lock."""

    def __init__(self, kernel: Kernel, cluster: KubeCluster) -> None:
        self._kernel = kernel
        self.cluster = cluster
        self.changes: deque[Change] = deque(maxlen=HISTORY)
        self._first_version = cluster.resource_version
        self.on_change: Callable[[Change], None] = lambda _change: None

    @property
    def version(self) -> int:
        return self.cluster.resource_version

    def get(self, plural: str, namespace: str, name: str) -> Json:
        """Raises KubeError 404."""
        found = self.find(plural, namespace, name)
        if found is None:
            raise KubeError(404, "NotFound", f'{_qualified(plural)} "{name}" not found', name=name, kind=plural)
        return found

    def find(self, plural: str, namespace: str, name: str) -> Json | None:
        found = self.cluster.objects.get(_key(plural, namespace, name))
        return found.body if found else None

    def all(self, plural: str, namespace: str = "") -> list[Json]:
        """Sorted by namespace and name, as etcd lists them."""
        prefix = f"{plural}/{namespace}/" if namespace else f"{plural}/"
        return [self.cluster.objects[key].body for key in sorted(self.cluster.objects) if key.startswith(prefix)]

    def create(self, plural: str, body: Json) -> Json:
        """Raises KubeError 409."""
        body = copy.deepcopy(body)
        resource, metadata = BY_PLURAL[plural], body.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + self.random_suffix()
        name, namespace = metadata["name"], metadata.get("namespace", "")
        if self.find(plural, namespace, name) is not None:
            raise KubeError(
                409, "AlreadyExists", f'{_qualified(plural)} "{name}" already exists', name=name, kind=plural
            )
        metadata["uid"] = str(uuid.UUID(int=self._kernel.random.getrandbits(128), version=4))
        metadata["creationTimestamp"] = self.now()
        return self._put(plural, None, {"kind": resource.kind, "apiVersion": resource.api_version, **body})

    def update(self, plural: str, body: Json) -> Json:
        """A new version of an object that is there; what equals the present one makes none. Raises KubeError 404, 409."""
        metadata = body["metadata"]
        before = self.get(plural, metadata.get("namespace", ""), metadata["name"])
        version = metadata.get("resourceVersion")
        if version and version != before["metadata"]["resourceVersion"]:
            raise KubeError(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {_qualified(plural)} "{metadata["name"]}": the object has been modified; '
                "please apply your changes to the latest version and try again",
                name=metadata["name"],
                kind=plural,
            )
        if body == before:
            return before
        return self._put(plural, before, copy.deepcopy(body))

    def change(self, plural: str, body: Json, change: Callable[[Json], None]) -> Json:
        """The rules' own way to update: `change` edits a copy of the present body."""
        edited = copy.deepcopy(body)
        change(edited)
        return self.update(plural, edited)

    def delete(self, plural: str, namespace: str, name: str) -> Json:
        """Raises KubeError 404."""
        before = self.get(plural, namespace, name)
        del self.cluster.objects[_key(plural, namespace, name)]
        return self._tell(plural, before, None, before)

    def since(self, version: int) -> Iterator[Change]:
        """The changes after that version. Raises KubeError 410 when some of them are forgotten."""
        oldest = self._first_version if len(self.changes) < HISTORY else self.changes[0].version
        if version < oldest:
            raise KubeError(410, "Expired", f"too old resource version: {version} ({oldest})")
        return iter([change for change in self.changes if change.version > version])

    def now(self) -> str:
        """The real date: clients compare it with their own clock."""
        return self._kernel.clock.wall().strftime("%Y-%m-%dT%H:%M:%SZ")

    def random_suffix(self, length: int = 5) -> str:
        """As Kubernetes makes names: no vowels, no digits that look like letters."""
        return "".join(self._kernel.random.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(length))

    def _put(self, plural: str, before: Json | None, body: Json) -> Json:
        metadata = body["metadata"]
        key = _key(plural, metadata.get("namespace", ""), metadata["name"])
        self.cluster.objects[key] = KubeObject(body)
        return self._tell(plural, before, body, body)

    def _tell(self, plural: str, before: Json | None, after: Json | None, last: Json) -> Json:
        self.cluster.resource_version += 1
        last = {**last, "metadata": {**last["metadata"], "resourceVersion": str(self.cluster.resource_version)}}
        if after is not None:
            after = last
            self.cluster.objects[
                _key(plural, last["metadata"].get("namespace", ""), last["metadata"]["name"])
            ].body = last
        change = Change(self.cluster.resource_version, plural, before, after, last)
        self.changes.append(change)
        self.on_change(change)
        self._kernel.changed("kube", self.cluster.id)
        return last


def _key(plural: str, namespace: str, name: str) -> str:
    return f"{plural}/{namespace}/{name}" if BY_PLURAL[plural].namespaced else f"{plural}/{name}"


def _qualified(plural: str) -> str:
    """As Kubernetes names a resource in its messages: `nodes`, `daemonsets.apps`."""
    group = BY_PLURAL[plural].group
    return f"{plural}.{group}" if group else plural
