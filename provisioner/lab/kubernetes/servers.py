"""All API servers of the LAN: one event loop on a thread of its own, listeners that come and go with control planes."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from provisioner.lab import pki, tls
from provisioner.lab.kubernetes.api import KubeApi
from provisioner.lab.kubernetes.handler import ApiHandler
from provisioner.lab.listeners import Bell, ListenerSupervisor
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.kube.cluster import ControlPlane, RunningCluster
from provisioner.lab.world.kube.rules import LabKube
from provisioner.lab.world.routes import LoopbackRoutes

API_PORT = 6443
DEFAULT_SERVICES = "10.96.0.0/12"
DEFAULT_DOMAIN = "cluster.local"


@dataclass(frozen=True)
class Wanted:
    """What should listen at an address now."""

    cluster_id: str
    owner: str
    boot_id: str
    reachable: bool


@dataclass
class Listening:
    wanted: Wanted
    opened: web.AppRunner | socket.socket | None = None


class KubeServers(ListenerSupervisor):
    """Serves the API of every control plane whose API server runs, by `routes`, from `start` to `stop`."""

    topics = frozenset({"kube", "guest"})

    def __init__(self, kernel: Kernel, kube: LabKube, routes: LoopbackRoutes) -> None:
        super().__init__(kernel, routes, "kubernetes")
        self._kube = kube
        self._listening: dict[str, Listening] = {}
        self._bells: dict[str, Bell] = {}

    def _heard(self, topic: str, key: str) -> None:
        if topic == "kube" and key in self._bells:
            self._bells[key].ring()

    async def _look_at_all(self) -> None:
        with self._kernel.lock:
            wanted = dict(self._wanted())
        for address, listening in list(self._listening.items()):
            if wanted.get(address) != listening.wanted:
                await self._close(address)
        for address, one in wanted.items():
            if address not in self._listening:
                await self._open(address, one)

    async def _look_at_changed(self) -> None:
        await self._look_at_all()  # they are few

    async def _close_all(self) -> None:
        for address in list(self._listening):
            await self._close(address)

    def _wanted(self) -> list[tuple[str, Wanted]]:
        found = []
        for running in self._kube.clusters():
            for owner, one in running.control_planes.items():
                if not one.api_up or not one.guest.address:
                    continue
                wanted = Wanted(running.cluster.id, owner, one.guest.boot_id, one.guest.reachable)
                found += [(address, wanted) for address in _addresses(running, owner, one)]
        return found

    async def _open(self, address: str, wanted: Wanted) -> None:
        with self._kernel.lock:
            running = self._kube.of(wanted.cluster_id)
            one = running.control_planes.get(wanted.owner) if running else None
        listening = self._listening[address] = Listening(wanted)
        if running is not None and one is not None:
            serve = partial(self._serve, running, one) if wanted.reachable else None
            with contextlib.suppress(
                ValueError, ssl.SSLError
            ):  # a CA that is none: such an API server does not come up
                listening.opened = await self._open_place(address, API_PORT, serve)

    async def _serve(self, running: RunningCluster, one: ControlPlane, bound: socket.socket) -> web.AppRunner:
        context = _tls_context(one.config, one.guest.address)
        bell = self._bells.setdefault(running.cluster.id, Bell())
        api = KubeApi(self._kernel, running, one.config.kubernetes_version)
        handler = ApiHandler(self._kernel, api, bell)
        runner = web.AppRunner(handler.application(), access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, bound, ssl_context=context).start()
        return runner

    async def _close(self, address: str) -> None:
        match self._listening.pop(address).opened:
            case web.AppRunner() as runner:
                await runner.cleanup()
            case socket.socket() as silent:
                silent.close()
        self._routes.withdraw(address, API_PORT)


def _addresses(running: RunningCluster, owner: str, one: ControlPlane) -> list[str]:
    """Its own, and the virtual one that etcd's lowest running member holds."""
    members = running.cluster.members
    leader = min(running.control_planes, key=lambda owner: members.get(owner, 0))
    virtual = one.config.virtual_ip if running.has_quorum and owner == leader else ""
    return [one.guest.address, *([virtual] if virtual else [])]


def _tls_context(config: MachineConfig, address: str) -> ssl.SSLContext:
    """The certificate is by the cluster's own CA, clients are known by the same. Raises ValueError when the config's CA is none.

    Without a client certificate one is anonymous, and may ask for little; with one of another CA the handshake fails.
    """
    ca = pki.read_pair(*config.kubernetes_ca)
    leaf = pki.kubernetes_server(ca, _hosts(config, address))
    return tls.server_context(leaf, "http/1.1", [ca.certificate_pem], required=False)


def _hosts(config: MachineConfig, address: str) -> list[str]:
    """The node's own address, the virtual one, the first of the services, the names of its service, and what the config adds."""
    services = (config.get("cluster", "network", "serviceSubnets") or [DEFAULT_SERVICES])[0]
    domain = str(config.get("cluster", "network", "dnsDomain") or DEFAULT_DOMAIN)
    service = "kubernetes.default.svc"
    names = ["kubernetes", "kubernetes.default", service, f"{service}.{domain}", "localhost", config.fqdn]
    given = config.get("cluster", "apiServer", "certSANs") or []
    first = str(ipaddress.ip_network(str(services))[1])
    return [address, config.virtual_ip, first, *names, config.endpoint_host, *(str(san) for san in given)]
