"""The lab killed (SIGKILL), as a host that loses its power: the next `up` starts it anew, VMs come up from their disks by their start
actions, and the same cluster is healthy again, with nothing twice and nothing of others touched."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from filelock import FileLock

from provisioner.lab import control
from provisioner.lab import descriptor as descriptors
from tests.end_to_end.conftest import BOUND_S, Desk, make_desk, stop_labs
from tests.engine import lab as engine_lab

MACHINES = ("lab-cp-1", "lab-worker-1", "lab-worker-2", "lab-worker-3")
SPEED = 150.0
MOVES = {"state", "state_since", "ran_before_host_stopped"}
"""What changes of a VM that only runs."""
POINTS = (
    ("action_started", "switch/create/LAB@hv01.lab"),
    ("action_started", "image/fetch/talos-v1.11.5-metal-amd64.iso@hv01.lab"),
    ("action_ended", "config/apply/lab-cp-1"),
    ("action_ended", "bootstrap/once/etcd"),
)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One lab for all kills: what a kill leaves behind in it, the next case meets."""
    desk = make_desk(tmp_path_factory.mktemp("crashes"))
    desk.write_cluster(speed=SPEED)
    yield desk
    stop_labs(desk)


def host_of(desk: Desk) -> dict[str, Any]:
    """The host of the lab as it is on disk."""
    host: dict[str, Any] = json.loads((desk.lab_folder() / "world.json").read_bytes())["state"]["host"]
    return host


def strangers(desk: Desk) -> tuple[list[Any], list[Any]]:
    """VMs and switches that are not ours."""
    host = host_of(desk)
    vms = [vm for vm in host["vms"].values() if vm["name"] not in MACHINES]
    return (
        [{key: value for key, value in vm.items() if key not in MOVES} for vm in vms],
        [switch for switch in host["switches"] if switch["name"] != "LAB"],
    )


def ids(desk: Desk) -> dict[str, str]:
    """Name and id of each VM; a name that is there twice fails here."""
    rows = [(vm["name"], vm["id"]) for vm in host_of(desk)["vms"].values()]
    assert len(dict(rows)) == len(rows), rows
    return dict(rows)


def kill_lab(desk: Desk) -> None:
    """Kills it, and comes back when it has ended."""
    card = descriptors.read_descriptor(desk.lab_folder())
    assert card is not None
    os.kill(card.pid, signal.SIGKILL)
    with FileLock(desk.lab_folder() / descriptors.LOCK, timeout=60):
        pass


def assert_whole(desk: Desk) -> None:
    status = desk.good("status", "lab", "--json").json
    assert status["healthy"], json.dumps(status)
    assert not status["drifted"], json.dumps(status)
    assert status["etcd_members"] == 1
    assert status["isos_mounted"] == []
    assert desk.kubectl("get", "nodes").out.count(" Ready ") == len(MACHINES)


@pytest.mark.long
def test_a_healthy_cluster_outlives_its_lab(ground: Desk) -> None:
    ground.good("up", "lab")
    secrets, machines, others = ground.secrets(), ids(ground), strangers(ground)
    assert set(machines) == {"fileserver", *MACHINES}
    for end in (kill_lab, lambda desk: desk.good("lab", "stop", "lab")):
        end(ground)
        assert ground.run("status", "lab", "--json").code != 0, "nobody starts a lab by looking at it"
        assert ground.good("up", "lab", "--json").json["outcome"] in ("ok", "unchanged")
        assert_whole(ground)
        assert (ground.secrets(), ids(ground), strangers(ground)) == (secrets, machines, others)


