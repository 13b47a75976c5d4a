"""What `down` removes: VMs with our mark, their disks and folders, our contexts. What it keeps, unless told otherwise: switch,
image, secrets; and each of them only if we made it and nothing else uses it.

What bears our mark and cannot be proven to be ours is kept as a refusal: the run ends with its fault, never as if nothing were left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from provisioner.errors import Fault
from provisioner.model import ownership
from provisioner.model.cluster import Cluster
from provisioner.model.facts import HostState, ImageFacts, Observed, SwitchFacts, VmFacts
from provisioner.model.naming import Mark, kube_context
from provisioner.model.options import RemovalScope
from provisioner.model.ownership import OnHost
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.units import GIB, MIB
from provisioner.model.work import (
    ForgetEtcd,
    HandOverSwitch,
    RemoveContexts,
    RemoveFolder,
    RemoveImage,
    RemoveSecrets,
    RemoveSwitch,
    RemoveVm,
)
from provisioner.steps.actions import act, keep, refuse
from provisioner.steps.copies import fault_of_copies
from provisioner.steps.image import image_facts, image_path


def our_vms(state: HostState, seen: Observed) -> tuple[VmFacts, ...]:
    """VMs of that host that are this cluster's machines, also those that the file does not name any more."""
    return tuple(one.vm for one in ownership.our_vms(seen.hosts, seen.secrets) if one.vm in state.vms)


def plan(cluster: Cluster, seen: Observed, extent: RemovalScope) -> Iterator[Action]:
    ours = ownership.our_vms(seen.hosts, seen.secrets)
    names = Counter(one.vm.name for one in ours)
    strange = list(_strange(cluster, seen))
    staying: list[str] = []
    for host, state in seen.hosts.items():
        yield from (_vm(one, seen, unique=names[one.vm.name] == 1) for one in ours if one.host == host)
        yield from (action for action in strange if action.host == host)
        yield from _folders(host, state, seen)
        for name, switch in _switches(cluster, state, seen).items():
            action = _switch(name, switch, seen, host=host, extent=extent)
            staying += [name] if not action.kind and _is_ours(switch, seen) else []
            yield action
        yield _image(cluster, host, state, seen, extent)
    if seen.etcd_began is not None and not names:
        why = "no machine of it is left: the next up begins a new one"
        yield act(StepId.REMOVE, "note of etcd's start", Verb.REMOVE, why, ForgetEtcd())
    yield from _contexts(cluster, seen)
    yield from _secrets(seen, extent, strange, staying)


def _vm(one: OnHost, seen: Observed, *, unique: bool) -> Action:
    vm = one.vm
    assert vm.mark is not None, "ours bears a mark"
    disks = sum(drive.size_bytes for drive in vm.drives if drive.kind == "disk")
    return Action(
        step=StepId.REMOVE,
        verb=Verb.REMOVE,
        object=vm.name if unique else f"{vm.name} ({vm.id})",
        machine=vm.mark.machine,
        host=one.host,
        why=f"{vm.state}, marked as {vm.mark.machine}",
        work=RemoveVm(
            vm_id=vm.id,
            cluster_id=vm.mark.cluster_id,
            disk_bytes=disks,
            keep_mark=bool(ownership.copies_of(seen.hosts, vm.mark)),
        ),
        destroys=f"its disk of {disks // GIB} GiB" if disks else "the VM",
    )


