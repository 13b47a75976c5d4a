"""What Talos 1.11 finds in the part `cluster` of a machine config (v1alpha1_validation.go), as flat lists of checks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from provisioner.lab.world.guests import scalars
from provisioner.lab.world.guests.config import MachineConfig, dig

Findings = Iterator[str]

_DNS_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62}(\.[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62})*[._]?")


def findings(config: MachineConfig) -> Findings:
    cluster = config.get("cluster")
    if cluster is None:
        yield "cluster instructions are required"
        return
    if dig(cluster, "controlPlane", "endpoint") is None:
        yield "cluster controlplane endpoint is required"
        return
    if wrong := _bad_endpoint(config.endpoint):
        yield f"invalid controlplane endpoint: {wrong}"
    domain = dig(cluster, "network", "dnsDomain")
    if domain and not (_DNS_NAME.fullmatch(domain) and len(domain.replace(".", "")) <= 255):
        yield f'"{domain}" is not a valid DNS name'
    yield from _cloud_provider(dig(cluster, "externalCloudProvider") or {})
    yield from _etcd(cluster, control_plane=config.control_plane)
    if dig(cluster, "ca", "key") and not config.control_plane:
        yield "cluster CA key is not allowed on non-controlplane nodes (.cluster.ca)"
    names = [manifest.get("name", "") for manifest in cluster.get("inlineManifests") or []]
    for number, name in enumerate(names):
        if not name.strip():
            yield "inline manifest name can't be empty"
        if name in names[:number]:
            yield f'inline manifest name "{name}" is duplicate'
    yield from _discovery(config)
    yield from _components(cluster)


def _bad_endpoint(text: str) -> str:
    url = urlsplit(text)
    if not url.hostname:
        return "hostname must not be blank"
    port = url.netloc.rpartition("@")[2].rpartition("]")[2].rpartition(":")[2] if ":" in url.netloc else ""
    if port.isdigit() and not 1 <= int(port) <= 65535:
        return "port number must be between 1 and 65535"
    return ""


def _cloud_provider(spec: Mapping[str, Any]) -> Findings:
    manifests = spec.get("manifests") or []
    if not spec.get("enabled"):
        if manifests:
            yield "external cloud provider is disabled, but manifests are provided"
        return
    for url in manifests:
        if wrong := bad_url(url):
            yield f'invalid external cloud provider manifest url "{url}": {wrong}'


def bad_url(text: str) -> str:
    try:
        return _bad_endpoint(scalars.url(text))
    except (scalars.BadScalar, ValueError) as error:
        return str(error)


def _etcd(cluster: Mapping[str, Any], *, control_plane: bool) -> Findings:
    etcd = cluster.get("etcd")
    if etcd is None:
        return
    if not control_plane:
        yield "etcd config is only allowed on control plane machines"
        return
    if etcd.get("ca") is None:
        yield "key/cert combination should not be empty"
    advertised, subnet = etcd.get("advertisedSubnets") or [], etcd.get("subnet")
    if subnet and advertised:
        yield "etcd subnet can't be set when advertised subnets are set"
    yield from bad_subnets("etcd advertised subnet", advertised or ([subnet] if subnet else []))
    yield from bad_subnets("etcd listen subnet", etcd.get("listenSubnets") or advertised)


def bad_subnets(what: str, texts: Sequence[str]) -> Findings:
    """Of networks or addresses, each of which a `!` may exclude."""
    for bare in (text.removeprefix("!") for text in texts):
        if not scalars.is_network(bare) and not scalars.is_address(bare):
            yield f'{what} is not valid: "{bare}"'


def _discovery(config: MachineConfig) -> Findings:
    discovery = config.get("cluster", "discovery") or {}
    service = dig(discovery, "registries", "service") or {}
    if not discovery.get("enabled") or service.get("disabled"):
        return
    endpoint = service.get("endpoint") or "https://discovery.talos.dev/"
    wrong = (
        "" if re.match(r"(/|[A-Za-z][A-Za-z0-9+.-]*:)", endpoint) else f'parse "{endpoint}": invalid URI for request'
    )
    if wrong or (wrong := _unparsed(endpoint)):
        yield f"cluster discovery service registry endpoint is invalid: {wrong}"
    elif urlsplit(endpoint).path not in ("", "/"):
        yield "cluster discovery service path should be empty"
    if not config.cluster_id:
        yield "cluster discovery service requires .cluster.id"
    if not config.cluster_secret:
        yield "cluster discovery service requires .cluster.secret"


def _unparsed(text: str) -> str:
    try:
        scalars.url(text)
    except scalars.BadScalar as error:
        return str(error)
    return ""


def _components(cluster: Mapping[str, Any]) -> Findings:
    api = cluster.get("apiServer") or {}
    yield from list(_authorizers(api))[:1]
    for part, name in (
        ("apiServer", "apiserver"),
        ("controllerManager", "controller-manager"),
        ("scheduler", "scheduler"),
    ):
        resources = dig(cluster, part, "resources") or {}
        keys = [key for kind in ("requests", "limits") for key in resources.get(kind) or {}]
        for key in [key for key in keys if key not in ("cpu", "memory")][:1]:
            yield f'{name} resource validation failed: unsupported pod resource "{key}"'


def _authorizers(api: Mapping[str, Any]) -> Findings:
    if "authorizationConfig" not in api:
        return
    for key in api.get("extraArgs") or {}:
        if key == "authorization-mode":
            yield (
                "authorization-mode cannot be used in conjunction with AuthorizationConfig, "
                "use eitherr AuthorizationConfig or authorization-mode"
            )
        elif key.startswith("authorization-webhook-"):
            yield (
                "authorization-webhook-* flags cannot be used in conjunction with AuthorizationConfig, "
                "use either AuthorizationConfig or authorization-webhook-* flags"
            )
    for authorizer in api["authorizationConfig"]:
        kind = dig(authorizer, "type") or ""
        failed = "apiserver authorization config validation failed"
        if not kind:
            yield f"{failed}: authorizer type must be set"
        elif not authorizer.get("name"):
            yield f"{failed}: authorizer name must be set"
        elif kind not in ("Node", "RBAC", "Webhook"):
            yield f"{failed}: authorizer type {kind} is not allowed, allowed types are [Node RBAC Webhook]"
