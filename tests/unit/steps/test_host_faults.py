"""What a talk with a host that failed means: the fault by the error's class and id, with what the user can do about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.errors import (
    Dropped,
    Fault,
    HostRefused,
    Malformed,
    NoSignIn,
    NotTrusted,
    Rejected,
    TalosRefused,
    TransportError,
    Unreachable,
)
from provisioner.model.cluster import HostSpec
from provisioner.ports import HyperVUnavailable
from provisioner.steps.host_faults import fault_of, host_fault, hyperv_fault, on_host, read_host
from provisioner.steps.waiting import Pending, Ready, TimedOut
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import HOST, cluster_of, host_of, observed_of

CLUSTER = cluster_of({})
CP = "home-cp-1"


def refused(id: str, target: str = "") -> HostRefused:
    return HostRefused(id=id, message="it does not want to", target=target, function="Do-It")


@pytest.mark.parametrize(
    ("id", "fault_id", "expected"),
    [
        ("NotAdministrator", "P-HOST-RIGHTS", "membership in the host's Administrators"),
        ("SwitchAdapterWifi", "P-SWITCH-WIFI", "a wired adapter"),
        ("ImageNoSpace", "P-VM-SPACE", "space for the ISO"),
        ("FolderNotOurs", "P-VM-FOREIGN", "a folder with this cluster's mark"),
        ("VMMacInUse", "P-VM-MACTWICE", "a MAC address that no other VM has"),
        ("VMNotFound", "P-VM-STUCK", "the VM that was there before"),
        ("HyperV.OperationFailed", "P-HOST-REFUSED", "Do-It to succeed"),
        ("MethodInvocationNotSupportedInConstrainedLanguage", "P-HOST-CONSTRAINED", "FullLanguage, or a session"),
        ("WinRM.2150859173", "P-HOST-REFUSED", "Do-It to succeed"),
    ],
)
@pytest.mark.parametrize("machine", ["", CP])
def test_a_refusal_is_known_by_its_id(id: str, fault_id: str, expected: str, machine: str) -> None:
    fault = fault_of(refused(id, target="C:\\VMs"), host=HOST, machine=machine)
    assert (fault.id, fault.machine, fault.seen) == (fault_id, machine, (f"Do-It answered {id} for C:\\VMs",))
    assert fault.expected.startswith(expected)
    assert fault.message == f"{f'{CP} on {HOST}' if machine else HOST}: it does not want to"


def test_a_refusal_without_a_target_names_none() -> None:
    assert fault_of(refused("VMNotFound"), host=HOST).seen == ("Do-It answered VMNotFound",)


@pytest.mark.parametrize(
    ("id", "first", "cause"),
    [
        ("WinRM.2150859173", "wait that long, or on the host: Restart-Service WinRM", "sessions of runs"),
        ("VMStopTimeout", "shut it down by talosctl", ""),
        (
            "VMDiskExists",
            "to keep what is on it: merge the checkpoint in Hyper-V Manager, or move C:\\d.avhdx away",
            "",
        ),
    ],
)
def test_refusals_with_a_way_out_of_their_own_name_it(id: str, first: str, cause: str) -> None:
    fault = fault_of(refused(id, target="C:\\d.avhdx"), host=HOST)
    assert fault.next_steps[0].startswith(first)
    assert fault.probable_cause.startswith(cause) if cause else not fault.probable_cause


@pytest.mark.parametrize(
    ("facts", "fault_id", "step"),
    [
        ({"hyperv_module": False}, "P-HOST-NOHYPERV", "Enable-WindowsOptionalFeature"),
        ({"hypervisor_present": False}, "P-HOST-NOHYPERV", "bcdedit /set hypervisorlaunchtype auto"),
        ({"vmms_status": "Stopped"}, "P-HOST-NOHYPERV", "Start-Service vmms"),
        ({"is_administrator": False, "is_hyperv_administrator": False}, "P-HOST-RIGHTS", "Administrators ACCOUNT"),
    ],
)
def test_a_host_without_hyperv_names_the_first_thing_to_do(facts: dict[str, Any], fault_id: str, step: str) -> None:
    host = replace(host_of({}), **facts)
    fault = hyperv_fault(HOST, host)
    assert fault is not None
    assert (fault.id, len(fault.next_steps), step in fault.next_steps[0]) == (fault_id, 1, True)
    of_call = fault_of(HyperVUnavailable(refused("HyperV.X"), host), host=HOST, machine=CP)
    assert (of_call.id, of_call.machine, of_call.message) == (fault_id, CP, fault.message)


def test_a_member_of_either_group_may_manage_hyperv() -> None:
    assert hyperv_fault(HOST, replace(host_of({}), is_administrator=False)) is None
    assert hyperv_fault(HOST, replace(host_of({}), is_hyperv_administrator=False)) is None
    again = fault_of(HyperVUnavailable(refused("HyperV.OperationFailed"), host_of({})), host=HOST)
    assert again.id == "P-HOST-REFUSED", "Hyper-V is well by now: the refusal stands"


@pytest.mark.parametrize(
    ("error", "user", "fault_id", "message", "steps"),
    [
        (Rejected("401"), "me", "P-HOST-SIGNIN", "hv01 refuses the sign-in as me", 1),
        (Rejected("401"), "", "P-HOST-SIGNIN", "hv01 refuses the sign-in", 1),
        (NoSignIn(["Kerberos"]), "", "P-HOST-NOSIGNIN", "hv01 takes no sign-in by NTLM", 2),
        (NoSignIn([]), "", "P-HOST-NOSIGNIN", "hv01 offers no way to sign in that we know", 1),
        (NotTrusted("other key"), "", "P-HOST-CERT", "the certificate of hv01 is not the one expected", 1),
        (
            Malformed("<html>", expected="WinRM"),
            "",
            "P-HOST-NOTWINRM",
            "something answers for hv01, but not as WinRM",
            2,
        ),
        (
            Malformed("no id", expected="VmFacts"),
            "",
            "P-HOST-ANSWER",
            "hv01 answers, but not as its functions should",
            1,
        ),
        (Malformed("no id"), "", "P-HOST-ANSWER", "hv01 answers, but not as its functions should", 1),
        (Dropped("reset"), "", "P-HOST-LOST", "hv01 went away and did not come back", 0),
        (TalosRefused(status="UNKNOWN", message="?"), "", "P-HOST-LOST", "hv01 went away and did not come back", 0),
    ],
)
def test_each_way_to_fail_has_its_fault(
    error: TransportError, user: str, fault_id: str, message: str, steps: int
) -> None:
    fault = fault_of(error, host=HOST, machine=CP, user=user)
    assert (fault.id, fault.message, fault.machine, len(fault.next_steps)) == (fault_id, message, CP, steps)
    assert fault.expected
    assert fault.seen


def test_what_was_promised_is_told_of_a_malformed_answer() -> None:
    assert fault_of(Malformed("x", expected="VmFacts"), host=HOST).expected == "what VmFacts promises"
    assert fault_of(Malformed("x"), host=HOST).expected == "what the contract promises"


@pytest.mark.parametrize(
    ("error", "port", "fault_id", "expected"),
    [
        (
            TimedOut("facts", 180.0, "no answer", rate=1.0),
            5986,
            "P-HOST-LOST",
            "the facts of the host and its VMs within 3m",
        ),
        (Unreachable("no route"), 5986, "P-HOST-UNREACHABLE", "WinRM over HTTPS, port 5986"),
        (Unreachable("no route"), 5985, "P-HOST-UNREACHABLE", "WinRM, port 5985"),
        (Rejected("401"), 5986, "P-HOST-SIGNIN", "a user name and password that the host accepts"),
    ],
)
def test_a_reading_that_fails_says_why(error: TransportError, port: int, fault_id: str, expected: str) -> None:
    fault = host_fault(error, HostSpec(name=HOST, address="hv01.lan", user="", port=port))
    assert (fault.id, fault.expected.partition(";")[0]) == (fault_id, expected)
    assert "no user" in fault.message or fault_id != "P-HOST-SIGNIN"


async def test_a_host_is_read_whole_or_not_at_all() -> None:
    world = FakeWorld(CLUSTER, observed_of({"all": "up"}, CLUSTER))
    assert (await read_host(CLUSTER, HOST, world.host, world.clock)).whole
    world.host.fail("observe", Unreachable("no route"))
    with pytest.raises(Fault) as caught:
        await read_host(CLUSTER, HOST, world.host, world.clock)
    assert (caught.value.id, type(caught.value.__cause__)) == ("P-HOST-UNREACHABLE", Unreachable)
    world.host.facts, world.host.whole = replace(world.host.facts, vmms_status="Stopped"), False
    with pytest.raises(Fault) as caught:
        await read_host(CLUSTER, HOST, world.host, world.clock)
    assert caught.value.id == "P-HOST-NOHYPERV"


@pytest.mark.parametrize("error", [Unreachable("no route"), Dropped("reset"), refused("VMNotFound"), None])
async def test_a_host_that_is_away_is_waited_for_and_one_that_refuses_is_not(error: TransportError | None) -> None:
    async def probe() -> Ready[int] | Pending:
        if error is not None:
            raise error
        return Ready(1, "well")

    guarded = on_host(probe, host=HOST, machine=CP)
    if isinstance(error, HostRefused):
        with pytest.raises(Fault) as caught:
            await guarded()
        assert (caught.value.id, caught.value.machine, caught.value.__cause__) == ("P-VM-STUCK", CP, error)
    else:
        assert await guarded() == (Pending(f"{HOST} is away ({error})") if error else Ready(1, "well"))
