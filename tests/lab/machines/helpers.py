"""A small LAN of VMs for tests of the machines: a host that is nothing but sockets, configs of throw-away clusters, API clients."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import secrets
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from grpclib.client import Channel
from grpclib.protocol import H2Protocol
from hyperframe.frame import GoAwayFrame

from provisioner.lab.machines import MachineServers
from provisioner.lab.world.clock import HandClock
from provisioner.lab.world.guests import TalosGuests, install, sequences
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.guests.machine import Machine
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.kube import LabKube
from provisioner.lab.world.routes import LoopbackRoutes
from provisioner.lab.world.state import (
    DvdDrive,
    Guest,
    HardDrive,
    HostFile,
    Injection,
    State,
    Vhd,
    Vm,
    VmNic,
    WindowsHost,
)

GIB = 2**30
INSTALLER = "ghcr.io/siderolabs/installer:v1.11.5"


class Lan:
    """VMs on one LAN, and what a host would do for them."""

    def __init__(self, seed: int = 1) -> None:
        self.kernel = Kernel(State(host=WindowsHost(name="hv01", address="192.0.2.10")), HandClock(), seed)
        self.unplugged: set[str] = set()
        self.vms: dict[str, Vm] = {}
        self.guests = TalosGuests(self.kernel, self, LabKube(self.kernel))
        self.kernel.state.host.files["iso"] = HostFile("iso", 1, 0.0, talos_iso="v1.11.5")

    # seams.PowerSwitch

    def powered_off(self, vm_id: str) -> None:
        self.vms[vm_id].state = "Off"
        self.guests.power_off(self.vms[vm_id])

    def lan_up(self, vm: Vm) -> bool:
        return vm.id not in self.unplugged

    # what tests do

    def add(
        self, name: str, *, boot_order: tuple[str, ...] = ("disk:0:0", "dvd:0:1", "network:0"), **changes: Any
    ) -> Vm:
        number = len(self.vms) + 1
        self.kernel.state.host.files[f"{name}.vhdx"] = HostFile(f"{name}.vhdx", 4, 0.0, vhd=Vhd(20 * GIB))
        vm = Vm(
            id=f"vm-{name}",
            name=name,
            generation=2,
            created=0.0,
            path="",
            cpus=2,
            memory_bytes=4 * GIB,
            secure_boot=False,
            bios_uuid=f"AABBCC{number:02d}-0000-4000-8000-0123456789AB",
            hard_drives=[HardDrive(0, 0, f"{name}.vhdx")],
            dvd_drives=[DvdDrive(0, 1, "iso")],
            nics=[VmNic("Network Adapter", mac=f"02155D0000{number:02d}")],
            boot_order=list(boot_order),
        )
        for key, value in changes.items():
            setattr(vm, key, value)
        self.vms[vm.id] = vm
        return vm

    def power_on(self, vm: Vm) -> None:
        with self.kernel.lock:
            vm.state = "Running"
            self.guests.power_on(vm)

    def power_off(self, vm: Vm) -> None:
        with self.kernel.lock:
            vm.state = "Off"
            self.guests.power_off(vm)

    def start(self, name: str, **options: Any) -> Vm:
        vm = self.add(name, **options)
        self.power_on(vm)
        return vm

    def to_maintenance(self, *names: str) -> list[Vm]:
        vms = [self.start(name) for name in names]
        self.advance(70)
        assert [self.guest(vm).stage for vm in vms] == ["maintenance"] * len(vms)
        return vms

    def apply(self, vm: Vm, config: bytes) -> None:
        with self.kernel.lock:
            install.accept(self.machine(vm), MachineConfig(config))

    def installed(self, vm: Vm, config: bytes) -> Vm:
        """Goes on until it runs from its disk."""
        self.apply(vm, config)
        assert self.kernel.wait_for(lambda: (g := self.guests.of(vm.id)) is not None and g.booted_from == "disk", 200)
        self.advance(30)
        return vm

    def bootstrap(self, vm: Vm) -> None:
        with self.kernel.lock:
            sequences.check_bootstrap(self.machine(vm))
            sequences.bootstrap(self.machine(vm))

    def running_cluster(self, cluster: Cluster, control_planes: int = 1, workers: int = 1) -> list[Vm]:
        names = [f"cp{n}" for n in range(control_planes)] + [f"w{n}" for n in range(workers)]
        vms = self.to_maintenance(*names)
        cluster.endpoint = f"https://{self.guest(vms[0]).address}:6443"
        for vm in vms:
            self.apply(vm, cluster.config("controlplane" if vm.name.startswith("cp") else "worker", vm.name))
        self.advance(200)
        self.bootstrap(vms[0])
        self.advance(400)
        assert [(self.guest(vm).stage, self.guest(vm).ready) for vm in vms] == [("running", True)] * len(vms)
        return vms

    def advance(self, seconds: float) -> None:
        self.kernel.advance(seconds)

    def inject(self, name: str, place: str = "", times: int = 1, value: float = 0.0) -> None:
        self.kernel.state.injections.append(Injection(name, place, times, value))

    def guest(self, vm: Vm) -> Guest:
        guest = self.guests.of(vm.id)
        assert guest is not None, f"no guest in {vm.name}: {self.guests.screen(vm)}"
        return guest

    def machine(self, vm: Vm) -> Machine:
        machine = self.guests.machine(vm.id)
        assert machine is not None
        return machine

    def disk(self, vm: Vm) -> Vhd:
        vhd = self.kernel.state.host.files[vm.hard_drives[0].path].vhd
        assert vhd is not None
        return vhd

    def noted(self, kind: str) -> list[str]:
        return [line.key for line in self.kernel.log if line.kind == kind]


# --- clusters -------------------------------------------------------------------------------------------------------


def _pem(pair: tuple[x509.Certificate, Any]) -> tuple[bytes, bytes]:
    certificate, key = pair
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM), pem


def _certificate(
    organization: str, issuer: tuple[x509.Certificate, Any] | None, kind: str, *, days: int = 1
) -> tuple[x509.Certificate, Any]:
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
    signing = issuer[1] if issuer else key
    now = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer[0].subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=days))
    )
    if issuer is None:
        usage = x509.KeyUsage(True, False, False, False, False, True, False, False, False)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(usage, True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier(secrets.token_bytes(20)), False)
    else:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        ski = issuer[0].extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)
        builder = builder.add_extension(authority, False)
    digest = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signing, digest), key


def _talos_label(pem: bytes) -> bytes:
    return pem.replace(b"PRIVATE KEY", b"ED25519 PRIVATE KEY")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass
class Cluster:
    """The secrets of a cluster, and the configs made of them."""

    name: str = "test"
    endpoint: str = "https://192.0.2.100:6443"
    id: str = field(default_factory=lambda: _b64(secrets.token_bytes(32)))
    secret: str = field(default_factory=lambda: _b64(secrets.token_bytes(32)))
    token: str = field(default_factory=lambda: f"{secrets.token_hex(3)}.{secrets.token_hex(8)}")

    @cached_property
    def os_ca(self) -> tuple[x509.Certificate, Any]:
        return _certificate("talos", None, "ed25519")

    @cached_property
    def kubernetes_ca(self) -> tuple[x509.Certificate, Any]:
        return _certificate("kubernetes", None, "ecdsa")

    @cached_property
    def etcd_ca(self) -> tuple[x509.Certificate, Any]:
        return _certificate("etcd", None, "ecdsa")

    def client(self, role: str = "os:admin", *, days: int = 1) -> tuple[bytes, bytes]:
        return _pem(_certificate(role, self.os_ca, "ed25519", days=days))

    def document(self, type: str, hostname: str = "") -> dict[str, Any]:
        control_plane = type == "controlplane"

        def pair(ca: tuple[x509.Certificate, Any], *, talos: bool = False) -> dict[str, str]:
            crt, key = _pem(ca)
            key = _talos_label(key) if talos else key
            return {"crt": _b64(crt), "key": _b64(key) if control_plane else ""}

        document: dict[str, Any] = {
            "version": "v1alpha1",
            "persist": True,
            "machine": {
                "type": type,
                "token": self.token,
                "ca": pair(self.os_ca, talos=True),
                "certSANs": ["127.0.0.1"],
                "kubelet": {"image": "ghcr.io/siderolabs/kubelet:v1.34.1"},
                "network": {"hostname": hostname} if hostname else {},
                "install": {"disk": "/dev/sda", "image": INSTALLER, "wipe": False},
                "features": {"rbac": True},
            },
            "cluster": {
                "id": self.id,
                "secret": self.secret,
                "controlPlane": {"endpoint": self.endpoint},
                "clusterName": self.name,
                "network": {"podSubnets": ["10.244.0.0/16"], "serviceSubnets": ["10.96.0.0/12"]},
                "token": "abcdef.0123456789abcdef",
                "ca": pair(self.kubernetes_ca),
                "discovery": {"enabled": True},
            },
        }
        if control_plane:
            document["cluster"]["etcd"] = {"ca": pair(self.etcd_ca)}
            document["cluster"]["apiServer"] = {"image": "registry.k8s.io/kube-apiserver:v1.34.1"}
        return document

    def config(self, type: str, hostname: str = "") -> bytes:
        return yaml.safe_dump(self.document(type, hostname), sort_keys=False).encode()


# --- clients --------------------------------------------------------------------------------------------------------


def insecure() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def secure(cluster: Cluster, client: tuple[bytes, bytes] | None = None) -> ssl.SSLContext:
    """Verifies the server by the cluster's CA; presents the client certificate, if any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=_pem(cluster.os_ca)[0].decode())
    if client is not None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "client.pem"
            file.write_bytes(client[0] + client[1])
            context.load_cert_chain(file)
    return context