@pytest.mark.long
@pytest.mark.parametrize(("moment", "action"), POINTS, ids=[f"{moment}:{action}" for moment, action in POINTS])
def test_killed_in_the_middle_of_up(ground: Desk, moment: str, action: str) -> None:
    ground.good("lab", "start")
    ground.good("down", "lab", "--all", "--yes")
    others, killed = strangers(ground), False

    ended: dict[str, Any] = {}
    with ground.running("up", "lab") as (_, lines):
        for ended in lines:
            if not killed and (ended.get("type"), ended.get("action")) == (moment, action):
                killed = True
                kill_lab(ground)
    assert killed, f"the run reached that line: {ended}"
    assert ended["outcome"] == "failed"
    secrets = ground.secrets()

    assert ground.good("up", "lab", "--json").json["outcome"] == "ok"
    assert_whole(ground)
    assert set(ids(ground)) == {"fileserver", *MACHINES}
    assert strangers(ground) == others
    assert ground.secrets() == secrets


@pytest.mark.long
@pytest.mark.usefixtures("pwsh")
def test_engines_end_with_their_lab(desk: Desk) -> None:
    """Also those that nobody could tell: their standard input ends."""
    desk.write_cluster(speed=20)
    for end in (kill_lab, lambda desk: desk.good("lab", "stop", "lab")):
        engine_lab.start(desk.lab_folder(), speed=20)
        desk.run("status", "lab")
        card = descriptors.read_descriptor(desk.lab_folder())
        assert card is not None
        engines = children_of(card.pid)
        assert engines, "a spare at least"
        end(desk)
        deadline = time.monotonic() + 60
        while engines & running() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not engines & running()


def running() -> set[int]:
    """Process ids, without those of zombies."""
    return {pid for pid, _, state in _processes() if not state.startswith("Z")}


def children_of(parent: int) -> set[int]:
    return {pid for pid, ppid, _ in _processes() if ppid == parent}


def _processes() -> list[tuple[int, int, str]]:
    said = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,state="], capture_output=True, text=True, check=True)
    return [
        (int(pid), int(ppid), state) for pid, ppid, state in (line.split()[:3] for line in said.stdout.splitlines())
    ]


def test_two_that_start_it_at_once_share_it(desk: Desk) -> None:
    starting = [
        subprocess.Popen(
            desk.command("lab", "start", "lab"),
            cwd=desk.folder,
            env=desk.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=BOUND_S)[0] for process in starting]
    assert [process.returncode for process in starting] == [0, 0, 0], said
    assert desk.ask_lab("status")["vm_names"] == ["fileserver"]


def test_a_state_of_another_version_is_told_with_the_way_out(desk: Desk) -> None:
    desk.lab_folder().mkdir(parents=True)
    kept = desk.lab_folder() / "world.json"
    kept.write_text('{"version": 0}')
    refused = desk.run("lab", "start", "lab")
    assert refused.code != 0
    said = " ".join(refused.err.replace("│", " ").split())
    assert "version 0" in said
    assert "begins anew" in said
    kept.unlink()
    desk.good("lab", "start", "lab")


def test_what_a_lab_keeps_is_private(ground: Desk) -> None:
    ground.good("lab", "start", "lab")
    folders = (ground.provision_home, ground.lab_folder().parent, ground.lab_folder())
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700] * 3
    public = {"winrm-ca.pem", "lab.log", descriptors.LOCK, "start.lock"}
    for path in ground.lab_folder().rglob("*"):
        if path.is_file() and path.name not in public:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.long
def test_another_program_at_the_port_of_a_killed_lab_is_no_lab(desk: Desk) -> None:
    desk.good("lab", "start", "lab")
    card = descriptors.read_descriptor(desk.lab_folder())
    assert card is not None
    kill_lab(desk)
    with socket.create_server(("127.0.0.1", card.control_port)) as stranger:
        answering = threading.Thread(target=lambda: _answer(stranger), daemon=True)
        answering.start()
        assert desk.run("status", "lab", "--json").code != 0
        answering.join(10)
        assert control.running(desk.lab_folder()) is None


def _answer(stranger: socket.socket) -> None:
    stranger.settimeout(60)
    for _ in range(2):
        connection, _ = stranger.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
