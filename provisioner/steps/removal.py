"""What `down` removes: VMs with our mark, their disks and folders, our contexts. What it keeps, unless told otherwise: switch,
image, secrets; and each of them only if we made it and nobody else uses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from provisioner.errors import Dropped, Fault, HostRefused, TransportError, Unreachable
from provisioner.model import ownership
from provisioner.model.facts import HostState, Observed, SwitchFacts, VmFacts
from provisioner.model.plan import Action, Verb
from provisioner.model.spec import Cluster
from provisioner.model.steps import StepId
from provisioner.model.wishes import Extent
from provisioner.steps.copies import fault_of_copies
from provisioner.steps.image import image_path
from provisioner.steps.refusals import fault_of
from provisioner.steps.run import Run
from provisioner.steps.waits import Met, NotYet, Probe, TimedOut

GIB = 1024**3


def our_vms(state: HostState, seen: Observed) -> tuple[VmFacts, ...]:
    """VMs that bear this cluster's mark, also those that the file does not name any more."""
    return tuple(one.vm for one in ownership.our_vms(seen.hosts, seen.secrets) if one.vm in state.vms)


def plan(cluster: Cluster, seen: Observed, extent: Extent) -> Iterator[Action]:
    names = Counter(vm.name for state in seen.hosts.values() for vm in our_vms(state, seen))
    for host, state in seen.hosts.items():
        for vm in our_vms(state, seen):
            disks = sum(drive.size_bytes for drive in vm.drives if drive.kind == "disk")
            name = vm.mark.machine if vm.mark else vm.name
            yield Action(
                step=StepId.VM,
                verb=Verb.REMOVE,
                object=vm.name if names[vm.name] == 1 else f"{vm.name} ({vm.id})",
                machine=name,
                host=host,
                kind="remove_vm",
                why=f"{vm.state}, marked as {name}",
                details={"id": vm.id, "disk_bytes": disks},
                destroys=f"its disk of {disks // GIB} GiB" if disks else "the VM",
            )
        yield from _copies(host, seen)
        yield from _unknown(cluster, host, state, seen)
        yield _switch(cluster, host, state, seen, extent)
        yield _image(cluster, host, state, seen, extent)
    if seen.etcd_began is not None and not names:
        why = "no machine of it is left: the next up begins a new one"
        yield Action(step=StepId.BOOTSTRAP, verb=Verb.REMOVE, object="note of etcd's start", kind="forget", why=why)
    if extent.contexts:
        yield from _contexts(cluster, seen)
    if extent.secrets and (seen.secrets.exists or seen.secrets.cluster_id):
        yield Action(
            step=StepId.SECRETS,
            verb=Verb.REMOVE,
            object="secrets",
            kind="secrets",
            why=f"moved aside beside {seen.secrets.path}",
            destroys="the cluster's keys",
        )
    elif seen.secrets.exists:
        why = f"{seen.secrets.path} (remove with --secrets)"
        yield Action(step=StepId.SECRETS, verb=Verb.KEEP, object="secrets", why=why)