class PatientChannel(Channel):
    """Takes a GOAWAY without error as what it is, an announcement. grpclib drops even answers that came just before it."""

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        made = protocol.connection_made

        def connection_made(transport: Any) -> None:
            made(transport)
            protocol.connection._connection._frame_dispatch_table[GoAwayFrame] = lambda _frame: ([], [])

        protocol.connection_made = connection_made
        return protocol


class Served:
    """The servers of a LAN, and ways to them."""

    def __init__(self, lan: Lan) -> None:
        self.lan = lan
        self.routes = LoopbackRoutes(lan.kernel)
        self.servers = MachineServers(lan.kernel, lan.guests, self.routes)

    def port(self, vm: Vm) -> int:
        return self.routes.loopback_port(self.lan.guest(vm).address, 50000)

    def advance(self, seconds: float) -> None:
        """Time passes, and listeners are as the world is then."""
        self.lan.advance(seconds)
        self.servers.settle()

    @contextlib.asynccontextmanager
    async def channel(self, port: int, context: ssl.SSLContext) -> AsyncIterator[Channel]:
        channel = PatientChannel("127.0.0.1", port, ssl=context)
        try:
            yield channel
        finally:
            # A TLS close takes turns with the peer; a test's loop does not live that long.
            transport = getattr(getattr(channel._protocol, "connection", None), "_transport", None)
            if transport is not None:
                transport.abort()
            channel.close()
            for _ in range(3):
                await asyncio.sleep(0)


@contextlib.contextmanager
def serving(lan: Lan) -> Iterator[Served]:
    served = Served(lan)
    served.servers.start()
    try:
        yield served
    finally:
        served.servers.stop()
        served.routes.close()
