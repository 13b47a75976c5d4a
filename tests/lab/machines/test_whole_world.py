"""Host, machines and Kubernetes of the lab together, as a user's commands move them: from nothing to Ready nodes and back."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.lab.world.guests import install, sequences
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.guests.guests import TalosGuests
from provisioner.lab.world.kube.rules import LabKube
from provisioner.lab.world.world import World
from tests.lab.machines.clusters import Cluster
from tests.lab.world.helpers import CLUSTER, Shell, hand_world, new_vm, save_iso, settle

NAMES = ("cp-1", "worker-1", "worker-2", "worker-3")


class Whole:
    def __init__(self) -> None:
        self.world: World = hand_world(guests=self._talos, with_external_switch="LAB")
        self.shell = Shell(self.world)
        self.cluster = Cluster()
        save_iso(self.shell)

    def _talos(self, world: World) -> TalosGuests:
        kube = LabKube(world.kernel)
        world.kube = kube
        self.guests = TalosGuests(world.kernel, world.hyperv.power, kube)
        return self.guests

    def up(self) -> dict[str, dict[str, Any]]:
        """VMs by name, after a whole `up`."""
        for name in NAMES:
            new_vm(self.shell, name, Start=True)
        settle(self.world, 80)
        vms = {vm["Name"]: vm for vm in self.shell("Get-TalosVM", ClusterId=CLUSTER)}
        first = self.guests.of(vms["cp-1"]["Id"])
        assert first is not None
        self.cluster.endpoint = f"https://{first.address}:6443"
        with self.world.kernel.lock:
            for name, vm in vms.items():
                config = self.cluster.config("controlplane" if name == "cp-1" else "worker", name)
                machine = self.guests.machine(vm["Id"])
                assert machine is not None
                install.accept(machine, MachineConfig(config))
        settle(self.world, 150)
        with self.world.kernel.lock:
            machine = self.guests.machine(vms["cp-1"]["Id"])
            assert machine is not None
            sequences.check_bootstrap(machine)
            sequences.bootstrap(machine)
        settle(self.world, 300)
        assert {g.stage for g in self.world.state.guests.values()} == {"running"}
        assert [g.unmet for g in self.world.state.guests.values()] == [[]] * 4
        return vms


@pytest.fixture
def whole() -> Whole:
    return Whole()


def test_up_down_and_up_again(whole: Whole) -> None:
    first = whole.up()
    (kube,) = whole.world.state.clusters.values()
    assert {key for key in kube.objects if key.startswith("nodes/")} == {f"nodes/{name}" for name in NAMES}
    whole.shell("Remove-TalosVM", Id=[vm["Id"] for vm in first.values()], ClusterId=CLUSTER)
    settle(whole.world, 60)
    assert whole.world.state.clusters == {}, "its last disk is gone"
    whole.up()
    (again,) = whole.world.state.clusters.values()
    assert (again.id, again.talos_id) != (kube.id, kube.talos_id)
    assert again.talos_id == whole.cluster.id, "kept secrets: Talos calls it by the same id"


def test_the_log_forms_one_path_back_from_every_ready_node(whole: Whole) -> None:
    whole.up()
    lines = {f"{line.kind}/{line.key}": line for line in whole.world.kernel.log}
    ready = [name for name in lines if name.startswith("node_ready/")]
    assert len(ready) == 4
    for name in ready:
        kinds, walked = [], name
        while True:
            kinds.append(walked.partition("/")[0])
            causes = [lines[cause] for cause in lines[walked].details["cause"]]
            if not causes:
                break
            last = max(causes, key=lambda line: line.at)
            walked = f"{last.kind}/{last.key}"
        assert kinds == [
            "node_ready",
            "api_up",
            "etcd_up",
            "bootstrap",
            "apid_open",
            "install_done",
            "config_applied",
            "maintenance",
            "power_on",
        ]


def test_the_host_loses_its_power_and_the_cluster_comes_back(whole: Whole) -> None:
    whole.up()
    whole.world.reboot_host(30)
    assert whole.world.state.guests == {}
    settle(whole.world, 400)
    assert {(g.stage, g.ready) for g in whole.world.state.guests.values()} == {("running", True)}


def test_an_ejected_iso_does_no_harm_to_the_next_cold_boot(whole: Whole) -> None:
    vms = whole.up()
    ids = [vm["Id"] for vm in vms.values()]
    whole.shell("Dismount-TalosIso", Id=ids)
    whole.shell("Stop-TalosVM", Id=ids)
    whole.shell("Start-TalosVM", Id=ids)
    settle(whole.world, 300)
    assert {(g.booted_from, g.stage) for g in whole.world.state.guests.values()} == {("disk", "running")}
