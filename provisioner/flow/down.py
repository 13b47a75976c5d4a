"""`provision down`: remove what this cluster made, and nothing else. Keeps switch, image and secrets unless told otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.model.facts import Observed
from provisioner.model.plan import Action, Plan
from provisioner.model.spec import Cluster
from provisioner.model.steps import StepId
from provisioner.model.wishes import Extent
from provisioner.steps import removal


def plan_down(cluster: Cluster, seen: Observed, extent: Extent) -> Plan:
    """Pure. In the order in which things are removed."""
    return Plan(cluster=cluster.name, actions=tuple(removal.plan(cluster, seen, extent)))


_FIRST = (StepId.VM,)
_LAST = (StepId.SECRETS,)


def needs_of_removal(action: Action, actions: Sequence[Action]) -> list[Action]:
    """VMs first: they hold the switch and the image. Secrets last: the mark that proves what is ours hangs on them."""
    if action.step in _FIRST:
        return []
    if action.step in _LAST:
        return [other for other in actions if other is not action]
    return [other for other in actions if other.step in _FIRST]
