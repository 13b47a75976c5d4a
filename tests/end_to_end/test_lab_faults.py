"""Each fault of the lab, met by the product: what the user is told, and that the same command again is right afterwards.

Faults that do not disturb each other share a lab. `test_no_fault_is_missing` holds the tables to the lab's own list.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from provisioner.lab.world.faults import FAULTS
from provisioner.model.naming import computed_mac
from tests.end_to_end.conftest import Desk, Done, make_desk, stop_labs

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.timeout(300),
]  # several commands each, on a computer that is busy with others

SPEED = 200.0
"""Of these labs: a wait of minutes is over in a second or two."""


@dataclass(frozen=True)
class Bad:
    """One fault, as it is asked for."""

    name: str
    place: str = ""
    value: float | None = None
    times: int = 1

    def happen(self, desk: Desk) -> None:
        more: dict[str, Any] = {} if self.value is None else {"value": self.value}
        desk.ask_lab("fault", name=self.name, place=self.place, times=self.times, **more)


def clear(desk: Desk) -> list[str]:
    """The faults are forgotten, and what they did to the host is set right; those that were never met."""
    forgotten: list[str] = desk.ask_lab("fault", name="clear")["forgotten"]
    return forgotten


def fault_of(done: Done) -> dict[str, Any]:
    fault: dict[str, Any] | None = done.json.get("fault")
    assert fault is not None, f"{done.out}\n{done.err}"
    return fault


def expect(done: Done, fault_id: str, code: int) -> dict[str, Any]:
    fault = fault_of(done)
    assert (fault["id"], done.code) == (fault_id, code), f"{done.out}\n{done.err}"
    assert fault["expected"]
    assert fault["seen"], "what was seen"
    return fault


def right(desk: Desk, *command: str) -> str:
    """The command ends well, and says so; its outcome."""
    outcome: str = desk.good(*command, "--json").json["outcome"]
    return outcome


# --- told before anything is changed ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A lab with nothing in it: these tests leave it as they found it."""
    desk = make_desk(tmp_path_factory.mktemp("empty"))
    desk.write_cluster(speed=SPEED)
    desk.good("lab", "start")
    yield desk
    stop_labs(desk)


BEFORE: list[tuple[Bad, str, str, int, str]] = [
    (Bad("vmms-stopped"), "host", "P-HOST-NOHYPERV", 4, "Start-Service vmms"),
    (Bad("module-missing"), "host", "P-HOST-NOHYPERV", 4, "Enable-WindowsOptionalFeature"),
    (Bad("clock-skew"), "host", "P-HOST-CLOCK", 4, "w32tm"),
    (Bad("disk-full", "C:"), "host", "P-VM-SPACE", 4, ""),
    (Bad("memory-short"), "host", "P-VM-MEMORY", 4, "memory"),
    (Bad("rights-lost", "provision"), "host", "P-HOST-RIGHTS", 4, "Administrators"),
    (Bad("winrm-refuse", times=9), "host", "P-HOST-SIGNIN", 4, "PROVISION_PASSWORD"),
    (Bad("winrm-quota", times=9), "host", "P-HOST-REFUSED", 1, "Restart-Service WinRM"),
    (Bad("winrm-certificate", times=9), "host", "P-HOST-CERT", 4, "console"),
    (Bad("image-checksum"), "image", "P-ISO-CHECKSUM", 4, ""),
    (Bad("image-status", times=9), "image", "P-ISO-DOWNLOAD", 4, ""),
    (Bad("image-unreachable", times=9), "image", "P-ISO-DOWNLOAD", 4, ""),
]


@pytest.mark.parametrize("told", BEFORE, ids=lambda told: told[0].name)
def test_what_is_told_before_a_machine_is_made(empty: Desk, told: tuple[Bad, str, str, int, str]) -> None:
    bad, until, fault_id, code, way_out = told
    command = ("up", "lab", "--until", until)
    bad.happen(empty)
    fault = expect(empty.run(*command, "--json"), fault_id, code)
    assert way_out in " ".join(fault["next_steps"])
    clear(empty)
    assert right(empty, *command) in ("ok", "unchanged")
    assert empty.ask_lab("status")["vm_names"] == ["fileserver"]
    if until == "image":
        right(empty, "down", "lab", "--image", "--yes")


