"""The verbs of the API on the objects of one cluster. No sockets here: a request in, an answer out."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from provisioner.lab.kubernetes import budgets, discovery, patching, selectors, tables
from provisioner.lab.kubernetes.requests import Asked, Target, User, authorize, target_of
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.kube import manifests
from provisioner.lab.world.kube.cluster import RunningCluster
from provisioner.lab.world.kube.resources import Resource
from provisioner.lab.world.kube.store import Json, KubeError

DEFAULT_GRACE = 30
_KEPT = ("name", "namespace", "uid", "creationTimestamp")
"""Metadata that no client can change."""


@dataclass(frozen=True)
class Answer:
    code: int
    body: Json | str


class KubeApi:
    """All methods are called under the world's lock."""

    def __init__(self, kernel: Kernel, running: RunningCluster, version: str) -> None:
        self._kernel = kernel
        self._running = running
        self._version = version
        self.store = running.store

    def answer(self, user: User, asked: Asked) -> Answer:
        """Everything but watches. Raises KubeError."""
        authorize(user, asked)
        if (fixed := self._of_the_server(asked)) is not None:
            return fixed
        target = target_of(asked.path)
        verb = asked.verb(target)
        if target.subresource == "eviction" and target.resource.plural == "pods" and verb == "create":
            return self._evict(target, asked)
        if target.subresource not in ("", "status") or (target.subresource and not target.resource.status):
            raise KubeError(404, "NotFound", "the server could not find the requested resource")
        if verb == "list":
            return Answer(200, self._listed(target, asked))
        act = {"get": self._get, "create": self._create, "update": self._update, "patch": self._patch}
        return self._delete(target, asked) if verb == "delete" else act[verb](target, asked)

    def _of_the_server(self, asked: Asked) -> Answer | None:
        """What is asked of the server itself; None for what is about objects."""
        if asked.path in ("/readyz", "/livez", "/healthz"):
            return self._health(asked)
        if not self._running.has_quorum:
            raise KubeError(500, "InternalError", "etcdserver: request timed out")
        if asked.path == "/version":
            return Answer(200, discovery.version(self._version))
        if asked.path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" and asked.method == "POST":
            return Answer(201, {**asked.body, "status": {"allowed": True}})
        found = discovery.answer(asked.path)
        return None if found is None else Answer(200, found)

    # -- reading

    def bodies(self, target: Target, asked: Asked) -> list[Json]:
        """All objects that a list or a watch is about. Raises KubeError 400."""
        match = selectors.matcher(asked.query.get("labelSelector", ""), asked.query.get("fieldSelector", ""))
        plural = target.resource.plural
        found = self._running.leases() if plural == "leases" else self.store.all(plural, target.namespace)
        named = [body for body in found if target.name in ("", body["metadata"]["name"])]
        return [body for body in named if match(body) and self._in_namespace(body, target)]

    def shown(self, resource: Resource, bodies: list[Json], asked: Asked) -> Json:
        """Objects as a table."""
        return tables.table(
            resource.plural,
            bodies,
            store=self.store,
            now=self._kernel.clock.wall(),
            include=asked.query.get("includeObject", "Metadata"),
            version=str(self.store.version),
        )

    def _in_namespace(self, body: Json, target: Target) -> bool:
        return not target.namespace or body["metadata"].get("namespace") == target.namespace

    def _listed(self, target: Target, asked: Asked) -> Json:
        bodies = self.bodies(target, asked)
        if asked.as_table:
            return self.shown(target.resource, bodies, asked)
        return {
            "kind": f"{target.resource.kind}List",
            "apiVersion": target.resource.api_version,
            "metadata": {"resourceVersion": str(self.store.version)},
            "items": bodies,
        }

    def _get(self, target: Target, asked: Asked) -> Answer:
        return self._answer(target, self._present(target), asked)

    def _present(self, target: Target) -> Json:
        if target.resource.plural == "leases":
            for lease in self._running.leases():
                if lease["metadata"]["name"] == target.name and self._in_namespace(lease, target):
                    return lease
        return self.store.get(target.resource.plural, target.namespace, target.name)

    def _answer(self, target: Target, body: Json, asked: Asked, code: int = 200) -> Answer:
        return Answer(code, self.shown(target.resource, [body], asked) if asked.as_table else body)

    def _health(self, asked: Asked) -> Answer:
        healthy = self._running.has_quorum
        if healthy and "verbose" not in asked.query:
            return Answer(200, "ok")
        name = asked.path.strip("/")
        lines = ["[+]ping ok", "[+]etcd ok" if healthy else "[-]etcd failed: reason withheld"]
        lines.append(f"{name} check passed" if healthy else f"{name} check failed")
        return Answer(200 if healthy else 500, "\n".join(lines) + "\n")

    # -- writing

    def _create(self, target: Target, asked: Asked) -> Answer:
        body = self._object(target, asked.body)
        metadata = body["metadata"]
        if target.resource.namespaced:
            metadata["namespace"] = target.namespace
            if self.store.find("namespaces", "", target.namespace) is None:
                raise KubeError(404, "NotFound", f'namespaces "{target.namespace}" not found', name=target.namespace)
        if not metadata.get("name") and not metadata.get("generateName"):
            raise KubeError(422, "Invalid", f"{target.resource.kind} is invalid: metadata.name: Required value")
        if missing := manifests.missing_part(target.resource.plural, body):
            name, kind = metadata.get("name", ""), target.resource.kind
            raise KubeError(422, "Invalid", f'{kind} "{name}" is invalid: {missing}: Required value', name=name)
        body.setdefault("status", {} if target.resource.plural != "pods" else {"phase": "Pending"})
        if asked.is_dry_run:
            return self._answer(target, body, asked, 201)
        return self._answer(target, self.store.create(target.resource.plural, body), asked, 201)

    def _update(self, target: Target, asked: Asked) -> Answer:
        return self._written(target, self._object(target, asked.body), asked)

    def _patch(self, target: Target, asked: Asked) -> Answer:
        content_type = asked.content_type.partition(";")[0].strip()
        return self._written(target, patching.apply(content_type, self._present(target), asked.body), asked)

    def _written(self, target: Target, body: Json, asked: Asked) -> Answer:
        """A whole new version, of which the path may mean the status alone, or all but the status."""
        plural = target.resource.plural
        before = self.store.get(plural, target.namespace, target.name)
        metadata = body.setdefault("metadata", {})
        if metadata.get("name", target.name) != target.name:
            raise KubeError(400, "BadRequest", "the name of the object does not match the name on the URL")
        for key in _KEPT:
            if key in before["metadata"]:
                metadata[key] = before["metadata"][key]
        body |= {"kind": before["kind"], "apiVersion": before["apiVersion"]}
        if target.subresource == "status":
            body = {
                **before,
                "status": body.get("status", {}),
                "metadata": {**before["metadata"], **_version(metadata)},
            }
        elif target.resource.status:
            body = {**body, "status": before.get("status", {})}
        if plural == "nodes":
            _taint_cordoned(body)
        if asked.is_dry_run:
            return self._answer(target, body, asked)
        return self._answer(target, self.store.update(plural, body), asked)

    def _delete(self, target: Target, asked: Asked) -> Answer:
        before = self._present(target)
        options = asked.body if isinstance(asked.body, dict) else {}
        self._check_preconditions(before, options, target)
        if asked.is_dry_run:
            return Answer(200, before)
        if target.resource.plural == "pods":
            return Answer(200, self._running.workloads.end_pod(before, _grace(options, asked)))
        self.store.delete(target.resource.plural, target.namespace, target.name)
        details = {"name": target.name, "kind": target.resource.plural, "uid": before["metadata"]["uid"]}
        return Answer(200, _success(details))

    def _evict(self, target: Target, asked: Asked) -> Answer:
        """Deletes a pod if every budget allows it. Raises KubeError 429 when one does not."""
        pod = self.store.get("pods", target.namespace, target.name)
        options = (asked.body or {}).get("deleteOptions") or {}
        self._check_preconditions(pod, options, target)
        budgets.check(pod, self.store)
        if not asked.is_dry_run:
            self._running.workloads.end_pod(pod, _grace(options, asked))
        return Answer(201, _success({}))

    def _object(self, target: Target, body: Any) -> Json:
        if not isinstance(body, dict) or not isinstance(body.get("metadata", {}), dict):
            raise KubeError(400, "BadRequest", "the body of the request is no object")
        resource = target.resource
        if body.get("kind", resource.kind) != resource.kind:
            text = f"{body.get('kind')} in version {resource.version!r} cannot be handled as a {resource.kind}"
            raise KubeError(400, "BadRequest", text)
        return {**copy.deepcopy(body), "metadata": copy.deepcopy(body.get("metadata", {}))}

    def _check_preconditions(self, body: Json, options: Json, target: Target) -> None:
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted and wanted != body["metadata"]["uid"]:
            plural = target.resource.plural
            raise KubeError(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {plural} "{target.name}": the UID in the precondition ({wanted}) does not '
                f"match the UID in record ({body['metadata']['uid']}). The object might have been deleted and then recreated",
                name=target.name,
                kind=plural,
            )


def _grace(options: Json, asked: Asked) -> int:
    return int(options.get("gracePeriodSeconds", asked.query.get("gracePeriodSeconds", DEFAULT_GRACE)))


def _version(metadata: Json) -> Json:
    return {"resourceVersion": metadata["resourceVersion"]} if "resourceVersion" in metadata else {}


def _taint_cordoned(node: Json) -> None:
    """The node controller marks a cordoned node by a taint."""
    taints = [taint for taint in node["spec"].get("taints") or [] if taint["key"] != manifests.UNSCHEDULABLE]
    if node["spec"].get("unschedulable"):
        taints.append(manifests.taint(manifests.UNSCHEDULABLE))
    node["spec"]["taints"] = taints


def _success(details: Json) -> Json:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
