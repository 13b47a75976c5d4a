"""Which VM is the machine: the one that its folder's record names, and none where that cannot be told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provisioner.model.naming import Mark, computed_mac
from provisioner.model.ownership import copies_of, our_ids, our_vms, vm_of
from tests.unit.steps.world import CLUSTER_ID, HOST, cluster_of, folder_of, observed_of

CP = "home-cp-1"
MARK = Mark(cluster_id=CLUSTER_ID, machine=CP)
WHOLE = observed_of({"all": "up"}, cluster_of({}))
STATE = WHOLE.hosts[HOST]
MACHINE = next(vm for vm in STATE.vms if vm.name == CP)
COPY = replace(MACHINE, id="copied", folder=f"D:\\copies\\{CP}")


def test_the_record_decides_whatever_the_host_lists_first() -> None:
    for vms in ((COPY, MACHINE), (MACHINE, COPY)):
        hosts = {HOST: replace(STATE, vms=vms)}
        own = vm_of(hosts, MARK)
        assert own is not None
        assert own.vm is MACHINE
        assert [one.vm for one in copies_of(hosts, MARK)] == [COPY]


def test_two_that_records_name_are_neither_of_them_the_machine() -> None:
    """Whoever copies the folder too: nothing tells which one is meant, so nothing is removed."""
    second = folder_of({"machine": CP, "path": COPY.folder, "vm_id": COPY.id})
    hosts = {HOST: replace(STATE, vms=(MACHINE, COPY), folders=(*STATE.folders, second))}
    assert vm_of(hosts, MARK) is None
    assert {one.vm.id for one in copies_of(hosts, MARK)} == {MACHINE.id, COPY.id}


def test_a_copy_alone_is_not_the_machine() -> None:
    hosts = {HOST: replace(STATE, vms=(COPY,))}
    assert vm_of(hosts, MARK) is None
    assert [one.vm for one in copies_of(hosts, MARK)] == [COPY]


def test_marks_of_earlier_lives_are_ours_and_those_of_others_are_not() -> None:
    secrets = replace(WHOLE.secrets, former_ids=("dead",))
    assert our_ids(secrets) == {CLUSTER_ID, "dead"}
    assert our_ids(replace(secrets, cluster_id="", former_ids=())) == frozenset()
    theirs = replace(MACHINE, id="theirs", mark=Mark(cluster_id="beef", machine=CP))
    former = replace(MACHINE, id="former", mark=Mark(cluster_id="dead", machine="old"), folder="C:\\VMs\\old")
    hosts = {HOST: replace(STATE, vms=(MACHINE, theirs, former))}
    assert [one.vm.id for one in our_vms(hosts, secrets)] == [MACHINE.id, "former"]


@pytest.mark.parametrize("number", range(64))
def test_a_computed_mac_address_is_in_nobodys_range(number: int) -> None:
    first = int(computed_mac("home", f"home-worker-{number}")[:2], 16)
    assert (first & 0b11) == 0b10, "locally administered, and of one station"
