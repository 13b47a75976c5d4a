"""What a crash leaves: all that a host keeps on its disks, nothing that ran in memory, no password, and a file that only its owner reads."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab.world import durable
from provisioner.lab.world.faults import inject
from provisioner.lab.world.state import (
    EtcdData,
    EtcdMember,
    Guest,
    InstalledSystem,
    KubeCluster,
    KubeObject,
    State,
)
from provisioner.lab.world.world import World
from tests.conftest import ROOT
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan
from tests.lab.world.checker import check
from tests.lab.world.hand import hand_world
from tests.lab.world.helpers import ACCOUNTS, CLUSTER, Shell, TalkingGuests, new_vm, save_iso, settle, with_switch


@pytest.fixture
def world() -> World:
    """A host in the middle of its life: a machine with Talos on its disk that is an etcd member, an image, a job's record."""
    made = with_switch()
    shell = Shell(made)
    save_iso(shell)
    vm = new_vm(shell, Start=True)
    file = made.storage.find(f"{vm['Folder']}\\cp-1.vhdx")
    assert file is not None
    assert file.vhd is not None
    file.vhd.system = InstalledSystem("v1.11.5", b"\x00config\xff", EtcdData("c1", 7, "cp-1"))
    made.state.clusters["c1"] = KubeCluster(
        "c1", "lab", 3.0, members={vm["Id"]: 7}, roster={7: EtcdMember(7, "cp-1", "192.0.2.101")}
    )
    made.state.clusters["c1"].objects["nodes/cp-1"] = KubeObject({"metadata": {"name": "cp-1"}, "n": [1, None, 2.5]})
    made.state.guests[vm["Id"]] = Guest("x", "disk", "v1.11.5", "b", 1.0, "02155D000011", vm["BiosUuid"])
    made.state.lan.leases["02155D000011"] = "192.0.2.101"
    made.state.routes["192.0.2.101:50000"] = 40001
    inject(made, "no-memory", "cp-1")
    return made


def reopened(world: World, folder: Path, **options: Any) -> World:
    durable.save(world.kernel, folder / durable.FILE)
    kept = durable.load(folder)
    return hand_world(accounts=ACCOUNTS, state=kept, **options)


def test_nothing_was_kept_yet(tmp_path: Path) -> None:
    assert durable.load(tmp_path) is None


def test_what_lies_on_disks_comes_back_as_it_was(world: World, tmp_path: Path) -> None:
    before = {part: dataclasses.asdict(world.state)[part] for part in ("clusters", "foreign", "routes")}
    files = dataclasses.asdict(world.state.host)["files"]
    again = reopened(world, tmp_path)
    assert {part: dataclasses.asdict(again.state)[part] for part in before} == before
    assert dataclasses.asdict(again.state.host)["files"] == files
    assert again.state.host.folders == world.state.host.folders
    assert again.state.host.volumes == world.state.host.volumes
    assert again.state.lan.leases == world.state.lan.leases
    assert again.kernel.now() >= world.kernel.now(), "time goes on"
    assert check(again.state) == []


def test_what_ran_in_memory_is_gone_and_the_host_boots(world: World, tmp_path: Path) -> None:
    again = reopened(world, tmp_path)
    assert (again.state.guests, again.state.injections) == ({}, [])
    assert again.state.lan.link.up
    shell = Shell(again)
    (vm,) = shell("Get-TalosVM", ClusterId=CLUSTER)
    assert vm["State"] == "Running", "by its start action"
    assert vm["UptimeSeconds"] <= 1
    image = shell.one("Get-TalosImage", Path=["talos.iso"])
    assert image["Ours"]
    assert image["Sha256"], "the record still fits the file's date"


def test_vms_start_cold_after_their_delay(world: World, tmp_path: Path) -> None:
    shell = Shell(world)
    worker = new_vm(shell, "worker-1", StartDelaySeconds=60)
    powered: list[str] = []

    def guests(new: World) -> TalkingGuests:
        made = TalkingGuests(new)
        made.power_on = lambda vm: powered.append(vm.name)  # type: ignore[method-assign]
        return made

    again = reopened(world, tmp_path, guests=guests)
    assert sorted(powered) == ["cp-1", "fileserver"]
    settle(again, 61)
    assert powered[2:] == ["worker-1"]
    assert again.state.host.vms[worker["Id"]].state == "Running"


