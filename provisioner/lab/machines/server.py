"""The API of one boot of one machine on one loopback port: the maintenance server, or apid."""

from __future__ import annotations

import abc
import asyncio
import socket
import ssl
from typing import Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from provisioner.lab import pki, tls
from provisioner.lab.machines.calls import READER, Answerer, Caller
from provisioner.lab.machines.cosi_service import CosiService
from provisioner.lab.machines.grpc_server import GrpcServer, Methods
from provisioner.lab.machines.machine_service import apid_methods, maintenance_methods, refused_in_maintenance
from provisioner.lab.machines.proxy import Find, Proxy
from provisioner.lab.world.guests import clusters

MAINTENANCE_NAME = "maintenance-service.talos.dev"
ANYONE = Caller(frozenset({READER}))
"""In maintenance everybody counts as a reader."""


class MachineServer(abc.ABC):
    """What both kinds share: a TLS context whose certificate is renewed, and listeners that come and go with addresses."""

    def __init__(self, answerer: Answerer, grpc: GrpcServer) -> None:
        self.answerer = answerer
        self.grpc = grpc
        self._context: ssl.SSLContext | None = None
        self._issued_for: object = None

    async def listen(self, bound: socket.socket) -> asyncio.Server:
        """Raises GRPCError when the machine went meanwhile, ValueError when its CA is none."""
        if self._context is None:
            self._context = self._new_context(self._new_leaf())
        return await self.grpc.listen(bound, self._context)

    def refresh(self) -> None:
        """A new certificate if what it says is no longer so."""
        with self.answerer.kernel.lock:
            due = self.answerer.alive and self._wanted() != self._issued_for
        if due and self._context is not None:
            tls.take_leaf(self._context, self._new_leaf())

    def _new_leaf(self) -> pki.Pair:
        with self.answerer.kernel.lock:
            self.answerer.require_alive()
            self._issued_for = self._wanted()
            return self._issue()

    @abc.abstractmethod
    def _wanted(self) -> object:
        """All that a certificate is made of. Under the world's lock."""

    @abc.abstractmethod
    def _issue(self) -> pki.Pair:
        """Under the world's lock."""

    @abc.abstractmethod
    def _new_context(self, leaf: pki.Pair) -> ssl.SSLContext: ...


class MaintenanceServer(MachineServer):
    """Leaf only, of a throw-away CA; no client certificate is asked for."""

    def __init__(self, answerer: Answerer) -> None:
        cosi = CosiService(lambda _stream: answerer, lambda _stream: ANYONE)
        methods = cosi.__mapping__() | maintenance_methods(answerer)
        super().__init__(answerer, GrpcServer(Methods(methods, refused_in_maintenance)))
        self._ca = pki.new_maintenance_ca()

    def _wanted(self) -> object:
        return self.answerer.machine.talos.key_generation

    def _issue(self) -> pki.Pair:
        machine = self.answerer.machine
        hosts = [*clusters.addresses(machine), "127.0.0.1", "::1", machine.talos.hostname]
        return pki.server_leaf(self._ca, common_name=MAINTENANCE_NAME, hosts=hosts)

    def _new_context(self, leaf: pki.Pair) -> ssl.SSLContext:
        return tls.server_context(leaf, "h2")


class ApidServer(MachineServer):
    """Mutual TLS by the CA of the machine's own config; roles by the client certificate's organisations."""

    def __init__(self, answerer: Answerer, find: Find) -> None:
        proxy = Proxy(answerer, find)
        cosi = CosiService(lambda stream: proxy.one(stream.metadata), self._who_asks)
        methods = cosi.__mapping__() | apid_methods(proxy, self._who_asks)
        super().__init__(answerer, GrpcServer(Methods(methods, _not_served)))

    def _wanted(self) -> list[str]:
        """Addresses and DNS names of the certificate."""
        machine = self.answerer.machine
        names = [machine.talos.hostname]
        if machine.talos.domainname:
            names.append(f"{machine.talos.hostname}.{machine.talos.domainname}")
        return [*clusters.addresses(machine), *names, *machine.running_config.cert_sans]

    def _issue(self) -> pki.Pair:
        """By its own key on a control plane, by that of the control plane whose trustd it asked on a worker."""
        machine = self.answerer.machine
        signer = machine if machine.control_plane else clusters.trustd_for(machine)
        if signer is None:
            raise GRPCError(Status.UNAVAILABLE, "no trustd answers")
        ca = pki.read_pair(*signer.running_config.os_ca)
        return pki.server_leaf(ca, common_name=machine.talos.hostname, hosts=self._wanted())

    def _new_context(self, leaf: pki.Pair) -> ssl.SSLContext:
        with self.answerer.kernel.lock:
            config = self.answerer.require_alive().running_config
        return tls.server_context(leaf, "h2", [ca for ca in (config.os_ca[0], *config.accepted_cas) if ca])

    def _who_asks(self, stream: Stream[Any, Any]) -> Caller:
        caller = Caller.of(stream.peer.cert())
        with self.answerer.kernel.lock:
            rbac = self.answerer.require_alive().running_config.rbac
        return caller if rbac else Caller(caller.roles | {"os:admin"})


def _not_served(path: str) -> GRPCError:
    """Talos has more methods than the lab serves; those of other services it would have under other names."""
    service, _, method = path.removeprefix("/").partition("/")
    if service == "machine.MachineService":
        return GRPCError(Status.UNIMPLEMENTED, f"unknown method {method} for service {service}")
    return GRPCError(Status.UNIMPLEMENTED, f"unknown service {service}")
