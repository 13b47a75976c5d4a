"""Machines that belong together: bootstrap, joining, quorum, workers, and what users ask of them."""

from __future__ import annotations

import pytest
import yaml

from provisioner.lab.world.guests import sequences
from provisioner.lab.world.guests.sequences import Refused
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan

# --- clusters -------------------------------------------------------------------------------------------------------


def test_a_control_plane_opens_its_api_and_waits_for_bootstrap(lan: Lan, cluster: Cluster) -> None:
    (vm,) = lan.to_maintenance("a")
    with pytest.raises(Refused, match="control plane"), lan.kernel.lock:
        sequences.check_bootstrap(lan.machine(vm))
    lan.installed(vm, cluster.config("controlplane"))
    guest = lan.guest(vm)
    assert (guest.stage, guest.api, guest.ready) == ("booting", "apid", False)
    assert guest.services["etcd"].state == "Preparing"
    assert dict(guest.unmet)["services"] == "etcd is preparing"
    lan.bootstrap(vm)
    with pytest.raises(Refused, match="not empty") as refused, lan.kernel.lock:
        sequences.check_bootstrap(lan.machine(vm))
    assert refused.value.code == "ALREADY_EXISTS"
    lan.advance(20)
    assert lan.guest(vm).stage == "running"
    assert {name for name, _ in lan.guest(vm).unmet} == {"staticPods", "nodeReady"}
    lan.advance(200)
    assert (lan.guest(vm).ready, lan.guest(vm).unmet) == (True, [])


def test_without_bootstrap_the_boot_fails_after_70_minutes(lan: Lan, cluster: Cluster) -> None:
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, cluster.config("controlplane"))
    boot_id = lan.guest(vm).boot_id
    lan.advance(69 * 60)
    assert lan.guest(vm).boot_id == boot_id
    lan.advance(3 * 60)
    assert lan.guest(vm).boot_id != boot_id
    assert (lan.guest(vm).booted_from, lan.guest(vm).stage) == ("disk", "booting")


def test_workers_open_their_api_only_after_bootstrap(lan: Lan, cluster: Cluster) -> None:
    cp, worker = lan.to_maintenance("cp", "w")
    cluster.endpoint = f"https://{lan.guest(cp).address}:6443"
    lan.apply(cp, cluster.config("controlplane"))
    lan.installed(worker, cluster.config("worker"))
    lan.advance(600)
    assert (lan.guest(cp).api, lan.guest(worker).api) == ("apid", "closed")
    lan.power_off(worker)
    lan.power_on(worker)
    lan.advance(600)
    assert lan.guest(worker).api == "closed", "nor does it help to start again beside a control plane that waits"
    lan.bootstrap(cp)
    lan.advance(60)
    assert (lan.guest(worker).api, lan.guest(worker).stage) == ("apid", "running")
    line = next(line for line in lan.kernel.log if line.kind == "apid_open" and line.key == worker.id)
    assert line.details["cause"] == (f"power_on/{worker.id}", f"etcd_up/{cp.id}")


@pytest.mark.parametrize("what", ["token", "os_ca"])
def test_a_worker_with_other_secrets_never_joins(lan: Lan, cluster: Cluster, what: str) -> None:
    stranger = Cluster(id=cluster.id, secret=cluster.secret, token=cluster.token)
    if what == "token":
        stranger.token = "zzzzzz.0123456789abcdef"
        stranger.__dict__["os_ca"] = cluster.os_ca
    lan.running_cluster(cluster, workers=0)
    stranger.endpoint = cluster.endpoint
    (worker,) = lan.to_maintenance("stranger")
    lan.installed(worker, stranger.config("worker"))
    lan.advance(30 * 60)
    assert lan.guest(worker).api == "closed"


def test_a_worker_finds_its_cluster_by_discovery_when_the_endpoint_answers_nobody(lan: Lan) -> None:
    cluster = Cluster()
    lan.running_cluster(cluster, workers=0)
    cluster.endpoint = "https://192.0.2.250:6443"
    (worker,) = lan.to_maintenance("w")
    lan.installed(worker, cluster.config("worker"))
    lan.advance(60)
    assert lan.guest(worker).api == "apid"
    assert not lan.machine(worker).kubelet_in, "its kubelet knows the endpoint alone"


