"""What `down` removes: VMs with our mark, their disks and folders, our contexts. What it keeps, unless told otherwise: switch,
image, secrets; and each of them only if we made it and nothing else uses it.

What bears our mark and cannot be proven to be ours is kept as a refusal: the run ends with its fault, never as if nothing were left.
Keys go last, after another look at all hosts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from provisioner.errors import Fault, HostRefused
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
from provisioner.ports import Host
from provisioner.steps.actions import act, keep, refuse
from provisioner.steps.host_faults import on_host, read_host
from provisioner.steps.image import image_facts, image_path
from provisioner.steps.run_context import Run
from provisioner.steps.vm import fault_of_copies
from provisioner.steps.waiting import Pending, Probe, Ready


def our_vms(state: HostState, seen: Observed) -> tuple[VmFacts, ...]:
    """VMs of that host that are this cluster's machines, also those that the file does not name any more."""
    return tuple(one.vm for one in ownership.our_vms(seen.hosts, seen.secrets) if one.vm in state.vms)


def plan(cluster: Cluster, seen: Observed, extent: RemovalScope) -> Iterator[Action]:
    ours = ownership.our_vms(seen.hosts, seen.secrets)
    names = Counter(one.vm.name for one in ours)
    unproven = list(_unproven(cluster, seen))
    actions: list[Action] = []
    for host, state in seen.hosts.items():
        actions += (_vm(one, seen, unique=names[one.vm.name] == 1) for one in ours if one.host == host)
        actions += (action for action in unproven if action.host == host)
        actions += _folders(host, state, seen)
        switches = _switches(cluster, state, seen).items()
        actions += (_switch(name, switch, seen, host=host, extent=extent) for name, switch in switches)
        actions.append(_image(cluster, host, state, seen, extent))
    yield from actions
    if seen.etcd_began is not None and not names:
        why = "no machine of it is left: the next up begins a new one"
        yield act(StepId.REMOVE, "note of etcd's start", Verb.REMOVE, why, ForgetEtcd())
    yield from _contexts(cluster, seen)
    yield from _secrets(seen, extent, unproven, _staying(cluster, seen, actions))


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
            keep_mark=bool(ownership.copies_of(seen.hosts, vm.mark)),
        ),
        destroys=f"its disk of {disks // GIB} GiB" if disks else "the VM",
    )


def _unproven(cluster: Cluster, seen: Observed) -> Iterator[Action]:
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


def _staying(cluster: Cluster, seen: Observed, actions: Iterable[Action]) -> list[str]:
    """Switches with our mark that are kept."""
    kept = [action for action in actions if action.step is StepId.SWITCH and not action.kind]
    return [a.object for a in kept if _is_ours(_switches(cluster, seen.hosts[a.host], seen)[a.object], seen)]


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


def _secrets(seen: Observed, extent: RemovalScope, unproven: list[Action], staying: list[str]) -> Iterator[Action]:
    """`staying`: switches with our mark that are kept. Keys go only when no VM is left that bears our mark; the id in the marks only when nothing at all is."""
    secrets, switches = seen.secrets, ", ".join(staying)
    if not (secrets.exists or (extent.secrets and ownership.our_ids(secrets))):
        return
    if not extent.secrets:
        yield keep(StepId.SECRETS, "secrets", f"{secrets.path} (remove with --secrets)")
    elif unproven:
        names = ", ".join(action.object for action in unproven)
        yield keep(StepId.SECRETS, "secrets", f"{secrets.path}: the mark of this cluster is on {names}")
    elif staying and not secrets.exists:
        why = f"the id in the mark of the switch {switches}, which stays (remove with --switch)"
        yield keep(StepId.SECRETS, "cluster-id", why)
    else:
        why = f"moved aside beside {secrets.path}"
        why += f"; the id stays, for it is in the mark of the switch {switches}" if staying else ""
        lost = "the cluster's keys" if secrets.exists else ""
        yield act(StepId.SECRETS, "secrets", Verb.REMOVE, why, RemoveSecrets(), destroys=lost)


async def apply(action: Action, run: Run) -> str:
    """Removes one thing. Idempotent: what is gone already is success. Raises a Fault."""
    if action.step is StepId.REMOVE:
        run.forget_bootstrap()
    match action.work:
        case ForgetEtcd():
            return "forgotten"
        case RemoveContexts():
            return ", ".join(run.ports.store.remove_contexts()) or "nothing to remove"
        case RemoveSecrets():
            return await _remove_secrets(run)
    return await _remove_there(action, run, run.ports.hosts[action.host])


