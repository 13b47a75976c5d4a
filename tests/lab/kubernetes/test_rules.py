"""What comes up after bootstrap, in which order and time, and what becomes of nodes that go away."""

from __future__ import annotations

import pytest

from provisioner.lab.world.kube import pods
from provisioner.lab.world.kube.rules import LabKube
from provisioner.lab.world.kube.store import KubeError
from provisioner.lab.world.state import Injection
from tests.lab.kubernetes.helpers import CLUSTER, Machines


@pytest.fixture
def machines() -> Machines:
    return Machines()


@pytest.fixture
def healthy(machines: Machines) -> Machines:
    machines.start_all()
    machines.wait(machines.healthy)
    return machines


def test_nothing_answers_before_etcd(machines: Machines) -> None:
    for name in ("w1", "cp1"):
        machines.kubelet_starts(name)
    machines.kernel.spend(1000)
    assert not machines.api_is_up()
    assert machines.running.store.all("nodes") == []


def test_the_api_comes_up_some_time_after_etcd(machines: Machines) -> None:
    machines.etcd_starts("cp1")
    machines.kernel.spend(49)
    assert not machines.api_is_up()
    machines.wait(lambda: machines.api_is_up(), 52)
    assert machines.running.cluster.api_up == machines.kernel.now()
    assert [n["metadata"]["name"] for n in machines.running.store.all("namespaces")] == [
        "default",
        "kube-node-lease",
        "kube-public",
        "kube-system",
    ]


def test_nodes_register_not_ready_and_become_ready_by_their_network(machines: Machines) -> None:
    machines.start_all()
    machines.wait(lambda: machines.ready("w1") != "absent")
    assert machines.ready("w1") == "False"
    assert not machines.kube.node_ready(machines.guests["w1"])
    machines.wait(machines.all_ready)
    assert all(pods.is_ready(pod) for pod in machines.apps("kube-flannel"))
    assert machines.kube.node_ready(machines.guests["w1"])
    kinds = [line.kind for line in machines.kernel.log]
    assert kinds.index("api_up") < kinds.index("node_ready")


def test_a_whole_cluster(healthy: Machines) -> None:
    assert healthy.kube.static_pods_ready(healthy.guests["cp1"])
    assert not healthy.kube.static_pods_ready(healthy.guests["w1"])
    assert len(healthy.apps("kube-proxy")) == len(healthy.apps("kube-flannel")) == 4
    dns = healthy.apps("kube-dns")
    assert len({pods.node_of(pod) for pod in dns}) == 2, "the scheduler spreads them"
    node = healthy.node("cp1")
    assert node is not None
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.34.1"
    assert node["status"]["nodeInfo"]["osImage"] == "Talos (v1.11.5)"
    assert node["status"]["addresses"][0] == {"type": "InternalIP", "address": "192.0.2.100"}
    assert [taint["key"] for taint in node["spec"]["taints"]] == ["node-role.kubernetes.io/control-plane"]
    assert "node.kubernetes.io/exclude-from-external-load-balancers" in node["metadata"]["labels"]
    cidrs = {n["spec"]["podCIDR"] for n in healthy.running.store.all("nodes")}
    assert cidrs == {f"10.244.{i}.0/24" for i in range(4)}


def test_it_is_the_same_world_for_the_same_seed() -> None:
    def story() -> list[tuple[float, str, str]]:
        machines = Machines()
        machines.start_all()
        machines.wait(machines.healthy)
        return [(line.at, line.kind, line.key) for line in machines.kernel.log]

    assert story() == story()


