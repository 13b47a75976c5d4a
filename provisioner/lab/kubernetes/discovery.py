"""What the API tells of itself: versions, groups, and the resources of each group."""

from __future__ import annotations

from provisioner.lab.world.kube import manifests
from provisioner.lab.world.kube.resources import ALL_VERBS, GROUPS, RESOURCES, Resource
from provisioner.lab.world.kube.store import Json


def answer(path: str) -> Json | None:
    """The document of a discovery path, None when it is none."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*pair) for pair in GROUPS]}
    if path == "/api/v1":
        return _resources("", "v1")
    for group, version in GROUPS:
        if path == f"/apis/{group}":
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, version)}
        if path == f"/apis/{group}/{version}":
            return _resources(group, version)
    return None


def version(git_version: str) -> Json:
    major, minor = git_version.removeprefix("v").split(".")[:2]
    return manifests.made("version", major=major, minor=minor, version=git_version)


def _group(group: str, version: str) -> Json:
    entry = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [entry], "preferredVersion": entry}


def _resources(group: str, version: str) -> Json:
    rows: list[Json] = []
    for resource in RESOURCES:
        if (resource.group, resource.version) == (group, version):
            rows += _rows(resource)
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": rows,
    }


def _rows(resource: Resource) -> list[Json]:
    row: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(ALL_VERBS),
    }
    if resource.short:
        row["shortNames"] = list(resource.short)
    if resource.categories:
        row["categories"] = list(resource.categories)
    rows = [row]
    if resource.status:
        rows.append({**_sub(resource, "status"), "kind": resource.kind, "verbs": ["get", "patch", "update"]})
    if resource.plural == "pods":
        rows.append(
            {**_sub(resource, "eviction"), "group": "policy", "version": "v1", "kind": "Eviction", "verbs": ["create"]}
        )
    return rows


def _sub(resource: Resource, name: str) -> Json:
    return {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