def test_more_control_planes_join_one_after_another(lan: Lan) -> None:
    cluster = Cluster()
    vms = lan.running_cluster(cluster, control_planes=3, workers=0)
    (kube,) = lan.kernel.state.clusters.values()
    assert set(kube.members) == {vm.id for vm in vms}
    assert {member.hostname for member in kube.roster.values()} == {"cp0", "cp1", "cp2"}
    assert not any(member.learner for member in kube.roster.values())
    ups = sorted(line.at for line in lan.kernel.log if line.kind == "etcd_up")
    assert ups[2] - ups[1] > 5, "etcd takes one learner at a time"
    lan.power_off(vms[1])
    assert lan.guest(vms[0]).services["etcd"].healthy
    lan.power_off(vms[2])
    assert not lan.guest(vms[0]).services["etcd"].healthy, "one of three is no quorum"
    lan.power_on(vms[1])
    lan.advance(60)
    assert lan.guest(vms[0]).services["etcd"].healthy
    assert lan.guest(vms[1]).stage == "running"


def test_a_control_plane_with_another_etcd_ca_never_joins(lan: Lan) -> None:
    cluster = Cluster()
    lan.running_cluster(cluster, workers=0)
    stranger = Cluster(id=cluster.id, secret=cluster.secret, token=cluster.token, endpoint=cluster.endpoint)
    stranger.__dict__["os_ca"] = cluster.os_ca
    (vm,) = lan.to_maintenance("stranger")
    lan.installed(vm, stranger.config("controlplane", "stranger"))
    lan.advance(30 * 60)
    assert (lan.guest(vm).api, lan.guest(vm).services["etcd"].state) == ("apid", "Preparing")


def test_bootstrap_on_two_machines_makes_two_clusters(lan: Lan, cluster: Cluster) -> None:
    one, two = lan.to_maintenance("a", "b")
    for vm in (one, two):
        lan.apply(vm, cluster.config("controlplane", vm.name))
    lan.advance(200)
    lan.bootstrap(one)
    lan.bootstrap(two)
    lan.advance(30)
    assert len(lan.kernel.state.clusters) == 2


def test_the_virtual_ip_is_held_by_one_member_and_only_after_bootstrap(lan: Lan) -> None:
    cluster = Cluster(endpoint="https://192.0.2.250:6443")
    vms = lan.to_maintenance("a", "b", "c")
    for vm in vms:
        document = cluster.document("controlplane", vm.name)
        document["machine"]["network"]["interfaces"] = [
            {"deviceSelector": {"physical": True}, "dhcp": True, "vip": {"ip": "192.0.2.250"}}
        ]
        lan.apply(vm, yaml.safe_dump(document).encode())
    lan.advance(200)
    assert "192.0.2.250" not in [address for _, address in lan.guests.stations()]
    lan.bootstrap(vms[0])
    lan.advance(120)
    assert [address for _, address in lan.guests.stations()].count("192.0.2.250") == 1
    holder = next(mac for mac, address in lan.guests.stations() if address == "192.0.2.250")
    lan.power_off(next(vm for vm in vms if vm.nics[0].mac == holder))
    assert [mac for mac, address in lan.guests.stations() if address == "192.0.2.250"] not in ([], [holder])


def test_a_cluster_comes_back_by_itself_after_all_power_was_lost(lan: Lan) -> None:
    vms = lan.running_cluster(Cluster())
    for vm in vms:
        lan.power_off(vm)
        lan.power_on(vm)
    lan.advance(300)
    assert [(lan.guest(vm).stage, lan.guest(vm).ready) for vm in vms] == [("running", True)] * 2
    assert len(lan.noted("bootstrap")) == 1


def test_a_disk_in_another_vm_brings_its_etcd_along(lan: Lan) -> None:
    """Its VM was deleted, and the next one got the disk."""
    cluster = Cluster()
    control, worker = lan.running_cluster(cluster)
    lan.power_off(control)
    del lan.vms[control.id]
    again = lan.add("again")
    again.hard_drives[0].path, again.nics[0].mac = control.hard_drives[0].path, control.nics[0].mac
    lan.power_on(again)
    lan.advance(400)
    assert [(lan.guest(vm).stage, lan.guest(vm).ready) for vm in (again, worker)] == [("running", True)] * 2
    assert lan.guest(again).hostname == "cp0"


