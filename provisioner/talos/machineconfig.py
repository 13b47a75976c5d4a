"""Machine configs as `talosctl gen config` makes them, for version contract 1.11.

One function per contract; the rest of the program sees a list of documents. Every machine of a role gets the same config but
for what `node_patch` lays over it. Source: Talos' generate package; equal to its own reference files, byte for byte.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from provisioner.model.cluster import Cluster, MachineSpec, Role
from provisioner.model.naming import spaced_mac
from provisioner.model.versions import contract_of
from provisioner.talos import patches
from provisioner.talos.pki import CertificateAndKey
from provisioner.talos.schema import Document, Problem, Schema, load_schema
from provisioner.talos.secrets import SecretsBundle, encoded, encoded_pair

KUBE_PRISM_PORT = 7445
"""Where every machine reaches the Kubernetes API on its own loopback."""

_NO_PAIR = CertificateAndKey(crt=b"", key=b"")
NO_SECRETS = SecretsBundle(
    cluster_id="",
    cluster_secret="",
    bootstrap_token="",
    secretbox_secret="",
    trustd_token="",
    etcd=_NO_PAIR,
    kubernetes=_NO_PAIR,
    aggregator=_NO_PAIR,
    service_account_key=b"",
    os=_NO_PAIR,
)
"""To see what a config says besides its secrets. No machine takes such a config."""


def generate(role: Role, cluster: Cluster, bundle: SecretsBundle, *, endpoint: str) -> list[Document]:
    """The documents of one role, in Talos' key order; `endpoint` is the one that was decided on.

    Raises KeyError for a release whose contract we do not know.
    """
    return {"v1.11": _generate_v1_11}[contract_of(cluster.talos)](role, cluster, bundle, endpoint)


def before_patches(
    cluster: Cluster, machine: MachineSpec, bundle: SecretsBundle, endpoint: str
) -> tuple[list[Document], Schema]:
    """The decoded documents of a machine before any patch of the cluster file, and the table they were decoded by."""
    schema = load_schema(contract_of(cluster.talos))
    problems: list[Problem] = []
    generated = generate(machine.role, cluster, bundle, endpoint=endpoint)
    documents = [schema.decode(document, problems) for document in generated]
    assert not problems, f"what we generate is what Talos reads: {problems[0]}"
    own = patches.load_patch([node_patch(cluster, machine)], schema)
    return patches.apply_patch(documents, own, schema), schema


def node_patch(cluster: Cluster, machine: MachineSpec) -> Document:
    """What is this machine's alone: its host name, and on control planes the shared address.

    The network adapter is named by its MAC address: the names that Linux gives to a Hyper-V adapter are not certain. An
    `address:` of the cluster file is one that the router hands out (no prefix and no gateway are known here), so the adapter
    keeps DHCP; a static one is set by a patch.
    """
    network: dict[str, Any] = {"hostname": machine.name}
    if cluster.vip and machine.role is Role.CONTROL_PLANE:
        network["interfaces"] = [
            {
                "deviceSelector": {"hardwareAddr": spaced_mac(machine.mac, ":").lower()},
                "dhcp": True,
                "vip": {"ip": cluster.vip},
            }
        ]
    return {"version": "v1alpha1", "machine": {"network": network}}


def _generate_v1_11(role: Role, cluster: Cluster, bundle: SecretsBundle, endpoint: str) -> list[Document]:
    return [
        {
            "version": "v1alpha1",
            "debug": False,
            "persist": True,
            "machine": _machine_v1_11(role, cluster, bundle),
            "cluster": _cluster_v1_11(role, cluster, bundle, endpoint),
        }
    ]


def _machine_v1_11(role: Role, cluster: Cluster, bundle: SecretsBundle) -> Document:
    machine: Document = {
        "type": role.value,
        "token": bundle.trustd_token,
        "ca": _ca(role, encoded_pair(bundle.os)),
        "certSANs": list(cluster.cert_sans),
        "kubelet": {
            "image": f"ghcr.io/siderolabs/kubelet:{cluster.kubernetes}",
            "defaultRuntimeSeccompProfileEnabled": True,
            "disableManifestsDirectory": True,
        },
        "network": {},
        "install": {"disk": cluster.install_disk, "image": cluster.installer, "wipe": False},
        "features": {
            "rbac": True,
            "stableHostname": True,
            "apidCheckExtKeyUsage": True,
            "diskQuotaSupport": True,
            "kubePrism": {"enabled": True, "port": KUBE_PRISM_PORT},
            "hostDNS": {"enabled": True, "forwardKubeDNSToHost": True},
        },
    }
    if role is Role.CONTROL_PLANE:
        machine["nodeLabels"] = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
    return machine


def _cluster_v1_11(role: Role, cluster: Cluster, bundle: SecretsBundle, endpoint: str) -> Document:
    shared: Document = {
        "id": bundle.cluster_id,
        "secret": bundle.cluster_secret,
        "controlPlane": {"endpoint": endpoint},
        "clusterName": cluster.name,
        "network": {
            "dnsDomain": cluster.network.dns_domain,
            "podSubnets": list(cluster.network.pod_subnets),
            "serviceSubnets": list(cluster.network.service_subnets),
        },
        "token": bundle.bootstrap_token,
    }
    ca = _ca(role, encoded_pair(bundle.kubernetes))
    discovery = {"enabled": True, "registries": {"kubernetes": {"disabled": True}, "service": {}}}
    if role is not Role.CONTROL_PLANE:
        return shared | {"ca": ca, "discovery": discovery}
    encryption = {
        "aescbcEncryptionSecret": bundle.aescbc_secret,
        "secretboxEncryptionSecret": bundle.secretbox_secret,
    }
    return (
        shared
        | {key: secret for key, secret in encryption.items() if secret}
        | {
            "ca": ca,
            "aggregatorCA": encoded_pair(bundle.aggregator),
            "serviceAccount": {"key": encoded(bundle.service_account_key)},
            "apiServer": _api_server_v1_11(cluster, endpoint),
            "controllerManager": {"image": f"registry.k8s.io/kube-controller-manager:{cluster.kubernetes}"},
            "proxy": {"image": f"registry.k8s.io/kube-proxy:{cluster.kubernetes}"},
            "scheduler": {"image": f"registry.k8s.io/kube-scheduler:{cluster.kubernetes}"},
            "discovery": discovery,
            "etcd": {"ca": encoded_pair(bundle.etcd)},
        }
        | ({"allowSchedulingOnControlPlanes": True} if cluster.schedule_on_control_planes else {})
    )


def _api_server_v1_11(cluster: Cluster, endpoint: str) -> Document:
    pod_security = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1alpha1",
        "defaults": {
            "audit": "restricted",
            "audit-version": "latest",
            "enforce": "baseline",
            "enforce-version": "latest",
            "warn": "restricted",
            "warn-version": "latest",
        },
        "exemptions": {"namespaces": ["kube-system"], "runtimeClasses": [], "usernames": []},
        "kind": "PodSecurityConfiguration",
    }
    return {
        "image": f"registry.k8s.io/kube-apiserver:{cluster.kubernetes}",
        "certSANs": [urlsplit(endpoint).hostname or "", *cluster.cert_sans],
        "disablePodSecurityPolicy": True,
        "admissionControl": [{"name": "PodSecurity", "configuration": pod_security}],
        "auditPolicy": {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]},
    }


def _ca(role: Role, pair: dict[str, str]) -> dict[str, str]:
    """Workers get the certificate of a CA and never its key; the empty key is written, as Talos does."""
    return pair if role is Role.CONTROL_PLANE else {**pair, "key": ""}