def test_ids_made_after_a_crash_are_new_ones(world: World, tmp_path: Path) -> None:
    shell = Shell(reopened(world, tmp_path))
    known = set(shell.world.state.host.vms)
    assert new_vm(shell, "worker-9")["Id"] not in known


def test_a_task_at_work_was_ended(world: World, tmp_path: Path) -> None:
    world.tasks.register("job", "powershell.exe", "-File x")
    world.tasks.start("job")
    task = reopened(world, tmp_path).tasks.get("job")
    assert task is not None
    assert task.last_result == 267014


def test_only_the_owner_reads_it_and_no_password_is_in_it(world: World, tmp_path: Path) -> None:
    path = tmp_path / durable.FILE
    durable.save(world.kernel, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert all(account.password not in path.read_text() for account in ACCOUNTS)
    assert [entry.name for entry in tmp_path.iterdir()] == [durable.FILE], "nothing half-written is left"


@pytest.mark.parametrize("text", ["", "{", '{"version": 99}', '{"version": 1, "at": 1, "state": {"host": 5}}'])
def test_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / durable.FILE).write_text(text)
    with pytest.raises(durable.NotDurable):
        durable.load(tmp_path)


def test_a_field_that_is_newer_than_the_file_has_its_default(world: World) -> None:
    data = json.loads(json.dumps(durable.snapshot(world.kernel)))
    for vm in data["state"]["host"]["vms"].values():
        del vm["secure_boot_template"]
        vm["a_field_of_later"] = 1
    restored = durable.restore(data).state
    assert {vm.secure_boot_template for vm in restored.host.vms.values()} == {"MicrosoftWindows"}


def test_every_field_of_the_state_can_be_kept() -> None:
    """A type that the codec does not know would show here: everything that State is made of, filled with its defaults."""
    world = hand_world()
    assert isinstance(durable.restore(json.loads(json.dumps(durable.snapshot(world.kernel)))).state, State)


def test_the_saver_writes_changes_and_the_last_one_at_the_end(world: World, tmp_path: Path) -> None:
    saver = durable.Saver(world, tmp_path)
    saver.start()
    world.hyperv.vms.set_vm(next(iter(world.state.host.vms)), notes="the last word")
    saver.stop()
    assert "the last word" in (tmp_path / durable.FILE).read_text()


def test_a_killed_lab_has_kept_what_was_answered(tmp_path: Path) -> None:
    """A process of its own makes a VM, says so, and is killed without warning a moment after the next writing."""
    script = (
        "import sys, time, pathlib\n"
        "from provisioner.lab.world.build import new_world\n"
        "from provisioner.lab.world.durable import Saver, FILE\n"
        "from tests.lab.world.hand import NullGuests\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "world = new_world(guests=NullGuests, rate=1000.0)\n"
        "world.start()\n"
        "Saver(world, folder).start()\n"
        "world.hyperv.vms.new_vm('cp-1', generation=2, path='D:\\\\VMs')\n"
        "while 'cp-1' not in ((folder / FILE).read_text() if (folder / FILE).exists() else ''): time.sleep(0.01)\n"
        "print('made', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "made\n"
        os.kill(process.pid, signal.SIGKILL)
    kept = durable.load(tmp_path)
    assert kept is not None
    assert "cp-1" in {vm.name for vm in kept.state.host.vms.values()}


def test_etcd_is_on_the_disk_before_anybody_sees_it_run(tmp_path: Path) -> None:
    """A member that a client has seen outlives a power cut in the same moment."""
    lan = Lan()
    world = World(lan.kernel)
    saver = durable.Saver(world, tmp_path)
    saver.start()
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, Cluster().config("controlplane", "cp"))
    kept: list[dict[str, Any]] = []

    def look(_topic: str, _key: str) -> None:
        if lan.machine(vm).etcd_running and not kept:
            kept.append(json.loads((tmp_path / durable.FILE).read_text()))

    with lan.kernel.lock:
        lan.kernel.watch(look)
    lan.bootstrap(vm)
    lan.advance(60)
    saver.stop()
    (state,) = [found["state"] for found in kept]
    (cluster,) = state["clusters"].values()
    assert [member["hostname"] for member in cluster["roster"].values()] == ["cp"]
    assert state["host"]["files"]["a.vhdx"]["vhd"]["system"]["etcd"]["cluster_id"] == cluster["id"]
