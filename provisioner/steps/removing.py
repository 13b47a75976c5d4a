"""How `down` removes what `removal` planned. Each action is proven by the host's own word, and keys go last, after another look."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from provisioner.errors import Fault, HostRefused
from provisioner.model import ownership
from provisioner.model.plan import Action
from provisioner.model.steps import StepId
from provisioner.model.work import (
    HandOverSwitch,
    RemoveContexts,
    RemoveFolder,
    RemoveImage,
    RemoveSecrets,
    RemoveSwitch,
    RemoveVm,
)
from provisioner.steps.host_faults import on_host
from provisioner.steps.host_reads import read_host
from provisioner.steps.run_context import Run
from provisioner.steps.waiting import Pending, Probe, Ready


async def apply(action: Action, run: Run) -> str:
    """Removes one thing. Idempotent: what is gone already is success. Raises a Fault."""
    if action.step is StepId.REMOVE:
        run.forget_bootstrap()
    match action.work:
        case RemoveVm() as work:
            return await _remove_vm(work, action, run)
        case RemoveFolder() as work:
            return await _remove_folder(work, action, run)
        case RemoveSwitch() as work:
            return await _until_gone(_SwitchRemoval(work, action, run).probe, action, run, 150.0, every_s=5.0)
        case HandOverSwitch() as work:
            return await _hand_over(work, action, run)
        case RemoveImage() as work:
            return await _remove_image(work, action, run)
        case RemoveContexts():
            return ", ".join(run.ports.store.remove_contexts()) or "nothing to remove"
        case RemoveSecrets():
            return await _remove_secrets(run)
    return "forgotten"  # ForgetEtcd: done above


async def _remove_vm(work: RemoveVm, action: Action, run: Run) -> str:
    host, keep = run.ports.hosts[action.host], work.keep_mark
    await _ask(action, run, lambda: host.remove_vm(work.vm_id, cluster_id=work.cluster_id, keep_mark=keep))
    return "VM and disk are gone; its folder tells it from its copies" if keep else "VM, disk and folder are gone"


async def _remove_folder(work: RemoveFolder, action: Action, run: Run) -> str:
    host = run.ports.hosts[action.host]
    await _ask(action, run, lambda: host.remove_folder(work.path, cluster_id=work.cluster_id))
    return "gone with all in it"


class _SwitchRemoval:
    """Whether the job was begun is remembered: the answer that says so may be lost with the link."""

    def __init__(self, work: RemoveSwitch, action: Action, run: Run) -> None:
        self.work = work
        self.action = action
        self.host = run.ports.hosts[action.host]
        self.begun = False

    async def probe(self) -> Ready[None] | Pending:
        name = self.action.object
        try:
            if not self.begun:
                await self.host.remove_switch(name=name, cluster_id=self.work.cluster_id)
                self.begun = True
            switch = await self.host.find_switch(name)
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


async def _hand_over(work: HandOverSwitch, action: Action, run: Run) -> str:
    host, name = run.ports.hosts[action.host], action.object
    await _ask(action, run, lambda: host.hand_over_switch(name=name, cluster_id=work.cluster_id, mark=work.mark))
    return f"marked {work.mark}"


async def _remove_image(work: RemoveImage, action: Action, run: Run) -> str:
    host = run.ports.hosts[action.host]
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
        late=lambda late: Fault(
            "P-HOST-LOST",
            f"{action.object} could not be removed from {action.host}",
            expected=f"an answer within {late.bound}",
            seen=(late.reason,),
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
    left = [
        *(
            f"VM {vm.name} ({vm.id}) on {host}"
            for host, state in hosts.items()
            for vm in state.vms
            if vm.mark is not None and vm.mark.cluster_id in ids
        ),
        *(
            f"{folder.path} on {host}"
            for host, state in hosts.items()
            for folder in state.folders
            if folder.mark.cluster_id in ids
        ),
    ]
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