def test_an_adapter_that_was_pulled_out(empty: Desk) -> None:
    empty.write_cluster(speed=SPEED, switch={"name": "SECOND", "adapter": "Ethernet 2"})
    try:
        Bad("adapter-gone", "Ethernet 2").happen(empty)
        fault = expect(empty.run("up", "lab", "--until", "switch", "--json"), "P-SWITCH-NOADAPTER", 4)
        assert any(line.startswith('"Ethernet"') for line in fault["seen"]), "lists what there is"
        clear(empty)
        assert empty.run("plan", "lab", "--json").code == 0
    finally:
        empty.write_cluster(speed=SPEED)


def test_a_vm_of_somebody_else_with_our_mac_address(empty: Desk) -> None:
    """It stays: only its owner can give it another address. Here they delete it."""
    Bad("foreign-vm", computed_mac("lab", "lab-worker-1")).happen(empty)
    fault = expect(empty.run("up", "lab", "--until", "host", "--json"), "P-VM-MACTWICE", 6)
    assert "nightly-build" in fault["message"]
    assert "nightly-build" in empty.ask_lab("status")["vm_names"]
    Bad("vm-deleted", "nightly-build", 1).happen(empty)
    assert right(empty, "up", "lab", "--until", "host") == "unchanged"


# --- the switch -------------------------------------------------------------------------------------------------------
@pytest.mark.long
def test_a_switch_that_cannot_be_made_and_one_that_the_host_undoes(empty: Desk) -> None:
    command = ("up", "lab", "--until", "switch")
    empty.good("down", "lab", "--switch", "--yes")
    try:
        Bad("switch-bind").happen(empty)
        fault = expect(empty.run(*command, "--json"), "P-SWITCH-FAILED", 1)
        assert "0x80070490" in fault["seen"][0], "Hyper-V's own words"
        assert right(empty, *command) == "ok"
        assert right(empty, "down", "lab", "--switch", "--yes") == "ok"
        Bad("switch-offline").happen(empty)
        expect(empty.run(*command, "--json"), "P-SWITCH-UNDONE", 6)
        expect(empty.run(*command, "--json"), "P-SWITCH-UNDONE", 6)  # the outage is not repeated by itself
        assert right(empty, *command, "--retry-switch") == "ok"
        assert right(empty, *command) == "unchanged"
    finally:
        empty.run("down", "lab", "--switch", "--yes", "--json")


# --- on the way -------------------------------------------------------------------------------------------------------

BORNE = (
    Bad("switch-outage"),
    Bad("switch-silence"),
    Bad("switch-public"),
    Bad("switch-dns"),
    Bad("switch-address"),
    Bad("winrm-drop", "New-TalosVM"),
    Bad("winrm-lose-answer", "Save-TalosImage"),
    Bad("winrm-drop-after", value=12),
    Bad("winrm-forget", "Get-TalosNeighbor"),
    Bad("winrm-stall", "Dismount-TalosIso", 2),
    Bad("winrm-slow", "Get-TalosVM"),
    Bad("image-slow"),
    Bad("image-status"),
    Bad("image-unreachable"),
    Bad("talos-lose-answer", "ApplyConfiguration"),
    Bad("talos-lose-answer", "Bootstrap"),
    Bad("install-slow", "lab-worker-1"),
    Bad("kexec-fails", "lab-worker-2"),
    Bad("boots-iso-again", "lab-worker-1"),
    Bad("lease-moves", "lab-worker-3"),
    Bad("etcd-slow", "lab-cp-1"),
    Bad("kube-slow"),
    Bad("foreign-machine"),
    Bad("foreign-vm"),
)
"""What one `up` lives through, all of it in the same run."""


@pytest.mark.long
def test_up_lives_through_all_that_passes(desk: Desk) -> None:
    desk.write_cluster(speed=100)
    desk.good("lab", "start")
    for bad in BORNE:
        bad.happen(desk)
    assert right(desk, "up", "lab") == "ok"
    assert clear(desk) == [], "each was met"
    status = desk.good("status", "lab", "--json").json
    assert status["state"] == "healthy"
    assert all(machine["received"] == 0 for machine in desk.ask_lab("status")["foreign"]), "strangers were sent nothing"
    assert "nightly-build" in desk.ask_lab("status")["vm_names"], "and what is theirs stays"
    assert right(desk, "up", "lab") == "unchanged"
    Bad("lease-moves", "lab-worker-2").happen(desk)
    Bad("host-reboot").happen(desk)
    assert right(desk, "up", "lab") in ("ok", "unchanged"), "machines come up with their host, one elsewhere"
    Bad("link-drop", "silence", 20).happen(desk)
    assert right(desk, "up", "lab") == "unchanged"