def test_a_control_plane_whose_lease_moved_is_lost_to_its_workers_kubelets(lan: Lan) -> None:
    cp, worker = lan.running_cluster(Cluster())
    lan.inject("lease-moves", "cp0")
    lan.power_off(cp)
    lan.power_on(cp)
    lan.advance(300)
    assert lan.guest(worker).stage == "running"
    assert {name for name, _ in lan.guest(worker).unmet} == {"nodeReady"}


# --- what users ask for ---------------------------------------------------------------------------------------------


def test_reboot_keeps_the_disk_and_changes_the_boot_id(lan: Lan) -> None:
    cp, _ = lan.running_cluster(Cluster())
    boot_id = lan.guest(cp).boot_id
    with lan.kernel.lock:
        sequences.reboot(lan.machine(cp), powercycle=False)
    lan.advance(1)
    assert lan.guest(cp).stage == "rebooting"
    assert lan.kernel.wait_for(lambda: lan.guests.of(cp.id) is None, 10)
    lan.advance(60)
    assert lan.guest(cp).stage == "running"
    assert lan.guest(cp).boot_id != boot_id


def test_a_power_cycle_goes_by_the_firmware_and_so_to_an_iso_that_comes_first(lan: Lan) -> None:
    cp, _ = lan.running_cluster(Cluster())
    cp.boot_order[:] = ["dvd:0:1", "disk:0:0"]
    with lan.kernel.lock:
        sequences.reboot(lan.machine(cp), powercycle=True)
    lan.advance(60)
    assert lan.guest(cp).halted


def test_shutdown_is_orderly_and_switches_the_vm_off(lan: Lan) -> None:
    (vm,) = lan.to_maintenance("a")
    assert lan.guests.shut_down(vm)
    lan.advance(1)
    assert lan.guest(vm).stage == "shutting down"
    assert lan.kernel.wait_for(lambda: vm.state == "Off", 30)
    assert lan.guests.of(vm.id) is None


def test_a_guest_that_does_not_answer_the_shutdown_service(lan: Lan) -> None:
    (vm,) = lan.to_maintenance("a")
    lan.inject("guest-silent", "a")
    assert lan.guests.shut_down(vm) is False


def test_resetting_the_whole_disk_needs_the_iso_again(lan: Lan) -> None:
    _, worker = lan.running_cluster(Cluster())
    with lan.kernel.lock:
        sequences.reset(lan.machine(worker), sequences.Wiping(), graceful=True, then_reboot=True)
    lan.advance(90)
    assert lan.disk(worker).system is None
    assert (lan.guest(worker).booted_from, lan.guest(worker).stage) == ("iso", "maintenance")


def test_resetting_state_and_data_ends_in_maintenance_from_the_disk(lan: Lan) -> None:
    cluster = Cluster()
    _, worker = lan.running_cluster(cluster)
    with lan.kernel.lock:
        wiping = sequences.Wiping(labels=("STATE", "EPHEMERAL"))
        sequences.reset(lan.machine(worker), wiping, graceful=False, then_reboot=True)
    lan.advance(60)
    assert (lan.guest(worker).booted_from, lan.guest(worker).stage) == ("disk", "maintenance")
    installs = len(lan.noted("install_done"))
    lan.apply(worker, cluster.config("worker"))
    lan.advance(60)
    assert lan.guest(worker).api == "apid"
    assert len(lan.noted("install_done")) == installs, "Talos is on the disk already"


def test_the_last_member_of_etcd_cannot_leave_gracefully(lan: Lan) -> None:
    cp, _ = lan.running_cluster(Cluster())
    with lan.kernel.lock:
        sequences.reset(lan.machine(cp), sequences.Wiping(), graceful=True, then_reboot=True)
    lan.advance(6 * 60)
    assert lan.disk(cp).system is not None
    assert lan.guest(cp).stage == "running"


def test_a_member_that_leaves_gracefully_is_off_the_list(lan: Lan) -> None:
    vms = lan.running_cluster(Cluster(), control_planes=3, workers=0)
    with lan.kernel.lock:
        sequences.reset(lan.machine(vms[2]), sequences.Wiping(), graceful=True, then_reboot=False)
    lan.advance(60)
    (kube,) = lan.kernel.state.clusters.values()
    assert {member.hostname for member in kube.roster.values()} == {"cp0", "cp1"}
    assert vms[2].state == "Off"
