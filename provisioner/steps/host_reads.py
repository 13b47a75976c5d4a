"""One reading of a host: whole, or a Fault that says why not. What could not be read is never taken for nothing."""

from __future__ import annotations

from provisioner.errors import Fault, TransportError, Unreachable
from provisioner.model.cluster import Cluster, HostSpec
from provisioner.model.facts import HostState
from provisioner.model.units import HTTP_PORT
from provisioner.ports import Clock, Host, ObserveQuery
from provisioner.steps.host_faults import fault_of, hyperv_fault
from provisioner.steps.waiting import TimedOut, bounded

READ_BOUND_S = 180.0
"""For one reading of a host, including an outage as long as it is tolerated."""


async def read_host(cluster: Cluster, name: str, host: Host, clock: Clock) -> HostState:
    """Everything that the cluster has to do with on that host. Raises a Fault."""
    spec = cluster.hosts[name]
    query = ObserveQuery(
        switch=cluster.switch.name,
        image_path=cluster.image.path,
        image_name=cluster.image.file_name,
        folder=cluster.folder,
    )
    try:
        state = await bounded(clock, host.observe(query), what=f"facts of {name}", bound_s=READ_BOUND_S)
    except TransportError as error:
        raise host_fault(error, spec) from error
    if not state.whole:
        raise unread_fault(state, spec)
    return state


def unread_fault(state: HostState, spec: HostSpec) -> Fault:
    """Why only the host's own facts were read: what is on it is not known then, and never taken for nothing."""
    fault = hyperv_fault(spec.name, state.host, user=spec.user)
    assert fault is not None, "the facts say why Hyper-V could not be read"
    return fault


def host_fault(error: TransportError, spec: HostSpec) -> Fault:
    """What a failed read of a host means."""
    if isinstance(error, TimedOut):
        return Fault(
            "P-HOST-LOST",
            f"{spec.name} does not answer what it was asked",
            expected=f"the facts of the host and its VMs within {error.bound}",
            seen=(error.reason,),
            probable_cause="its management service hangs, and Hyper-V Manager on it with it",
            next_steps=("on the host: Restart-Service vmms; running VMs go on",),
        )
    if isinstance(error, Unreachable):
        return Fault(
            "P-HOST-UNREACHABLE",
            f"{spec.name} does not answer",
            expected=f"WinRM over HTTPS, port {spec.port}" if spec.port != HTTP_PORT else f"WinRM, port {spec.port}",
            seen=(str(error),),
            next_steps=(f"check that the host is on, and that its firewall lets port {spec.port} through",),
        )
    return fault_of(error, host=spec.name, user=spec.user or "no user")