async def _remove_there(action: Action, run: Run, host: Host) -> str:
    """Of what is on a host, proven by the host's own word."""
    match action.work:
        case RemoveVm() as vm:
            await _ask(action, run, lambda: host.remove_vm(vm.vm_id, cluster_id=vm.cluster_id, keep_mark=vm.keep_mark))
            kept = "VM and disk are gone; its folder tells it from its copies"
            return kept if vm.keep_mark else "VM, disk and folder are gone"
        case RemoveFolder() as folder:
            await _ask(action, run, lambda: host.remove_folder(folder.path, cluster_id=folder.cluster_id))
            return "gone with all in it"
        case HandOverSwitch(cluster_id=id, mark=mark):
            await _ask(action, run, lambda: host.hand_over_switch(name=action.object, cluster_id=id, mark=mark))
            return f"marked {mark}"
        case RemoveSwitch() as switch:
            return await _remove_switch(switch, action, run, host)
        case RemoveImage() as image:
            return await _remove_image(image, action, run, host)
    raise AssertionError(action)


async def _remove_switch(work: RemoveSwitch, action: Action, run: Run, host: Host) -> str:
    name, begun = action.object, False  # the answer that the job was begun may be lost with the link

    async def probe() -> Ready[None] | Pending:
        nonlocal begun
        try:
            if not begun:
                await host.remove_switch(name=name, cluster_id=work.cluster_id)
                begun = True
            switch = await host.find_switch(name)
        except HostRefused as error:
            if error.id == "SwitchJobRunning":
                return Pending("a job on the host is at work on the switch")
            raise
        if switch.job is not None and (switch.job.kind, switch.job.state) == ("Remove", "Failed"):
            raise Fault(
                "P-SWITCH-FAILED",
                f"the switch {name} could not be removed",
                expected="no such switch",
                seen=(f"{switch.job.error_id}: {switch.job.message}",),
            )
        busy = switch.job is not None and switch.job.state == "Running"
        return Pending("the host's job is at work") if switch.exists or busy else Ready(None, "gone")

    return await _until_gone(probe, action, run, 150.0, every_s=5.0)


async def _remove_image(work: RemoveImage, action: Action, run: Run, host: Host) -> str:
    try:
        await _ask(action, run, lambda: host.remove_image(work.path), bound_s=60.0)
    except Fault as fault:
        refusal = fault.__cause__
        if not isinstance(refusal, HostRefused) or refusal.id != "ImageInUse":
            raise
        run.note("warning", f"{action.object} is kept: {refusal.message}", step=StepId.IMAGE)
        return f"kept: {refusal.message}"  # another cluster took it since it was planned
    return "gone"


async def _ask(action: Action, run: Run, call: Callable[[], Awaitable[object]], *, bound_s: float = 120.0) -> None:
    """Does an idempotent call until it was answered."""

    async def probe() -> Ready[None] | Pending:
        await call()
        return Ready(None, "done")

    await _until_gone(probe, action, run, bound_s)


async def _until_gone(probe: Probe[None], action: Action, run: Run, bound_s: float, every_s: float = 2.0) -> str:
    met = await run.wait(
        action,
        on_host(probe, host=action.host, machine=action.object if action.step is StepId.REMOVE else ""),
        what=f"{action.object} removed",
        why="the host removes it",
        bound_s=bound_s,
        every_s=every_s,
        late=lambda late: late.fault(
            "P-HOST-LOST", f"{action.object} could not be removed from {action.host}", expected="an answer"
        ),
    )
    return met.seen


async def _remove_secrets(run: Run) -> str:
    """Only after another whole reading of every host: whatever still bears our mark can be told and removed by its id alone."""
    ports, store = run.ports, run.ports.store
    reading = [read_host(run.cluster, name, host, ports.clock) for name, host in ports.hosts.items()]
    hosts = dict(zip(ports.hosts, await asyncio.gather(*reading), strict=True))
    secrets = store.secrets_facts()
    ids = ownership.our_ids(secrets)
    marked = [
        *((f"VM {vm.name} ({vm.id}) on {host}", vm.mark) for host, state in hosts.items() for vm in state.vms),
        *((f"{folder.path} on {host}", folder.mark) for host, state in hosts.items() for folder in state.folders),
    ]
    left = [what for what, mark in marked if mark is not None and mark.cluster_id in ids]
    if left:
        raise Fault(
            "P-VM-STUCK",
            "the secrets are kept: not all that bears this cluster's mark is gone",
            expected="no VM and no folder with its mark on any host",
            seen=left,
        )
    in_use = ownership.ids_left(hosts, secrets)
    keep = secrets.cluster_id if secrets.cluster_id in in_use else next(iter(sorted(in_use)), "")
    store.remove_secrets()
    store.forget_cluster(keep_id=keep)
    return "moved aside" + (f"; the id {keep} stays, for a switch bears it" if keep else "")
