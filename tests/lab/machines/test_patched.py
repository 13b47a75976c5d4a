"""Clusters whose configs say something else than the defaults: names with a domain, parts switched off, networks of the user's own."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from provisioner.lab.kubernetes.api import KubeApi
from provisioner.lab.kubernetes.requests import Asked, User
from provisioner.lab.machines.kinds import ALL
from provisioner.lab.machines.resources import View
from provisioner.lab.world.guests import sequences
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.kube import pods
from provisioner.lab.world.kube.cluster import RunningCluster
from provisioner.lab.world.kube.rules import LabKube
from provisioner.lab.world.state import Vm
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan

OWN_NETWORK = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "cilium", "namespace": "kube-system"},
    "spec": {
        "selector": {"matchLabels": {"k8s-app": "cilium"}},
        "template": {
            "metadata": {"labels": {"k8s-app": "cilium"}},
            "spec": {"hostNetwork": True, "containers": [{"name": "agent", "image": "quay.io/cilium/cilium:v1"}]},
        },
    },
}


def merged(base: Any, patch: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(patch, dict):
        return copy.deepcopy(patch)
    return {**base, **{key: merged(base.get(key), value) for key, value in patch.items()}}


@dataclass
class Patched:
    """A control plane and workers whose configs have all been patched the same way."""

    lan: Lan
    vms: list[Vm]
    documents: list[dict[str, Any]]

    @property
    def running(self) -> RunningCluster:
        kube = self.lan.guests._environment.kube
        assert isinstance(kube, LabKube)
        (found,) = kube.clusters()
        return found

    def ready(self) -> dict[str, bool]:
        return {node["metadata"]["name"]: pods.node_ready(node) for node in self.running.store.all("nodes")}

    def unmet(self) -> dict[str, list[str]]:
        return {vm.name: [name for name, _ in self.lan.guest(vm).unmet] for vm in self.vms}

    def change(self, number: int, patch: dict[str, Any]) -> None:
        """Another config for a machine at work, taken without a reboot."""
        self.documents[number] = merged(self.documents[number], patch)
        config = MachineConfig(yaml.safe_dump(self.documents[number]).encode())
        with self.lan.kernel.lock:
            sequences.change_config(self.lan.machine(self.vms[number]), config)
        self.lan.advance(30)

    def names(self, plural: str) -> list[str]:
        return sorted(body["metadata"]["name"].rsplit("-", 1)[0] for body in self.running.store.all(plural))


def patched(patch: dict[str, Any], *, workers: int = 1, each: dict[str, dict[str, Any]] | None = None) -> Patched:
    lan, cluster = Lan(), Cluster()
    vms = lan.to_maintenance("cp0", *(f"w{number}" for number in range(workers)))
    cluster.endpoint = f"https://{lan.guest(vms[0]).address}:6443"
    documents = []
    for vm in vms:
        document = cluster.document("controlplane" if vm.name == "cp0" else "worker", vm.name)
        documents.append(merged(merged(document, patch), (each or {}).get(vm.name, {})))
        lan.apply(vm, yaml.safe_dump(documents[-1]).encode())
    lan.advance(200)
    lan.bootstrap(vms[0])
    lan.advance(400)
    return Patched(lan, vms, documents)


# --- names ------------------------------------------------------------------------------------------------------------

WITH_DOMAIN = {name: {"machine": {"network": {"hostname": f"{name}.home.lan"}}} for name in ("cp0", "w0")}


def test_a_name_with_a_domain_is_split() -> None:
    found = patched({}, each=WITH_DOMAIN)
    assert found.ready() == {"cp0": True, "w0": True}
    assert found.unmet() == {"cp0": [], "w0": []}
    view = View(found.lan.machine(found.vms[1]))
    assert view.look(ALL["HostnameStatuses.net.talos.dev"])["hostname"].spec == {
        "hostname": "w0",
        "domainname": "home.lan",
    }
    members = view.look(ALL["Members.cluster.talos.dev"])
    assert {name: entry.spec["hostname"] for name, entry in members.items()} == {
        "cp0": "cp0.home.lan",
        "w0": "w0.home.lan",
    }


def test_a_node_registers_by_its_whole_name_where_the_config_says_so() -> None:
    found = patched({"machine": {"kubelet": {"registerWithFQDN": True}}}, each=WITH_DOMAIN)
    assert found.ready() == {"cp0.home.lan": True, "w0.home.lan": True}
    assert found.unmet() == {"cp0": [], "w0": []}
    view = View(found.lan.machine(found.vms[0]))
    assert view.look(ALL["Nodenames.kubernetes.talos.dev"])["nodename"].spec == {"nodename": "cp0.home.lan"}
    assert "kube-system/kube-apiserver-cp0.home.lan" in view.look(ALL["StaticPodStatuses.kubernetes.talos.dev"])


# --- the network ------------------------------------------------------------------------------------------------------


def test_without_a_network_nodes_wait_for_one_that_the_api_is_given() -> None:
    found = patched({"cluster": {"network": {"cni": {"name": "none"}}}})
    assert found.ready() == {"cp0": False, "w0": False}
    (condition,) = [c for c in found.running.store.all("nodes")[0]["status"]["conditions"] if c["type"] == "Ready"]
    assert "NetworkPluginNotReady" in condition["message"]
    assert found.unmet() == {"cp0": ["nodeReady"], "w0": ["nodeReady"]}
    api = KubeApi(found.lan.kernel, found.running, "v1.34.1")
    path = "/apis/apps/v1/namespaces/kube-system/daemonsets"
    asked = Asked(method="POST", path=path, query={}, accept="", content_type="application/json", body=OWN_NETWORK)
    with found.lan.kernel.lock:
        assert api.answer(User("admin", ("system:masters",)), asked).code == 201
    found.lan.advance(60)
    assert found.ready() == {"cp0": True, "w0": True}
    assert found.unmet() == {"cp0": [], "w0": []}


def test_inline_manifests_bring_what_they_say() -> None:
    own = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hello", "namespace": "mine"}, "data": {"a": "b"}},
        {"apiVersion": "example.org/v1", "kind": "Unheard", "metadata": {"name": "x"}},
        OWN_NETWORK,
    ]  # fmt: skip
    contents = yaml.safe_dump_all(reversed(own))
    manifests = [{"name": "own", "contents": contents}, {"name": "broken", "contents": "a: ["}]
    found = patched({"cluster": {"network": {"cni": {"name": "none"}}, "inlineManifests": manifests}})
    assert found.ready() == {"cp0": True, "w0": True}
    assert found.running.store.get("configmaps", "mine", "hello")["data"] == {"a": "b"}


def test_a_custom_network_comes_from_its_urls() -> None:
    urls = ["https://example.org/cni.yaml"]
    found = patched({"cluster": {"network": {"cni": {"name": "custom", "urls": urls}}}})
    assert found.ready() == {"cp0": True, "w0": True}
    without = patched({"cluster": {"network": {"cni": {"name": "custom"}}}})
    assert without.ready() == {"cp0": False, "w0": False}


@pytest.mark.parametrize(("subnet", "ready"), [("10.244.0.0/25", []), ("10.244.0.0/23", ["cp0", "w0"])])
def test_a_pod_network_without_room_leaves_nodes_without_one(subnet: str, ready: list[str]) -> None:
    found = patched({"cluster": {"network": {"podSubnets": [subnet]}}}, workers=2)
    states = found.ready()
    assert len(states) == 3
    assert len([name for name, is_ready in states.items() if is_ready]) == len(ready)
    for node in found.running.store.all("nodes"):
        assert ("podCIDR" in node["spec"]) == states[node["metadata"]["name"]]


# --- parts that are switched off --------------------------------------------------------------------------------------


def test_proxy_and_dns_are_switched_off() -> None:
    found = patched({"cluster": {"proxy": {"disabled": True}, "coreDNS": {"disabled": True}}})
    assert found.ready() == {"cp0": True, "w0": True}
    assert [body["metadata"]["name"] for body in found.running.store.all("daemonsets")] == ["kube-flannel"]
    assert found.running.store.all("deployments") == []
    assert [body["metadata"]["name"] for body in found.running.store.all("services")] == ["kubernetes"]


@pytest.mark.parametrize("part", ["controllerManager", "scheduler"])
def test_a_component_of_the_control_plane_is_switched_off(part: str) -> None:
    """Nobody makes pods, or nobody places them: no network comes, and no node gets ready."""
    found = patched({"machine": {"controlPlane": {part: {"disabled": True}}}})
    assert found.ready() == {"cp0": False, "w0": False}
    static = [name for name in found.names("pods") if name.startswith("kube-")]
    off = {"controllerManager": "kube-controller-manager", "scheduler": "kube-scheduler"}[part]
    assert off not in static
    assert "kube-apiserver" in static
    statuses = View(found.lan.machine(found.vms[0])).look(ALL["StaticPodStatuses.kubernetes.talos.dev"])
    assert len(statuses) == 2
    assert found.unmet()["cp0"] == ["nodeReady"], "what is off is not waited for"


def test_a_node_that_is_not_to_register_is_ready_without_one() -> None:
    found = patched({}, each={"w0": {"machine": {"kubelet": {"skipNodeRegistration": True}}}})
    assert found.ready() == {"cp0": True}
    assert found.unmet() == {"cp0": [], "w0": []}


def test_the_kubelets_image_is_its_version() -> None:
    image = "ghcr.io/siderolabs/kubelet:v1.33.2"
    found = patched({}, each={"w0": {"machine": {"kubelet": {"image": image}}}})
    versions = {
        node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"]
        for node in found.running.store.all("nodes")
    }
    assert versions == {"cp0": "v1.34.1", "w0": "v1.33.2"}


# --- a change of a machine at work ------------------------------------------------------------------------------------


def test_labels_annotations_and_taints_reach_the_node_at_once() -> None:
    found = patched({})
    store = found.running.store
    with found.lan.kernel.lock:
        store.change("nodes", store.get("nodes", "", "w0"), lambda node: node["metadata"]["labels"].update(mine="yes"))
    found.change(
        1,
        {
            "machine": {
                "nodeLabels": {"zone": "a"},
                "nodeAnnotations": {"note": "b"},
                "nodeTaints": {"gpu": "big:NoSchedule"},
            }
        },
    )
    node = store.get("nodes", "", "w0")
    assert {"zone": "a", "mine": "yes"}.items() <= node["metadata"]["labels"].items()
    assert node["metadata"]["annotations"]["note"] == "b"
    assert node["spec"]["taints"] == [{"key": "gpu", "effect": "NoSchedule", "value": "big"}]
    found.change(1, {"machine": {"nodeLabels": {"other": "c"}, "nodeAnnotations": None, "nodeTaints": None}})
    found.documents[1]["machine"]["nodeLabels"].pop("zone")
    found.change(1, {})
    node = store.get("nodes", "", "w0")
    assert node["metadata"]["labels"].keys() >= {"other", "mine"}
    assert "zone" not in node["metadata"]["labels"]
    assert "note" not in node["metadata"]["annotations"]
    assert node["spec"]["taints"] == []
    assert pods.node_ready(node)


def test_resolvers_and_time_servers_follow_the_config() -> None:
    found = patched({"machine": {"network": {"nameservers": ["9.9.9.9"]}, "time": {"servers": ["192.0.2.1"]}}})
    view = View(found.lan.machine(found.vms[1]))
    assert view.look(ALL["ResolverStatuses.net.talos.dev"])["resolvers"].spec == {"dnsServers": ["9.9.9.9"]}
    assert view.look(ALL["TimeServerStatuses.net.talos.dev"])["timeservers"].spec == {"timeServers": ["192.0.2.1"]}


@pytest.mark.parametrize("body", [{}, {"selector": {"matchLabels": {"a": "b"}}}, {"template": {}}])
def test_a_controller_without_a_template_is_refused(body: dict[str, Any]) -> None:
    found = patched({})
    api = KubeApi(found.lan.kernel, found.running, "v1.34.1")
    asked = Asked(
        method="POST",
        path="/apis/apps/v1/namespaces/default/daemonsets",
        query={},
        accept="",
        content_type="application/json",
        body={"metadata": {"name": "x"}, "spec": body},
    )
    with pytest.raises(Exception, match="Required value") as refused, found.lan.kernel.lock:
        api.answer(User("admin", ("system:masters",)), asked)
    assert getattr(refused.value, "code", 0) == 422