def _strange(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    """VMs with our mark that are not proven to be ours: copies, and machines of a cluster whose id is not here."""
    for one in ownership.our_copies(seen.hosts, seen.secrets):
        assert one.vm.mark is not None, "a claim bears a mark"
        fault = fault_of_copies(seen.hosts, one.vm.mark)
        assert fault is not None, "a copy has a fault"
        yield _left(one, fault)
    names = {machine.name for machine in cluster.machines}
    place = Path(seen.secrets.path).with_name("cluster-id")
    own = seen.secrets.cluster_id
    for one in ownership.namesakes(seen.hosts, seen.secrets, names):
        assert one.vm.mark is not None, "a namesake bears a mark"
        vm, mark = one.vm, one.vm.mark
        whose = (
            f"of another cluster, or of this one: its id is not {own}" if own else "of a cluster whose id is not here"
        )
        fault = Fault(
            "P-VM-FOREIGN",
            f"{vm.name} is marked as {mark.machine} {whose}",
            expected=f"the id of the marks, in {place} or told by secrets.yaml beside it",
            seen=(f"VM {vm.name} ({vm.id}) on {one.host}, {vm.state}, marked {mark}",),
            next_steps=(
                f"if it is this cluster's: write {mark.cluster_id} into {place}, or restore secrets.yaml there",
                "if it is another's: give this cluster file another name",
            ),
            machine=mark.machine,
        )
        yield _left(one, fault)


def _left(one: OnHost, fault: Fault) -> Action:
    what = f"{one.vm.name} ({one.vm.id})"
    return refuse(StepId.REMOVE, what, fault, one.host)


def _folders(host: str, state: HostState, seen: Observed) -> Iterator[Action]:
    """Folders of ours whose VM is gone, but for those that tell which of several VMs is no machine."""
    for folder in ownership.left_folders(state, seen.secrets):
        if ownership.copies_of(seen.hosts, folder.mark):
            continue
        size = f"{folder.disk_bytes / GIB:.1f} GiB" if folder.disk_bytes >= GIB else f"{folder.disk_bytes // MIB} MiB"
        why = f"left of {folder.mark.machine}, whose VM is gone"
        work = RemoveFolder(path=folder.path, cluster_id=folder.mark.cluster_id, machine=folder.mark.machine)
        lost = f"the disk in {folder.path}, which takes {size}" if folder.disk_bytes else ""
        yield act(StepId.REMOVE, folder.path, Verb.REMOVE, why, work, host=host, destroys=lost)


def _contexts(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    """Ours go; what cannot be changed stays as it is, and is told."""
    kube = seen.access.get("kubeconfig")
    context = kube.name if kube is not None and kube.name else kube_context(cluster.name)
    broken = [found.problem for found in seen.access.values() if found.problem]
    if broken:
        yield keep(StepId.ACCESS, context, "; ".join(broken))
    if any(found.there and not found.problem for found in seen.access.values()):
        yield act(StepId.ACCESS, context, Verb.REMOVE, "our contexts", RemoveContexts())


def _switches(cluster: Cluster, state: HostState, seen: Observed) -> dict[str, SwitchFacts | None]:
    """By name: the file's, and all that we made under another name or that was renamed since."""
    others = {switch.name: switch for switch in state.marked_switches if _is_ours(switch, seen)}
    return {cluster.switch.name: state.switch, **others}


def _is_ours(switch: SwitchFacts | None, seen: Observed) -> bool:
    """Whether it bears our mark."""
    mark = switch.mark if switch is not None and switch.exists else None
    return mark is not None and mark.cluster_id in ownership.our_ids(seen.secrets)


def _switch(name: str, switch: SwitchFacts | None, seen: Observed, *, host: str, extent: RemovalScope) -> Action:
    state = seen.hosts[host]
    if switch is None or not switch.exists:
        return keep(StepId.SWITCH, name, "not there", host=host, absent=True)
    if switch.mark is None:
        return keep(StepId.SWITCH, name, "existed before us", host=host)
    if not _is_ours(switch, seen):
        why = (
            f"made by another cluster file, whose id is {switch.mark.cluster_id}: its down removes it, "
            f'or on the host: Remove-VMSwitch "{switch.name}"'
        )
        return keep(StepId.SWITCH, name, why, host=host)
    users = _others(switch.vm_names, state, seen)
    if users:
        heir = _heir(switch, state, seen)
        if heir is None or not extent.switch:
            return keep(StepId.SWITCH, name, f"used by {', '.join(users)}", host=host)
        why = f"used by {', '.join(users)}: handed over to their cluster, whose down removes it"
        work = HandOverSwitch(cluster_id=switch.mark.cluster_id, mark=str(heir))
        return act(StepId.SWITCH, name, Verb.CHANGE, why, work, host=host)
    if not extent.switch:
        return keep(StepId.SWITCH, name, "we made it (remove with --switch)", host=host)
    why, removal = "we made it, and nothing else uses it", RemoveSwitch(cluster_id=switch.mark.cluster_id)
    warning = "the host's link drops for up to a minute"
    return act(StepId.SWITCH, name, Verb.REMOVE, why, removal, host=host, warning=warning)


def _others(names: tuple[str, ...], state: HostState, seen: Observed) -> list[str]:
    """Of the names of VMs that use something, those that will be there after us. Hyper-V lets two VMs have one name."""
    ours = our_vms(state, seen)
    going = {vm.name for vm in ours} - {vm.name for vm in state.vms if vm not in ours}
    return [name for name in dict.fromkeys(names) if name not in going]


def _heir(switch: SwitchFacts, state: HostState, seen: Observed) -> Mark | None:
    """The mark of another cluster of which a VM uses the switch."""
    ids = ownership.our_ids(seen.secrets)
    for vm in state.vms:
        if vm.name in switch.vm_names and vm.mark is not None and vm.mark.cluster_id not in ids:
            return Mark(cluster_id=vm.mark.cluster_id, machine=f"switch:{switch.name}")
    return None


def _image(cluster: Cluster, host: str, state: HostState, seen: Observed, extent: RemovalScope) -> Action:
    name, found = cluster.image.file_name, image_facts(cluster, state)
    if found is None or not (found.exists or found.download):
        return keep(StepId.IMAGE, name, "not there", host=host, absent=True)
    what = "in the cache" if found.exists else "what a killed download left"
    if why := _why_kept(found, _others(found.vm_names, state, seen)):
        return keep(StepId.IMAGE, name, why, host=host)
    if not extent.image:
        return keep(StepId.IMAGE, name, f"{what} (remove with --image)", host=host)
    why = "we downloaded it, and nothing else uses it" if found.exists else what
    return act(StepId.IMAGE, name, Verb.REMOVE, why, RemoveImage(path=image_path(cluster, state)), host=host)


def _why_kept(image: ImageFacts, others: list[str]) -> str:
    if image.exists and not image.ours:
        return "not downloaded by us"
    if others:
        return f"used by {', '.join(others)}"
    return "a download of it is at work, or was within ten minutes" if image.download == "Running" else ""


def _secrets(seen: Observed, extent: RemovalScope, strange: list[Action], staying: list[str]) -> Iterator[Action]:
    """`staying`: switches with our mark that are kept. Keys go only when no VM is left that bears our mark; the id in the marks only when nothing at all is."""
    secrets, switches = seen.secrets, ", ".join(staying)
    if not (secrets.exists or (extent.secrets and ownership.our_ids(secrets))):
        return
    if not extent.secrets:
        yield keep(StepId.SECRETS, "secrets", f"{secrets.path} (remove with --secrets)")
    elif strange:
        names = ", ".join(action.object for action in strange)
        yield keep(StepId.SECRETS, "secrets", f"{secrets.path}: the mark of this cluster is on {names}")
    elif staying and not secrets.exists:
        why = f"the id in the mark of the switch {switches}, which stays (remove with --switch)"
        yield keep(StepId.SECRETS, "cluster-id", why)
    else:
        why = f"moved aside beside {secrets.path}"
        why += f"; the id stays, for it is in the mark of the switch {switches}" if staying else ""
        lost = "the cluster's keys" if secrets.exists else ""
        yield act(StepId.SECRETS, "secrets", Verb.REMOVE, why, RemoveSecrets(), destroys=lost)
