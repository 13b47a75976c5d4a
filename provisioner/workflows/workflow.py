"""A command that changes things, as a value: what steps it has, how it is planned, and who does each step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioner.errors import Fault
from provisioner.model.cluster import Cluster
from provisioner.model.events import RunEnded
from provisioner.model.facts import Observed
from provisioner.model.options import RunOptions
from provisioner.model.plan import Plan
from provisioner.model.steps import Order, StepId
from provisioner.ports import Ports
from provisioner.workflows.engine import Apply

if TYPE_CHECKING:
    from provisioner.workflows.session import Session


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended: its last event, and the fault with all that it says."""

    ended: RunEnded
    fault: Fault | None = None


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """`up`, `down` or `rebuild`. To add one: a table in `tables.py`, a planner, who applies each step, and its story; a row in the CLI."""

    name: str
    table: tuple[Order, ...]
    observe: Callable[[Cluster, Ports], Coroutine[Any, Any, Observed]]
    """What has to be read for its plan. Raises a Fault where that cannot be read."""
    plan: Callable[[Cluster, Observed, RunOptions], Plan]
    """Pure: what it would do."""
    apply: Mapping[StepId, Apply]
    """What applies the actions of a step; a step that only checks has no entry."""
    story: Callable[[Session, Plan | None], Awaitable[Result]]
    """The run from its first reading to its last word. Gets the plan that the user confirmed, where one was asked for. May raise a Fault,
    which then ends the run.
    """

    async def planned(self, cluster: Cluster, ports: Ports, options: RunOptions) -> Plan:
        """What it would do now. Reads, and changes nothing. Raises a Fault."""
        return self.plan(cluster, await self.observe(cluster, ports), options)

    @property
    def steps(self) -> tuple[StepId, ...]:
        """The steps in the order of the screens."""
        return tuple(order.step for order in self.table)