def _contexts(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    """Ours go; what cannot be changed stays as it is, and is told."""
    kube = seen.access.get("kubeconfig")
    context = kube.name if kube is not None and kube.name else f"admin@{cluster.name}"
    broken = [found.problem for found in seen.access.values() if found.problem]
    if broken:
        yield Action(step=StepId.ACCESS, verb=Verb.KEEP, object=context, why="; ".join(broken))
    if any(found.there and not found.problem for found in seen.access.values()):
        yield Action(step=StepId.ACCESS, verb=Verb.REMOVE, object=context, kind="contexts", why="our contexts")


def _copies(host: str, seen: Observed) -> Iterator[Action]:
    """VMs with our mark that are not proven to be ours are kept, and the run does not end as if nothing were left."""
    for one in ownership.our_copies(seen.hosts, seen.secrets):
        assert one.vm.mark is not None, "a claim bears a mark"
        fault = fault_of_copies(seen.hosts, one.vm.mark)
        if one.host == host and fault is not None:
            what = f"{one.vm.name} ({one.vm.id})"
            yield Action(step=StepId.VM, verb=Verb.REFUSE, object=what, host=host, why=fault.message, fault=fault)


def _unknown(cluster: Cluster, host: str, state: HostState, seen: Observed) -> Iterator[Action]:
    """Machines of a cluster of this name, where the id that would prove them ours was lost: kept, and said how to get at them."""
    names = {machine.name for machine in cluster.machines}
    place = Path(seen.secrets.path).with_name("cluster-id")
    for vm in state.vms if not seen.secrets.cluster_id else ():
        if vm.mark is not None and vm.mark.machine in names:
            why = f"marked {vm.mark}, whose id is not here: write it into {place} to remove the VM"
            yield Action(step=StepId.VM, verb=Verb.KEEP, object=f"{vm.name} ({vm.id})", host=host, why=why)


def _switch(cluster: Cluster, host: str, state: HostState, seen: Observed, extent: Extent) -> Action:
    switch, name = state.switch, cluster.switch.name
    why = _why_switch_stays(switch, state, seen)
    if why or not extent.switch:
        why = why or "we made it (remove with --switch)"
        return Action(step=StepId.SWITCH, verb=Verb.KEEP, object=name, host=host, why=why)
    return Action(
        step=StepId.SWITCH,
        verb=Verb.REMOVE,
        object=name,
        host=host,
        kind="switch",
        why="we made it, and nobody else uses it",
        warning="the host's link drops for up to a minute",
    )


def _why_switch_stays(switch: SwitchFacts | None, state: HostState, seen: Observed) -> str:
    if switch is None or not switch.exists:
        return "not there"
    if switch.mark is None:
        return "existed before us"
    if switch.mark.cluster_id != seen.secrets.cluster_id:
        return "made by another cluster file"
    ours = {vm.name for vm in our_vms(state, seen)}
    others = [name for name in switch.vm_names if name not in ours]
    return f"used by {', '.join(others)}" if others else ""


def _image(cluster: Cluster, host: str, state: HostState, seen: Observed, extent: Extent) -> Action:
    path = image_path(cluster, state)
    found = next((i for i in state.images if i.path.lower() == path.lower() and i.exists), None)
    ours = {vm.name for vm in our_vms(state, seen)}
    if found is None:
        return Action(step=StepId.IMAGE, verb=Verb.KEEP, object=cluster.image.file_name, host=host, why="not there")
    others = [name for name in found.vm_names if name not in ours]
    if not found.ours or others:
        why = f"used by {', '.join(others)}" if others else "not downloaded by us"
        return Action(step=StepId.IMAGE, verb=Verb.KEEP, object=cluster.image.file_name, host=host, why=why)
    if not extent.image:
        return Action(
            step=StepId.IMAGE,
            verb=Verb.KEEP,
            object=cluster.image.file_name,
            host=host,
            why="in the cache (remove with --image)",
        )
    why = "we downloaded it, and nobody else uses it"
    return Action(
        step=StepId.IMAGE,
        verb=Verb.REMOVE,
        object=cluster.image.file_name,
        host=host,
        kind="image",
        why=why,
        details={"path": path},
    )


async def apply(action: Action, run: Run) -> str:
    doing = {
        "remove_vm": _remove_vm,
        "switch": _remove_switch,
        "image": _remove_image,
        "contexts": _remove_contexts,
        "forget": _forget_bootstrap,
        "secrets": _remove_secrets,
    }[action.kind]
    if action.step is StepId.VM:
        run.forget_bootstrap()
    return await doing(action, run)


async def _remove_vm(action: Action, run: Run) -> str:
    host, vm_id = run.ports.hosts[action.host], str(action.details["id"])

    async def probe() -> Met[None] | NotYet:
        try:
            await host.remove_vm(vm_id, mark=run.ports.store.ensure_cluster_id())
        except (Dropped, Unreachable) as gone:
            return NotYet(f"{action.host} is away ({gone})")
        except TransportError as error:
            raise fault_of(error, host=action.host, machine=action.object) from error
        return Met(None, "VM, disk and folder are gone")

    return await _until_gone(probe, action, run, 120.0)


async def _remove_switch(action: Action, run: Run) -> str:
    host, name = run.ports.hosts[action.host], action.object
    started = [False]

    async def probe() -> Met[None] | NotYet:
        try:
            if not started[0]:
                await host.remove_switch(name=name, cluster_id=run.ports.store.ensure_cluster_id())
                started[0] = True
            switch = await host.find_switch(name)
        except (Dropped, Unreachable) as gone:
            return NotYet(f"{action.host} is away ({gone}); its link comes back by itself")
        except TransportError as error:
            if isinstance(error, HostRefused) and error.id == "SwitchJobRunning":
                return NotYet("a job on the host is at work on the switch")
            raise fault_of(error, host=action.host) from error
        if switch.job is not None and (switch.job.kind, switch.job.state) == ("Remove", "Failed"):
            raise Fault(
                "P-SWITCH-FAILED",
                f"the switch {name} could not be removed",
                expected="no such switch",
                seen=(f"{switch.job.error_id}: {switch.job.message}",),
            )
        busy = switch.job is not None and switch.job.state == "Running"
        return NotYet("the host's job is at work") if switch.exists or busy else Met(None, "gone")

    return await _until_gone(probe, action, run, 150.0, every_s=5.0)


async def _remove_image(action: Action, run: Run) -> str:
    host = run.ports.hosts[action.host]

    async def probe() -> Met[None] | NotYet:
        try:
            await host.remove_image(str(action.details["path"]))
        except (Dropped, Unreachable) as gone:
            return NotYet(f"{action.host} is away ({gone})")
        except TransportError as error:
            raise fault_of(error, host=action.host) from error
        return Met(None, "gone")

    return await _until_gone(probe, action, run, 60.0)


async def _until_gone(probe: Probe[None], action: Action, run: Run, bound_s: float, every_s: float = 2.0) -> str:
    try:
        met = await run.wait(
            probe,
            step=action.step,
            what=f"{action.object} removed",
            why="the host removes it",
            machine=action.machine or None,
            bound_s=bound_s,
            every_s=every_s,
        )
    except TimedOut as late:
        raise Fault(
            "P-HOST-LOST",
            f"{action.object} could not be removed from {action.host}",
            expected=f"an answer within {late.bound}",
            seen=(late.reason,),
        ) from late
    return met.seen


async def _forget_bootstrap(_action: Action, run: Run) -> str:
    run.forget_bootstrap()
    return "forgotten"


async def _remove_contexts(_action: Action, run: Run) -> str:
    removed = run.ports.store.remove_contexts()
    return ", ".join(removed) or "nothing to remove"


async def _remove_secrets(_action: Action, run: Run) -> str:
    run.ports.store.remove_secrets()
    run.ports.store.forget_cluster()
    return "moved aside"