FAILING = {
    "lab-worker-1": (Bad("vm-never-boots", "lab-worker-1"), "P-BOOT-NOMAINT", 5),
    "lab-worker-2": (Bad("config-refused", "lab-worker-2"), "P-CONFIG-REFUSED", 3),
    "lab-worker-3": (Bad("install-fails", "lab-worker-3", times=9), "P-INSTALL-STUCK", 5),
    "lab-worker-4": (Bad("image-pull-fails", "lab-worker-4", times=9), "P-INSTALL-STUCK", 5),
    "lab-worker-5": (Bad("no-memory", "lab-worker-5"), "P-VM-MEMORY", 4),
    "lab-worker-6": (Bad("worker-failed", "lab-worker-6"), "P-HOST-REFUSED", 1),
}
"""What stops one machine and no other: each is told with its own machine."""


@pytest.mark.long
def test_each_machine_has_a_fault_of_its_own_and_the_others_go_on(desk: Desk) -> None:
    machines = {"control_planes": 1, "workers": {"count": 7, "memory": "2 GiB"}}
    desk.write_cluster(speed=SPEED, machines=machines)
    desk.good("lab", "start")
    for bad, _, _ in FAILING.values():
        bad.happen(desk)
    done = desk.run("up", "lab", "--progress", "json")
    told = {event["machine"]: event for event in done.events if event.get("type") == "fault"}
    assert {name: (event["id"], event["exit"]) for name, event in told.items()} == {
        name: (fault_id, code) for name, (_, fault_id, code) in FAILING.items()
    }
    assert done.code == done.events[-1]["exit"] == 4, "that of the lowest step"
    assert all(event["expected"] and event["seen"] for event in told.values())
    assert told["lab-worker-1"]["picture"].endswith("lab-worker-1.png")
    ended = {event["action"]: event["outcome"] for event in done.events if event.get("type") == "action_ended"}
    assert ended["eject/eject/lab-worker-7"] == ended["bootstrap/once/etcd"] == "done", "nobody waits for them"
    clear(desk)
    Bad("host-reboot").happen(desk)  # what hangs in its firmware is started anew
    assert right(desk, "up", "lab") == "ok"
    assert desk.good("status", "lab", "--json").json["state"] == "healthy"


@pytest.mark.long
def test_a_clock_that_is_not_set_and_a_node_that_is_not_ready(desk: Desk) -> None:
    desk.write_cluster(speed=1000, machines={"control_planes": 1, "workers": 1})
    desk.good("lab", "start")
    Bad("time-not-synced", "lab-cp-1", times=9).happen(desk)
    fault = expect(desk.run("up", "lab", "--json"), "P-ETCD-STUCK", 5)
    assert "time server" in fault["probable_cause"]
    clear(desk)
    Bad("node-never-ready", "lab-worker-1").happen(desk)
    fault = expect(desk.run("up", "lab", "--json"), "P-KUBE-NOTREADY", 5)
    assert any("lab-worker-1" in line and "cni" in line for line in fault["seen"]), fault["seen"]
    assert desk.good("status", "lab", "--json").json["state"] == "not healthy"
    Bad("host-reboot").happen(desk)
    assert right(desk, "up", "lab") in ("ok", "unchanged"), "it is well by itself when it starts anew"
    assert desk.good("status", "lab", "--json").json["state"] == "healthy"


# --- a cluster that lives ---------------------------------------------------------------------------------------------


