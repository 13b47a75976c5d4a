"""A run as it begins: it knows already what was observed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from provisioner.model.cluster import Cluster
from provisioner.model.facts import Observed
from provisioner.model.options import RunOptions
from provisioner.model.plan import Action
from provisioner.model.work import FindMachine
from provisioner.ports import Ports
from provisioner.steps.discovery import AddressDiscovery
from provisioner.steps.image import image_facts
from provisioner.steps.run_context import Run
from provisioner.steps.vm import find_vm
from provisioner.steps.waiting import Waiter


def new_run(
    cluster: Cluster,
    ports: Ports,
    seen: Observed,
    *,
    waiter: Waiter,
    options: RunOptions,
    picture: Callable[[str], Awaitable[str]],
    actions: Sequence[Action] = (),
) -> Run:
    """The one way to make a `Run`; asks nothing of the outside. `actions` are those it will do: the finders look for all that they need at once."""
    run = Run(
        cluster=cluster,
        ports=ports,
        seen=seen,
        waiter=waiter,
        emit=waiter.emit,
        options=options,
        picture=picture,
        etcd_runs=seen.etcd is not None,
    )
    for name, host in ports.hosts.items():
        coming = {cluster.machine(a.machine).mac for a in actions if isinstance(a.work, FindMachine) and a.host == name}
        run.finders[name] = AddressDiscovery(host=host, clock=ports.clock, learned=run.learned, coming=coming)
        found = image_facts(cluster, seen.hosts[name])
        if found is not None and found.exists:
            run.images[name] = found
    for machine in cluster.machines:
        own, facts = run.of(machine.name), seen.machines.get(machine.name)
        own.vm = find_vm(machine, seen.hosts[machine.host], seen.secrets)
        if facts is not None:
            own.address, own.facts = facts.address, facts
    return run
