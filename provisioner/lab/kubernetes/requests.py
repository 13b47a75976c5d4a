"""A request taken apart: who asks, for what, and in which form the answer is wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioner.lab.world.kube.resources import BY_PLURAL, Resource
from provisioner.lab.world.kube.store import KubeError

ADMIN_GROUP = "system:masters"
OPEN_PATHS = ("/readyz", "/livez", "/healthz", "/version")
"""What any client may ask."""


@dataclass(frozen=True)
class User:
    """The name and groups of a client certificate, or those of an anonymous client."""

    name: str = "system:anonymous"
    groups: tuple[str, ...] = ("system:unauthenticated",)

    @classmethod
    def of(cls, certificate: Mapping[str, Any] | None) -> User:
        """From what the ssl module tells of the peer, which it has verified."""
        rows = [pair for rdn in (certificate or {}).get("subject", ()) for pair in rdn]
        name = next((value for key, value in rows if key == "commonName"), "")
        if not name:
            return cls()
        groups = tuple(value for key, value in rows if key == "organizationName")
        return cls(name, (*groups, "system:authenticated"))


@dataclass(frozen=True)
class Target:
    """What a path names: a list, an object, or a part of one."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = ""
    content_type: str = ""
    body: Any = None

    @property
    def as_table(self) -> bool:
        return "as=Table" in self.accept

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch", "") in ("true", "1")

    @property
    def is_dry_run(self) -> bool:
        return bool(self.query.get("dryRun"))

    def verb(self, target: Target) -> str:
        """Kubernetes' word for it."""
        if self.method == "GET":
            return "get" if target.name else "watch" if self.is_watch else "list"
        words = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        verb = words.get(self.method, "")
        fits = bool(target.subresource) or not target.name if verb == "create" else bool(target.name)
        if not verb or not fits:
            raise KubeError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        return verb


def target_of(path: str) -> Target:
    """Raises KubeError 404 for a path that is none of the API's."""
    found = _PATH.fullmatch(path.rstrip("/"))
    parts = {key: value or "" for key, value in found.groupdict().items()} if found else {}
    resource = BY_PLURAL.get(parts.get("plural", ""))
    if resource is not None and parts["api"] == _root(resource):
        target = Target(resource, parts["namespace"], parts["name"], parts["part"])
        if resource.namespaced and (target.namespace or not target.name):
            return target
        if not resource.namespaced and not target.namespace:
            return target
    raise KubeError(404, "NotFound", "the server could not find the requested resource")


_PATH = re.compile(
    r"/(?P<api>api/v1|apis/[^/]+/[^/]+)(/namespaces/(?P<namespace>[^/]+)(?!/status$)(?=/))?"
    r"/(?P<plural>[^/]+)(/(?P<name>[^/]+)(/(?P<part>[^/]+))?)?"
)


def _root(resource: Resource) -> str:
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


def authorize(user: User, asked: Asked) -> None:
    """Raises KubeError 403. Administrators may do all; no one else is known here."""
    if ADMIN_GROUP in user.groups or asked.path.split("/")[1] in {path[1:] for path in OPEN_PATHS}:
        return
    try:
        target = target_of(asked.path)
        verb = asked.verb(target)
    except KubeError:
        text = f'forbidden: User "{user.name}" cannot {asked.method.lower()} path "{asked.path}"'
        raise KubeError(403, "Forbidden", text) from None
    resource = target.resource
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    qualified = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    named = f' "{target.name}"' if target.name else ""
    raise KubeError(
        403,
        "Forbidden",
        f'{qualified}{named} is forbidden: User "{user.name}" cannot {verb} resource "{resource.plural}" '
        f'in API group "{resource.group}" {where}',
        name=target.name,
        kind=resource.plural,
    )


def status_of(error: KubeError) -> dict[str, Any]:
    """The Status object of a refusal."""
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": error.reason,
        "code": error.code,
    }
    if details := {key: value for key, value in error.details.items() if value}:
        body["details"] = details
    return body
