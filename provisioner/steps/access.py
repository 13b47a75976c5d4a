"""Step 12: the files that kubectl and talosctl read, in the cluster's folder and as contexts in the user's own; each proven by a call."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.errors import Fault, TransportError
from provisioner.model.cluster import Cluster
from provisioner.model.endpoint import endpoint_of
from provisioner.model.facts import ContextFacts, ContextState, Observed
from provisioner.model.naming import kube_context
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import WriteAccess
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
        yield Action(step=StepId.ACCESS, verb=Verb.REFUSE, object=context, why=fault.message, fault=fault)
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
        yield Action(step=StepId.ACCESS, verb=Verb.KEEP, object=context, why=why, command=command)
        return
    yield Action(
        step=StepId.ACCESS,
        verb=Verb.WRITE,
        object=context,
        work=WriteAccess(),
        why="; ".join([f"{' and '.join(missing)}, context {context}", *remarks]),
        command=command,
    )


_MISSING = ContextFacts(state=ContextState.MISSING)


def _remark(name: str, found: ContextFacts) -> str:
    """What a user may not expect: that nothing is written to their own file, or under another name."""
    if found.nowhere:
        return f"{found.path} is the null device: no context is written to your {name}"
    if found.taken:
        return f"{found.wanted} in {found.path} is another cluster's and stays: ours is {found.name}"
    return ""


async def apply(action: Action, run: Run) -> str:
    files = _Files(run)

    async def late(late: TimedOut) -> Fault:
        fault = Fault(
            "P-KUBE-ACCESS",
            f"the files for clients of {run.cluster.name} do not work",
            expected=f"an answer through each within {late.bound}",
            seen=(late.reason,),
            see_also=(f"the files lie in {run.ports.store.folder}",),
        )
        return await unless_host_lost(run, fault)

    why = "one call through each file"
    met = await run.wait(files.probe, step=StepId.ACCESS, what=action.object, why=why, every_s=1.0, late=late)
    return met.seen


class _Files:
    """Written once the endpoint can be dialled, then tried until both clients are answered."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.changed: tuple[str, ...] | None = None

    async def probe(self) -> Ready[None] | Pending:
        run, store = self.run, self.run.ports.store
        _, access = run.keys()
        first = run.address_of(run.cluster.control_planes[0].name)
        try:
            if self.changed is None:
                self.changed = self._write()
            kubeconfig = store.read_client_file("kubeconfig")
            assert kubeconfig is not None, "it was written a moment ago"
            facts = await run.ports.machines.read(first, access)
            ready = await run.ports.kubernetes.ready(kubeconfig)
        except TransportError as error:
            return Pending(str(error))
        if not ready:
            return Pending("the Kubernetes API does not say ok at /readyz yet")
        return Ready(
            None, f"Talos {facts.talos} and Kubernetes answer; {', '.join(self.changed) or 'contexts unchanged'}"
        )

    def _write(self) -> tuple[str, ...]:
        run, cluster, configs = self.run, self.run.cluster, self.run.ports.configs
        bundle, _ = run.keys()
        endpoint = run.endpoint()
        assert endpoint is not None, "access begins after bootstrap, and bootstrap after an address"
        points = [known for m in cluster.control_planes if (known := run.of(m.name).address)]
        nodes = [known for m in cluster.machines if (known := run.of(m.name).address)]
        server = run.ports.outside_url(endpoint)
        run.ports.store.write_client_files(
            talosconfig=configs.talosconfig(cluster, bundle, endpoints=run.ports.outside(points), nodes=nodes),
            kubeconfig=configs.kubeconfig(cluster, bundle, server=server),
        )
        run.remember_client_endpoint(endpoint)
        return run.ports.store.merge_contexts()
