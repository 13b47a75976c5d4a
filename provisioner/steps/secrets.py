"""Step 4: the secrets bundle. The only thing that must survive; on disk and flushed before anything uses it."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from provisioner.errors import Fault
from provisioner.model.cluster import Cluster
from provisioner.model.facts import Observed, VmFacts
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import CreateSecrets
from provisioner.steps.actions import act, keep, refuse
from provisioner.steps.blame import guest_runs
from provisioner.steps.run_context import Run, read_keys
from provisioner.steps.vm import find_vm


def plan(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    if seen.secrets.exists and (others := _under_other_keys(cluster, seen)):
        yield _of_another(cluster, seen, others)
        return
    if seen.secrets.exists:
        opened = f"; others could read {', '.join(seen.secrets.opened)}: closed now" if seen.secrets.opened else ""
        yield keep(StepId.SECRETS, "secrets", f"read from {seen.secrets.path}{opened}")
        return
    alive = _living(cluster, seen)
    if alive:
        yield _lost(cluster, seen, alive)
        return
    yield act(StepId.SECRETS, "secrets", Verb.CREATE, f"new, to {seen.secrets.path}", CreateSecrets())


def _under_other_keys(cluster: Cluster, seen: Observed) -> dict[str, str]:
    """Machines that run under another authority, where none answers under ours: the file is that of another cluster, or of another life."""
    if any(facts.mode == "secure" for facts in seen.machines.values()):
        return {}
    found = {}
    for machine in cluster.machines:
        vm = find_vm(machine, seen.hosts[machine.host], seen.secrets)
        if machine.name in seen.not_ours and vm is not None and guest_runs(vm):
            found[machine.name] = seen.not_ours[machine.name]
    return found


def _of_another(cluster: Cluster, seen: Observed, others: Mapping[str, str]) -> Action:
    fault = Fault(
        "P-INSTALL-NOTOURS",
        f"the machines of {cluster.name} do not answer under the secrets that are here",
        expected=f"certificates signed by the authority in {seen.secrets.path}",
        seen=tuple(f"{name} answers at {address}, under another authority" for name, address in others.items()),
        probable_cause="the file is another cluster's, or of this cluster before it was recreated",
        next_steps=(
            f"put the right secrets.yaml back at {seen.secrets.path}",
            f"or remove the machines: provision down {cluster.name}",
        ),
    )
    return refuse(StepId.SECRETS, "secrets", fault)


def _lost(cluster: Cluster, seen: Observed, alive: list[VmFacts]) -> Action:
    """With the cluster's id lost too, `down` knows the machines no more: the marks tell it."""
    path = Path(seen.secrets.path)
    remove = f"remove the machines: provision down {cluster.name}"
    then = (f"restore the file {path}", f"or {remove}")
    if not seen.secrets.cluster_id:
        ids = " or ".join(sorted({vm.mark.cluster_id for vm in alive if vm.mark}))
        then = (
            f"restore the folder {path.parent}",
            f"or write the id of the marks, {ids}, into {path.with_name('cluster-id')}; then {remove}",
        )
    fault = Fault(
        "P-CONFIG-NOSECRETS",
        f"{len(alive)} machines of {cluster.name} are on the host, but their secrets are not here",
        expected=f"the secrets bundle at {path}",
        seen=tuple(f"VM {vm.name}, marked {vm.mark}" for vm in alive),
        next_steps=then,
    )
    why = "machines are alive whose secrets are not here"
    return act(StepId.SECRETS, "secrets", Verb.REFUSE, why, fault=fault)


def _living(cluster: Cluster, seen: Observed) -> list[VmFacts]:
    """VMs that bear a mark with one of our machines' names: of this cluster, or of one whose id was lost with the secrets."""
    names = {machine.name for machine in cluster.machines}
    own = seen.secrets.cluster_id
    return [
        vm
        for state in seen.hosts.values()
        for vm in state.vms
        if vm.mark and vm.mark.machine in names and own in ("", vm.mark.cluster_id)
    ]


def id_lost(cluster: Cluster, seen: Observed) -> Action | None:
    """The one refusal where machines are proven ours by their keys, and only the id of their marks is not known here.

    Whatever else a plan would say of them is wrong then: they are neither foreign nor in the way.
    """
    if not seen.lost_ids:
        return None
    cluster_id, machines = max(seen.lost_ids.items(), key=lambda item: len(item[1]))
    place = Path(seen.secrets.path).with_name("cluster-id")
    fault = Fault(
        "P-CONFIG-IDLOST",
        f"the machines of {cluster.name} are ours, but the id of their marks was lost here",
        expected=f"the id of their marks in {place}, or told by the secrets",
        seen=(
            f"{', '.join(machines)}: marked with the id {cluster_id}, and opened by the keys in {seen.secrets.path}",
        ),
        probable_cause="the secrets were restored without the rest of their folder",
        next_steps=(f"echo {cluster_id} > {shlex.quote(str(place))}",),
    )
    return refuse(StepId.SECRETS, "cluster-id", fault)


async def apply(_action: Action, run: Run) -> str:
    """Makes the bundle, writes it, and takes what was read back from the disk."""
    store, configs = run.ports.store, run.ports.configs
    mark_id = store.ensure_cluster_id()
    bundle = await asyncio.to_thread(configs.new_bundle, run.cluster, mark_id)  # an RSA key of 4096 bits takes its time
    store.write_secrets(configs.write_bundle(bundle))
    run.keys = read_keys(store, configs)
    return f"written to {store.secrets_facts().path}, mode 0600, and read back"