@pytest.mark.long
def test_what_is_done_to_machines_by_hand(desk: Desk) -> None:
    desk.write_cluster(speed=SPEED)
    desk.good("up", "lab")
    up = ("up", "lab")
    Bad("vm-paused", "lab-worker-1").happen(desk)
    assert desk.good("status", "lab", "--json").json["state"] == "not healthy"
    assert right(desk, *up) == "ok", "it is resumed"
    Bad("vm-deleted", "lab-worker-2").happen(desk)
    assert right(desk, *up) == "ok", "its disk is attached again"
    Bad("disk-deleted", "lab-worker-3").happen(desk)
    fault = expect(desk.run(*up, "--json"), "P-VM-NODISK", 6)
    assert fault["machine"] == "lab-worker-3"
    assert "remove the VM lab-worker-3" in " ".join(fault["next_steps"])
    Bad("vm-deleted", "lab-worker-3", 1).happen(desk)
    assert right(desk, *up) == "ok", "it was the user who gave it up"
    Bad("vm-copied", "lab-worker-3", 1).happen(desk)  # the copy is the first that Hyper-V lists
    fault = expect(desk.run(*up, "--json"), "P-VM-TWICE", 6)
    assert len(fault["seen"]) == 2, "which is the machine, and which its copy"
    assert desk.run("down", "lab", "--dry-run").code == 6
    Bad("vm-deleted", "lab-worker-3").happen(desk)
    assert right(desk, *up) == "unchanged", "the machine itself was never touched"
    Bad("storage-lost", "lab-worker-1").happen(desk)
    fault = expect(desk.run(*up, "--json"), "P-VM-CRITICAL", 4)
    assert "lab-worker-1" in fault["message"]
    Bad("host-reboot").happen(desk)  # its volume is there again, and its VMs start by themselves
    assert right(desk, *up) in ("ok", "unchanged")
    assert desk.good("status", "lab", "--json").json["state"] == "healthy"


@pytest.mark.long
def test_a_guest_that_does_not_shut_down_and_files_that_are_held(desk: Desk) -> None:
    desk.write_cluster(speed=SPEED)
    desk.good("up", "lab")
    desk.write_cluster(speed=SPEED, machines={"control_planes": 1, "workers": {"count": 3, "memory": "5 GiB"}})
    Bad("guest-silent", "lab-worker-1").happen(desk)
    fault = expect(desk.run("up", "lab", "--json"), "P-VM-STUCK", 5)
    assert "lab-worker-1" in fault["message"], "asked, and not cut"
    assert right(desk, "up", "lab") == "ok"
    Bad("file-locked", "lab-worker-1", 1e6).happen(desk)
    down = ("down", "lab", "--yes")
    expect(desk.run(*down, "--json"), "P-VM-STUCK", 5)
    expect(desk.run(*down, "--json"), "P-VM-STUCK", 5)  # never success with something of ours left
    clear(desk)
    assert right(desk, *down) == "ok"
    assert right(desk, *down) == "unchanged"


# --- the list ---------------------------------------------------------------------------------------------------------

ELSEWHERE = {
    "adapter-gone": test_an_adapter_that_was_pulled_out,
    "foreign-vm": test_a_vm_of_somebody_else_with_our_mac_address,
    "switch-bind": test_a_switch_that_cannot_be_made_and_one_that_the_host_undoes,
    "switch-offline": test_a_switch_that_cannot_be_made_and_one_that_the_host_undoes,
    "host-reboot": test_up_lives_through_all_that_passes,
    "link-drop": test_up_lives_through_all_that_passes,
    "time-not-synced": test_a_clock_that_is_not_set_and_a_node_that_is_not_ready,
    "node-never-ready": test_a_clock_that_is_not_set_and_a_node_that_is_not_ready,
    "vm-paused": test_what_is_done_to_machines_by_hand,
    "vm-copied": test_what_is_done_to_machines_by_hand,
    "vm-deleted": test_what_is_done_to_machines_by_hand,
    "disk-deleted": test_what_is_done_to_machines_by_hand,
    "storage-lost": test_what_is_done_to_machines_by_hand,
    "guest-silent": test_a_guest_that_does_not_shut_down_and_files_that_are_held,
    "file-locked": test_a_guest_that_does_not_shut_down_and_files_that_are_held,
}
"""Faults that stand in no table, and the test that meets them."""


def test_no_fault_is_missing() -> None:
    tables = {told[0].name for told in BEFORE} | {told[0].name for told in FAILING.values()}
    tables |= {bad.name for bad in BORNE}
    assert sorted(set(FAULTS) - tables - set(ELSEWHERE)) == []
    assert sorted((tables | set(ELSEWHERE)) - set(FAULTS)) == []
    for name, test in ELSEWHERE.items():
        assert f'Bad("{name}"' in inspect.getsource(test), name
