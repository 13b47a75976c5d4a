"""What the flow needs from outside, as protocols. Adapters implement them; `compose.py` puts them together.

All failures of a port are `errors.TransportError`s (or, where said, a `Fault`). Times are seconds of the clock port unless a
name says otherwise. Nothing here is safe to call from another thread than the loop's, but for `Dialer.resolve`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from provisioner.model.events import CallInfo
from provisioner.ports.clock import Clock
from provisioner.ports.dialer import Dialer, Endpoint
from provisioner.ports.host import (
    Host,
    HyperVUnavailable,
    ObserveQuery,
    Progress,
    SwitchRequest,
    VmChange,
    VmRequest,
)
from provisioner.ports.kubernetes import Kubernetes, LeftPod, LeftReason
from provisioner.ports.store import (
    Artifacts,
    ClientFiles,
    ContextFile,
    FoundContext,
    HintStore,
    SecretsStore,
    Store,
)
from provisioner.ports.talos import (
    TALOS_PORT,
    ApplyOutcome,
    Bundle,
    ByteSink,
    Configs,
    Downloads,
    Etcd,
    MachineConfigurer,
    MachineReader,
    Machines,
    Services,
    TalosAccess,
)


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Everything outside that a run talks to."""

    hosts: Mapping[str, Host]
    machines: Machines
    kubernetes: Kubernetes
    configs: Configs
    store: Store
    clock: Clock
    dialer: Dialer

    def outside(self, addresses: Sequence[str]) -> list[str]:
        """Talos endpoints as any other client must dial them; the port is left out where it is Talos' own. Raises `Unreachable`."""
        places = [self.dialer.resolve(address, TALOS_PORT) for address in addresses]
        return [p.host if p.port == TALOS_PORT else f"{p.host}:{p.port}" for p in places]

    def outside_url(self, url: str) -> str:
        """A URL as any other client must dial it. Raises `Unreachable`."""
        parts = urlsplit(url)
        place = self.dialer.resolve(parts.hostname or "", parts.port or 443)
        return f"{parts.scheme}://{place.host}:{place.port}"
