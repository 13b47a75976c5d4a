"""VMs that bear a machine's mark and are not proven to be it: what is said of them, by `up`, `plan` and `down` alike."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.errors import Fault
from provisioner.model.facts import HostState
from provisioner.model.naming import Mark
from provisioner.model.ownership import OnHost, copies_of, vm_of


def fault_of_copies(hosts: Mapping[str, HostState], mark: Mark) -> Fault | None:
    """P-VM-TWICE with the machine and its copies by name and id, or None where every VM of that mark is the machine."""
    copies, own = copies_of(hosts, mark), vm_of(hosts, mark)
    if not copies:
        return None
    records = [folder for state in hosts.values() for folder in state.folders if folder.mark == mark and folder.vm_id]
    names = ", ".join(dict.fromkeys(one.vm.name for one in copies))
    then = [f"on {copies[0].host}: take the line {mark} out of the Notes of the copy, or remove that VM"]
    if own is None and records:
        then.append(f"or, where {names} is the machine itself, restored: delete {records[0].path}\\provision.json")
    return Fault(
        "P-VM-TWICE",
        f"{mark.machine} has a copy: {names} bears its mark too"
        if own
        else f"{names} bears the mark of {mark.machine} and is not proven to be it",
        expected=f"one VM with the mark of {mark.machine}, the one that provision.json in its folder names",
        seen=(
            *((f"{_words(own)}: the machine",) if own else ()),
            *(f"{_words(one)}: not named by any record" for one in copies),
            *(f"{folder.path}\\provision.json names {folder.vm_id}" for folder in records if own is None),
        ),
        next_steps=then,
        machine=mark.machine,
    )


def _words(one: OnHost) -> str:
    return f"VM {one.vm.name} ({one.vm.id}) on {one.host}, {one.vm.state}"
