"""The composition root: settings and adapters put together for one cluster."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from provisioner.credentials import Ask, HostCredentials, find_credentials
from provisioner.model.cluster import Cluster, HostSpec
from provisioner.ports import CallInfo, Clock, Configs, ContextFile, Dialer, Endpoint, Kubernetes, Machines, Ports

if TYPE_CHECKING:
    from provisioner.clusterfile import Loaded, Settings
    from provisioner.store.cluster_folder import FileStore


class WorldClock:
    """`ports.Clock` at the pace of the world that the flow works on: 1 for a real host."""

    def __init__(self, rate: float = 1.0, epoch: float = 0.0, epoch_s: float = 0.0) -> None:
        self.rate = rate
        self._epoch = epoch
        self._epoch_s = epoch_s

    def now(self) -> float:
        return self._epoch_s + (time.monotonic() - self._epoch) * self.rate

    def wall(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.rate)


class DirectDialer:
    """`ports.Dialer` of a real LAN: every place is where it says."""

    def resolve(self, address: str, port: int) -> Endpoint:
        return Endpoint(host=address, port=port, server_name=address)


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything a use case needs for one cluster; frozen."""

    settings: Settings
    loaded: Loaded
    clock: Clock
    dialer: Dialer
    store: FileStore
    credentials: Mapping[str, HostCredentials]
    """By host."""

    @property
    def cluster(self) -> Cluster:
        return self.loaded.cluster


def open_context(
    settings: Settings,
    loaded: Loaded,
    *,
    ask: Ask | None,
    environment: Mapping[str, str],
    start_lab: bool,
) -> Context:
    """Everything for one cluster, and its lab started if it has one. `ask` asks for a password in a terminal; without one none is asked for.

    Raises a Fault: P-LAB-START, P-LAB-FROZEN, P-LOCAL-PASSWORD, P-LOCAL-HOME.
    """
    cluster = loaded.cluster
    store = open_store(settings, cluster, environment)
    if cluster.lab is None:
        return Context(
            settings=settings,
            loaded=loaded,
            clock=WorldClock(),
            dialer=DirectDialer(),
            store=store,
            credentials=find_credentials(cluster.hosts, ask=ask, environment=environment),
        )
    from provisioner.lab_client import lab_folder, open_lab

    lab = open_lab(lab_folder(settings.home, cluster), cluster, start=start_lab)
    return Context(
        settings=settings,
        loaded=replace(loaded, cluster=lab.located(cluster)),
        clock=WorldClock(lab.descriptor.rate, lab.descriptor.epoch, lab.descriptor.epoch_s),
        dialer=lab.dialer,
        store=store,
        credentials=dict.fromkeys(cluster.hosts, lab.credentials),
    )


def open_store(settings: Settings, cluster: Cluster, environment: Mapping[str, str]) -> FileStore:
    """What is kept on this computer about the cluster."""
    from provisioner.store.cluster_folder import FileStore

    return FileStore(settings.home, cluster.name, client_files, environment, talos_id=_talos_id)


def _talos_id(secrets: bytes) -> str:
    from provisioner.talos.secrets import cluster_id_in

    return cluster_id_in(secrets)


def client_files() -> Mapping[str, ContextFile]:
    """How the user's own talosconfig and kubeconfig are edited."""
    from provisioner.talos.kubeconfigs import KubeconfigFile
    from provisioner.talos.talosconfigs import TalosconfigFile

    return {"talosconfig": TalosconfigFile(), "kubeconfig": KubeconfigFile()}


def new_configs(clock: Clock) -> Configs:
    """What makes secrets bundles and machine configs."""
    from provisioner.talos.configs import TalosConfigs

    return TalosConfigs(clock)


def open_ports(
    context: Context,
    *,
    on_call: Callable[[CallInfo], None] = lambda _info: None,
    on_away: Callable[[str, str | None], None] = lambda _host, _reason: None,
) -> Ports:
    """The adapters of one run. To be called inside the loop that will use them; `close_ports` ends them.

    `on_call` gets every call to a host; `on_away(host, reason)` is called when a host does not answer, and with None when it does again.
    """
    from provisioner.hyperv.client import HyperVHost

    logging.getLogger().addHandler(logging.NullHandler())  # what libraries log must not break into the screen
    without_module = context.store.hosts_without_module()
    hosts = {
        name: HyperVHost(
            spec,
            password=context.credentials[name].password,
            dialer=context.dialer,
            clock=context.clock,
            on_call=on_call,
            on_away=lambda reason, name=name: on_away(name, reason),  # type: ignore[misc]  # mypy cannot infer the default
            ca_path=context.credentials[name].ca_path,
            lacks_module=_session_of(spec) in without_module,
            on_module=lambda lacking, spec=spec: context.store.note_module(_session_of(spec), lacking=lacking),  # type: ignore[misc]  # as above
        )
        for name, spec in context.cluster.hosts.items()
    }
    for host in hosts.values():
        host.begin()
    return Ports(
        hosts=hosts,
        machines=cast("Machines", _AtFirstUse(lambda: _machines(context))),
        kubernetes=cast("Kubernetes", _AtFirstUse(lambda: _kubernetes(context))),
        configs=new_configs(context.clock),
        store=context.store,
        clock=context.clock,
        dialer=context.dialer,
    )


class _AtFirstUse:
    """An adapter that is made when it is first asked: its libraries are loaded while the hosts sign us in and answer."""

    def __init__(self, make: Callable[[], Machines | Kubernetes]) -> None:
        self._make = make

    @cached_property
    def _adapter(self) -> Machines | Kubernetes:
        return self._make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    async def close(self) -> None:
        """Ends what was made; what was never asked is not loaded to be closed."""
        if "_adapter" in vars(self):
            await self._adapter.close()


def _machines(context: Context) -> Machines:
    from provisioner.talos.api.client import TalosMachines

    return TalosMachines(context.dialer)


def _kubernetes(context: Context) -> Kubernetes:
    from provisioner.kubernetes.client import KubeClient

    return KubeClient(context.dialer, context.clock)


def _session_of(spec: HostSpec) -> str:
    """The host and what a session is opened with there, as it is noted between runs."""
    return f"{spec.address}:{spec.port} {spec.endpoint}"


async def close_ports(ports: Ports) -> None:
    """Ends all sessions; what does not end by itself is left to its time-out."""
    closing = [host.close() for host in ports.hosts.values()] + [ports.machines.close(), ports.kubernetes.close()]
    await asyncio.gather(*closing, return_exceptions=True)
