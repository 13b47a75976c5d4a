"""A machine config as the machine itself reads it: the few fields by which its life is decided."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from provisioner.lab.world.guests import decode

CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"
"""Label of a control plane's node, and key of its taint."""


STATIC_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


def dig(value: Any, *path: str) -> Any:
    """The value below those keys, or None where one of them is missing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _pem(text: Any) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        return b""


def _text(*path: str) -> cached_property[str]:
    """A field that is a text; empty where it is not given."""
    return cached_property(lambda config: str(config.get(*path) or ""))


def _texts(*path: str, usual: tuple[str, ...] = ()) -> cached_property[list[str]]:
    """A field that is a list of texts; `usual` where it is empty or not given."""
    return cached_property(lambda config: [str(item) for item in config.get(*path) or usual])


def _pair(*path: str) -> cached_property[tuple[bytes, bytes]]:
    """Certificate and key of an authority, PEM; the key is empty on workers."""
    return cached_property(lambda config: (_pem(config.get(*path, "crt")), _pem(config.get(*path, "key"))))


@dataclass(frozen=True)
class MachineConfig:
    """A whole config, as bytes, and what Talos takes from it. Fields are read once: a hundred machines compare them often.

    Each of them raises NotDecoded for bytes that are no config; one that a machine runs by was checked before.
    """

    data: bytes

    token = _text("machine", "token")
    cluster_id = _text("cluster", "id")
    cluster_secret = _text("cluster", "secret")
    cluster_name = _text("cluster", "clusterName")
    endpoint = _text("cluster", "controlPlane", "endpoint")
    """URL of the Kubernetes API."""
    fqdn = _text("machine", "network", "hostname")
    """The name in the config, which may have a domain; empty when it names none: then Talos makes one of the machine's identity."""
    install_image = _text("machine", "install", "image")
    kubelet_image = _text("machine", "kubelet", "image")
    cert_sans = _texts("machine", "certSANs")
    nameservers = _texts("machine", "network", "nameservers", usual=("1.1.1.1", "8.8.8.8"))
    time_servers = _texts("machine", "time", "servers", usual=("time.cloudflare.com",))
    os_ca = _pair("machine", "ca")
    """Of the Talos API."""
    kubernetes_ca = _pair("cluster", "ca")

    @cached_property
    def documents(self) -> list[dict[str, Any]]:
        return decode.decode(self.data)

    @cached_property
    def v1alpha1(self) -> dict[str, Any] | None:
        """The main document, or None in a partial config."""
        return next((document for document in self.documents if "kind" not in document), None)

    def get(self, *path: str) -> Any:
        return dig(self.v1alpha1, *path)

    def document(self, kind: str) -> dict[str, Any]:
        return next((d for d in self.documents if d.get("kind") == kind), {})

    @cached_property
    def control_plane(self) -> bool:
        return self.get("machine", "type") in ("controlplane", "init")

    @cached_property
    def endpoint_host(self) -> str:
        return urlsplit(self.endpoint).hostname or ""

    @property
    def accepted_cas(self) -> list[bytes]:
        return [_pem(dig(item, "crt")) for item in self.get("machine", "acceptedCAs") or []]

    @cached_property
    def etcd_ca(self) -> bytes:
        return _pem(self.get("cluster", "etcd", "ca", "crt"))

    @property
    def static_pods(self) -> tuple[str, ...]:
        """Components of a control plane that its kubelet runs; any but the API server may be switched off."""
        parts = (("kube-controller-manager", "controllerManager"), ("kube-scheduler", "scheduler"))
        off = [name for name, key in parts if self.get("machine", "controlPlane", key, "disabled")]
        return tuple(name for name in STATIC_PODS if name not in off)

    @property
    def registers_node(self) -> bool:
        return not self.get("machine", "kubelet", "skipNodeRegistration")

    @property
    def node_labels(self) -> dict[str, str]:
        """Those that Talos puts on the node, its own among them."""
        own = {CONTROL_PLANE_LABEL: ""} if self.control_plane else {}
        return own | dict(self.get("machine", "nodeLabels") or {})

    @property
    def node_annotations(self) -> dict[str, str]:
        return dict(self.get("machine", "nodeAnnotations") or {})

    @property
    def node_taints(self) -> dict[str, tuple[str, str]]:
        """Key -> value, effect."""
        own = self.control_plane and not self.get("cluster", "allowSchedulingOnControlPlanes")
        found = {CONTROL_PLANE_LABEL: ("", "NoSchedule")} if own else {}
        for key, text in (self.get("machine", "nodeTaints") or {}).items():
            value, colon, effect = text.partition(":")
            found[key] = (value, effect) if colon else ("", value)
        return found

    @property
    def interfaces(self) -> list[dict[str, Any]]:
        return [item for item in self.get("machine", "network", "interfaces") or [] if isinstance(item, dict)]

    @property
    def static_address(self) -> str:
        """The first IPv4 address given to an interface, without its prefix length; empty when DHCP decides."""
        for interface in self.interfaces:
            for address in interface.get("addresses") or []:
                if ":" not in str(address):
                    return str(address).split("/")[0]
        return ""

    @cached_property
    def virtual_ip(self) -> str:
        return next((str(dig(i, "vip", "ip")) for i in self.interfaces if dig(i, "vip", "ip")), "")

    @cached_property
    def discovery(self) -> bool:
        return bool(self.get("cluster", "discovery", "enabled")) and bool(self.cluster_id and self.cluster_secret)

    @property
    def time_disabled(self) -> bool:
        return bool(self.get("machine", "time", "disabled"))

    @property
    def rbac(self) -> bool:
        return self.get("machine", "features", "rbac") is not False

    @property
    def cni(self) -> str:
        """`flannel`, `custom` or `none`."""
        return str(self.get("cluster", "network", "cni", "name") or "flannel")

    @property
    def kubernetes_version(self) -> str:
        """As v1.34.1, from the kubelet's image."""
        return self.kubelet_image.rpartition(":")[2].split("@")[0]

    def same_cluster(self, other: MachineConfig) -> bool:
        """Whether a trustd of the other would serve this machine: same token, same CA."""
        return self.token == other.token and self.os_ca[0] == other.os_ca[0]
