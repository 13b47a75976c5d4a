"""Step 12: the files that kubectl and talosctl read, in the cluster's folder and as contexts in the user's own; each proven by a call."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator

from provisioner.errors import Fault, TransportError
from provisioner.model.cluster import Cluster
from provisioner.model.endpoint import endpoint_of
from provisioner.model.facts import ContextFacts, ContextState, Observed
from provisioner.model.naming import kube_context
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import WriteAccess
from provisioner.steps.actions import act, keep, refuse
from provisioner.steps.blame import unless_host_lost
from provisioner.steps.run_context import Run
from provisioner.steps.waiting import Pending, Ready, TimedOut


def plan(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    facts = {name: seen.access.get(name, _MISSING) for name in ("talosconfig", "kubeconfig")}
    kube = facts["kubeconfig"]
    context = kube.name or kube_context(cluster.name)
    broken = tuple(found.problem for found in facts.values() if found.state is ContextState.UNUSABLE)
    if broken:
        fault = Fault(
            "P-LOCAL-CONTEXTS",
            f"the context {context} cannot be added to a file of yours",
            expected="a kubeconfig and a talosconfig of yours that can be read and changed, or none",
            seen=broken,
            next_steps=("fix or move the file named", f"or first: provision up {cluster.name} --until health"),
        )
        yield refuse(StepId.ACCESS, context, fault)
        return
    remarks = [remark for name, found in facts.items() if (remark := _remark(name, found))]
    missing = [name for name, found in facts.items() if found.state is not ContextState.CURRENT]
    command = f"kubectl --kubeconfig {seen.kubeconfig}" if kube.nowhere and seen.kubeconfig else ""
    first = cluster.control_planes[0]
    known = seen.machines.get(first.name)
    endpoint = endpoint_of(cluster, seen.configs.get(first.name), known.address if known else None)
    if not missing and seen.client_endpoint and endpoint and endpoint != seen.client_endpoint:
        missing = [name for name, found in facts.items() if not found.nowhere]
        remarks.append(f"the API is at {endpoint} now, no longer at {seen.client_endpoint}")
    if not missing:
        why = "; ".join(["contexts are in place and current", *remarks])
        yield keep(StepId.ACCESS, context, why, command=command)
    else:
        why = "; ".join([f"{' and '.join(missing)}, context {context}", *remarks])
        yield act(StepId.ACCESS, context, Verb.WRITE, why, WriteAccess(), command=command)


_MISSING = ContextFacts(state=ContextState.MISSING)


def _remark(name: str, found: ContextFacts) -> str:
    """What a user may not expect: that nothing is written to their own file, or under another name."""
    if found.nowhere:
        return f"{found.path} is the null device: no context is written to your {name}"
    if found.taken:
        return f"{found.wanted} in {found.path} is another cluster's and stays: ours is {found.name}"
    return ""


async def apply(action: Action, run: Run) -> str:
    """Writes the files once the endpoint can be dialled, and tries them until both clients are answered."""
    store, changed = run.ports.store, None
    first = run.cluster.control_planes[0].name

    async def probe() -> Ready[None] | Pending:
        nonlocal changed
        try:
            changed = _write(run) if changed is None else changed
            kubeconfig = store.read_client_file("kubeconfig")
            assert kubeconfig is not None, "it was written a moment ago"
            facts = await run.ports.machines.read(run.address_of(first), run.access)
            ready = await run.ports.kubernetes.ready(kubeconfig)
        except TransportError as error:
            return Pending(str(error))
        if not ready:
            return Pending("the Kubernetes API does not say ok at /readyz yet")
        return Ready(None, f"Talos {facts.talos} and Kubernetes answer; {', '.join(changed) or 'contexts unchanged'}")

    def late(late: TimedOut) -> Awaitable[Fault]:
        fault = Fault(
            "P-KUBE-ACCESS",
            f"the files for clients of {run.cluster.name} do not work",
            expected=f"an answer through each within {late.bound}",
            seen=(late.reason,),
            see_also=(f"the files lie in {store.folder}",),
        )
        return unless_host_lost(run, fault)

    why = "one call through each file"
    met = await run.wait(action, probe, what=action.object, why=why, every_s=1.0, late=late)
    return met.seen


def _write(run: Run) -> tuple[str, ...]:
    cluster, configs, ports = run.cluster, run.ports.configs, run.ports
    endpoint = run.endpoint()
    assert endpoint is not None, "access begins after bootstrap, and bootstrap after an address"
    points = [known for m in cluster.control_planes if (known := run.of(m.name).address)]
    nodes = [known for m in cluster.machines if (known := run.of(m.name).address)]
    ports.store.write_client_files(
        talosconfig=configs.talosconfig(cluster, run.bundle, endpoints=ports.outside(points), nodes=nodes),
        kubeconfig=configs.kubeconfig(cluster, run.bundle, server=ports.outside_url(endpoint)),
    )
    run.remember(client_endpoint=endpoint)
    return ports.store.merge_contexts()