def test_a_worker_without_power_is_noticed_after_its_time_of_grace(healthy: Machines) -> None:
    healthy.power_off("w1")
    assert not healthy.kube.node_ready(healthy.guests["w1"])
    healthy.kernel.spend(39)
    assert healthy.ready("w1") == "True", "nobody has noticed yet"
    healthy.kernel.spend(2)
    assert healthy.ready("w1") == "Unknown"
    node = healthy.node("w1")
    assert node is not None
    assert {(t["key"], t["effect"]) for t in node["spec"]["taints"]} == {
        ("node.kubernetes.io/unreachable", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
    }
    assert not any(pods.is_ready(pod) for pod in healthy.running.store.all("pods") if pods.node_of(pod) == "w1")


def test_its_pods_are_replaced_elsewhere_later(healthy: Machines) -> None:
    victim = pods.node_of(healthy.apps("kube-dns")[0])
    if victim == "cp1":
        victim = pods.node_of(healthy.apps("kube-dns")[1])
    healthy.power_off(victim)
    healthy.kernel.spend(400)
    living = [pod for pod in healthy.apps("kube-dns") if not pods.is_ending(pod)]
    assert len(living) == 2
    assert all(pods.is_ready(pod) and pods.node_of(pod) != victim for pod in living)
    assert any(pods.is_ending(pod) for pod in healthy.apps("kube-dns")), "no kubelet confirms that the old one is gone"


def test_a_worker_that_returns_in_time_is_never_missed(healthy: Machines) -> None:
    healthy.power_off("w1")
    healthy.kernel.spend(20)
    healthy.kubelet_starts("w1")
    healthy.kernel.spend(10)
    assert healthy.ready("w1") == "True"
    restarts = [c["restartCount"] for pod in healthy.apps("kube-proxy") for c in pod["status"]["containerStatuses"]]
    assert restarts == [0, 0, 0, 0], "the same boot: nothing has stopped"


def test_a_worker_that_boots_again_becomes_ready_again(healthy: Machines) -> None:
    healthy.power_off("w1")
    healthy.kernel.spend(60)
    healthy.boot("w1")
    healthy.wait(healthy.healthy)
    (proxy,) = [pod for pod in healthy.apps("kube-proxy") if pods.node_of(pod) == "w1"]
    assert proxy["status"]["containerStatuses"][0]["restartCount"] == 1
    node = healthy.node("w1")
    assert node is not None
    assert node["status"]["nodeInfo"]["bootID"] == "boot-w1-11"
    assert node["spec"]["taints"] == []


def test_a_control_plane_that_boots_takes_the_api_with_it(healthy: Machines) -> None:
    healthy.power_off("cp1")
    assert not healthy.api_is_up()
    assert not healthy.kube.node_ready(healthy.guests["w1"]), "nobody can tell"
    healthy.kernel.spend(100)
    assert healthy.ready("w1") == "True", "what stands in etcd does not change"
    healthy.boot("cp1")
    assert not healthy.kube.static_pods_ready(healthy.guests["cp1"])
    healthy.wait(lambda: healthy.api_is_up(), 21)
    healthy.wait(lambda: healthy.kube.static_pods_ready(healthy.guests["cp1"]), 60)
    healthy.wait(healthy.healthy)
    assert len(healthy.running.store.all("nodes")) == 4


def test_three_control_planes_bear_the_loss_of_one_but_not_of_two() -> None:
    machines = Machines(control_planes=3, workers=0)
    machines.start_all()
    machines.wait(lambda: all(machines.kube.static_pods_ready(guest) for guest in machines.guests.values()))
    machines.power_off("cp1")
    assert machines.api_is_up()
    machines.kernel.spend(41)
    assert machines.ready("cp1") == "Unknown"
    machines.power_off("cp2")
    assert not machines.api_is_up(), "no quorum"


def test_faults_by_name(machines: Machines) -> None:
    machines.kernel.state.injections += [
        Injection("kube-slow", value=300),
        Injection("node-never-ready", place="w2"),
    ]
    machines.start_all()
    machines.kernel.spend(300)
    assert not machines.api_is_up()
    machines.kernel.spend(500)
    assert machines.api_is_up()
    assert [machines.ready(name) for name in ("cp1", "w1", "w2", "w3")] == ["True", "True", "False", "True"]
    machines.power_off("w2")
    machines.boot("w2")
    machines.kernel.spend(300)
    assert machines.ready("w2") == "True", "until its machine starts anew"


def test_the_cluster_ends_with_the_last_disk_of_its_etcd() -> None:
    machines = Machines(control_planes=2, workers=0)
    machines.start_all()
    machines.wait(machines.all_ready)
    with machines.kernel.lock:
        machines.kube.forget_disk("w9")
        machines.kube.forget_disk("cp1")
        assert machines.kube.of(CLUSTER) is not None
        machines.kube.forget_disk("cp2")
    assert machines.kube.of(CLUSTER) is None
    assert not machines.api_is_up()
    machines.kernel.spend(1000)
    assert CLUSTER not in machines.kernel.state.clusters


def test_leases_are_renewed_while_the_kubelet_runs(healthy: Machines) -> None:
    def renewed(name: str) -> str:
        return next(str(x["spec"]["renewTime"]) for x in healthy.running.leases() if x["metadata"]["name"] == name)

    before = renewed("w1")
    healthy.kernel.spend(30)
    assert renewed("w1") > before
    healthy.power_off("w1")
    assert renewed("w1") < renewed("w2") or renewed("w1") != before
    age = renewed("w1")
    healthy.kernel.spend(0)
    assert renewed("w1") == age


def test_a_crash_of_the_lab_loses_what_runs_and_keeps_what_etcd_holds(healthy: Machines) -> None:
    seen = healthy.running.store.version
    nodes = {node["metadata"]["uid"] for node in healthy.running.store.all("nodes")}
    healthy.kube = LabKube(healthy.kernel)
    assert not healthy.api_is_up()
    for name in healthy.guests:
        healthy.boot(name)
    healthy.wait(lambda: healthy.kube.static_pods_ready(healthy.guests["cp1"]))
    healthy.wait(healthy.healthy)
    assert {node["metadata"]["uid"] for node in healthy.running.store.all("nodes")} == nodes
    with pytest.raises(KubeError) as caught:
        healthy.running.store.since(seen - 1)
    assert caught.value.code == 410, "watchers must list again"


def test_no_pod_is_put_onto_a_cordoned_node(healthy: Machines) -> None:
    store = healthy.running.store
    for name in ("w1", "w2", "w3"):
        store.change("nodes", store.get("nodes", "", name), lambda node: node["spec"].update(unschedulable=True))
    with healthy.kernel.lock:
        for pod in healthy.apps("kube-dns"):
            healthy.running.workloads.end_pod(pod, 30)
    before = {pod["metadata"]["uid"] for pod in healthy.apps("kube-dns")}
    healthy.wait(lambda: not before & {pod["metadata"]["uid"] for pod in healthy.apps("kube-dns")})
    healthy.wait(healthy.healthy)
    assert {pods.node_of(pod) for pod in healthy.apps("kube-dns")} == {"cp1"}


def test_the_picture_of_a_static_pod_comes_back(healthy: Machines) -> None:
    store = healthy.running.store
    before = store.get("pods", "kube-system", "kube-scheduler-cp1")
    with healthy.kernel.lock:
        healthy.running.workloads.end_pod(before, 30)
    after = store.get("pods", "kube-system", "kube-scheduler-cp1")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert pods.is_ready(after)


def test_the_store_counts_versions_and_forgets_old_ones(machines: Machines) -> None:
    store = machines.running.store
    created = store.create("configmaps", {"metadata": {"name": "a", "namespace": "default"}})
    with pytest.raises(KubeError, match="already exists") as caught:
        store.create("configmaps", {"metadata": {"name": "a", "namespace": "default"}})
    assert caught.value.code == 409
    newer = store.change("configmaps", created, lambda body: body.update(data={"x": "1"}))
    assert int(newer["metadata"]["resourceVersion"]) == int(created["metadata"]["resourceVersion"]) + 1
    with pytest.raises(KubeError, match="the object has been modified"):
        store.update("configmaps", {**created, "data": {"x": "2"}})
    assert store.update("configmaps", newer) is newer, "no change, no version"
    assert [change.version for change in store.since(int(created["metadata"]["resourceVersion"]))] == [store.version]
    with pytest.raises(KubeError) as caught:
        store.since(1)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
