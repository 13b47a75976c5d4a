"""Watches: what a client missed since the version it knows, then every change, as it happens."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.lab.kubernetes import selectors
from provisioner.lab.kubernetes.api import KubeApi
from provisioner.lab.kubernetes.requests import Asked, Target, status_of
from provisioner.lab.world.kube.store import Change, Json, KubeError

INITIAL_END = "k8s.io/initial-events-end"
DEFAULT_TIMEOUT_S = 1800.0
BOOKMARK_EVERY_S = 10.0
"""Real seconds: a client's time-outs are real, too."""


class Watch:
    """One watch. All methods are called under the world's lock; events come as JSON objects."""

    def __init__(self, api: KubeApi, target: Target, asked: Asked) -> None:
        self._api = api
        self._target = target
        self._asked = asked
        self._match = selectors.matcher(asked.query.get("labelSelector", ""), asked.query.get("fieldSelector", ""))
        self._version = api.store.version
        self.wants_bookmarks = asked.query.get("allowWatchBookmarks", "") in ("true", "1")

    @property
    def timeout_s(self) -> float:
        return float(self._asked.query.get("timeoutSeconds") or DEFAULT_TIMEOUT_S)

    def begin(self) -> Iterator[Json]:
        """Where it starts: at a version, or with all that is there. One that is forgotten ends it with an ERROR event."""
        asked = self._asked.query
        if asked.get("sendInitialEvents") == "true":
            yield from self._all()
            yield self._bookmark({INITIAL_END: "true"})
        elif asked.get("resourceVersion", "0") in ("", "0"):
            yield from self._all()
        else:
            try:
                self._version = int(asked["resourceVersion"])
            except ValueError:
                raise KubeError(400, "BadRequest", "resourceVersion must be a number") from None
            yield from self.news()

    def news(self) -> Iterator[Json]:
        """Events since the last call. Raises KubeError 410 when too much has happened meanwhile."""
        for change in self._api.store.since(self._version):
            self._version = change.version
            if (event := self._event(change)) is not None:
                yield event

    def bookmark(self) -> Json:
        """So far the client has seen everything."""
        self._version = self._api.store.version
        return self._bookmark({})

    def failed(self, error: KubeError) -> Json:
        return {"type": "ERROR", "object": status_of(error)}

    def _all(self) -> Iterator[Json]:
        for body in self._api.bodies(self._target, self._asked):
            yield self._shown("ADDED", body)

    def _event(self, change: Change) -> Json | None:
        """What the change is to this client: an object that begins to match is new to it, one that ceases is gone."""
        if change.plural != self._target.resource.plural or not self._is_about(change.last):
            return None
        before = change.before is not None and self._match(change.before)
        after = change.after is not None and self._match(change.after)
        if not before and not after:
            return None
        return self._shown("DELETED" if not after else "MODIFIED" if before else "ADDED", change.last)

    def _is_about(self, body: Json) -> bool:
        metadata, target = body["metadata"], self._target
        return target.name in ("", metadata["name"]) and target.namespace in ("", metadata.get("namespace", ""))

    def _shown(self, kind: str, body: Json) -> Json:
        shown = self._api.shown(self._target.resource, [body], self._asked) if self._asked.as_table else body
        return {"type": kind, "object": shown}

    def _bookmark(self, annotations: dict[str, str]) -> Json:
        resource = self._target.resource
        metadata: Json = {"resourceVersion": str(self._api.store.version), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        body: Json = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self._asked.as_table:
            body = {**self._api.shown(resource, [], self._asked), "metadata": metadata}
        return {"type": "BOOKMARK", "object": body}
