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
    context = facts["kubeconfig"].name or kube_context(cluster.name)
    if broken := [found.problem for found in facts.values() if found.state is ContextState.UNUSABLE]:
        yield refuse(StepId.ACCESS, context, _unusable(cluster, context, broken))
    else:
        yield _wanted(cluster, seen, context, facts)


def _wanted(cluster: Cluster, seen: Observed, context: str, facts: dict[str, ContextFacts]) -> Action:
    missing = [name for name, found in facts.items() if found.state is not ContextState.CURRENT]
    moved = "" if missing else _moved(cluster, seen)
    if moved:
        missing = [name for name, found in facts.items() if not found.nowhere]
    remarks = [*map(_remark, facts, facts.values()), moved]
    why = f"{' and '.join(missing)}, context {context}" if missing else "contexts are in place and current"
    why = "; ".join(filter(None, [why, *remarks]))
    nowhere = facts["kubeconfig"].nowhere and seen.kubeconfig
    command = f"kubectl --kubeconfig {seen.kubeconfig}" if nowhere else ""
    if missing:
        return act(StepId.ACCESS, context, Verb.WRITE, why, WriteAccess(), command=command)
    return keep(StepId.ACCESS, context, why, command=command)


_MISSING = ContextFacts(state=ContextState.MISSING)


def _unusable(cluster: Cluster, context: str, problems: list[str]) -> Fault:
    return Fault(
        "P-LOCAL-CONTEXTS",
        f"the context {context} cannot be added to a file of yours",
        expected="a kubeconfig and a talosconfig of yours that can be read and changed, or none",
        seen=problems,
        next_steps=("fix or move the file named", f"or first: provision up {cluster.name} --until health"),
    )


def _moved(cluster: Cluster, seen: Observed) -> str:
    """That the files name an endpoint which is no longer the cluster's."""
    first = cluster.control_planes[0]
    known = seen.machines.get(first.name)
    endpoint = endpoint_of(cluster, seen.configs.get(first.name), known.address if known else None)
    if not seen.client_endpoint or endpoint in (None, seen.client_endpoint):
        return ""
    return f"the API is at {endpoint} now, no longer at {seen.client_endpoint}"


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
        message, see_also = (
            f"the files for clients of {run.cluster.name} do not work",
            f"the files lie in {store.folder}",
        )
        fault = late.fault("P-KUBE-ACCESS", message, expected="an answer through each", see_also=(see_also,))
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
