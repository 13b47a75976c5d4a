"""Talos' files without Talos: JSON that says what it was made of, so that a test, and the fakes of the machines, can read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from provisioner.errors import Fault, Finding
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.effective import EffectiveConfig
from provisioner.ports import Bundle, Configs, TalosAccess
from tests.fakes.script import Scripted


@dataclass(frozen=True)
class FakeBundle:
    """The secrets of the cluster of that id (Talos' own, not the one of our marks)."""

    cluster_id: str


OURS = FakeBundle("talos-of-home")
"""Of the cluster that the worlds of the tests show."""

_: type[Bundle] = FakeBundle


def access_of(bundle: Bundle) -> TalosAccess:
    """Machines whose config came from that bundle take it, and no others."""
    return TalosAccess(ca=bundle.cluster_id.encode(), crt=b"admin", key=b"key")


class FakeConfigs(Scripted):
    def __init__(self, new: Bundle = OURS) -> None:
        super().__init__()
        self.new = new
        self.wrong: tuple[Finding, ...] = ()
        """What Talos would refuse."""
        self.patched: dict[str, dict[str, Any]] = {}
        """By machine: values of the effective config that patches set."""

    def new_bundle(self, cluster: Cluster, mark_id: str) -> Bundle:
        with self._told("new_bundle", cluster=cluster, mark_id=mark_id):
            return self.new

    def read_bundle(self, text: bytes) -> Bundle:
        with self._told("read_bundle", text=text):
            try:
                return FakeBundle(**json.loads(text))
            except (ValueError, TypeError) as error:
                raise Fault("P-CONFIG-BADSECRETS", "the secrets bundle is not whole", seen=(str(error),)) from None

    def write_bundle(self, bundle: Bundle) -> bytes:
        return json.dumps({"cluster_id": bundle.cluster_id}).encode()

    def machine_config(self, cluster: Cluster, machine: MachineSpec, bundle: Bundle, *, endpoint: str) -> bytes:
        with self._told("machine_config", machine=machine.name, endpoint=endpoint):
            return json.dumps(
                {"cluster": bundle.cluster_id, "machine": machine.name, "role": machine.role, "endpoint": endpoint}
            ).encode()

    def findings(self, cluster: Cluster) -> tuple[Finding, ...]:
        return self.wrong

    def effective(self, cluster: Cluster, machine: MachineSpec, *, endpoint: str = "") -> EffectiveConfig:
        plain = EffectiveConfig(
            install_disk=cluster.install_disk,
            hostname=machine.name,
            node_name=machine.name,
            vip=cluster.vip,
            endpoint=cluster.endpoint or endpoint,
            pod_subnets=cluster.network.pod_subnets,
            service_subnets=cluster.network.service_subnets,
            kubernetes=cluster.kubernetes,
            installer=cluster.image.installer,
        )
        return replace(plain, **self.patched.get(machine.name, {}))

    def access(self, bundle: Bundle) -> TalosAccess:
        return access_of(bundle)

    def talosconfig(self, cluster: Cluster, bundle: Bundle, *, endpoints: Sequence[str], nodes: Sequence[str]) -> bytes:
        text = {"context": cluster.name, "ca": bundle.cluster_id, "endpoints": list(endpoints), "nodes": list(nodes)}
        return json.dumps(text).encode()

    def kubeconfig(self, cluster: Cluster, bundle: Bundle, *, server: str) -> bytes:
        return json.dumps({"context": f"admin@{cluster.name}", "ca": bundle.cluster_id, "server": server}).encode()


__: type[Configs] = FakeConfigs
