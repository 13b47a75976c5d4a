"""A small LAN of VMs for tests of the machines: a host that is nothing but sockets, configs of throw-away clusters, API clients."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

from grpclib.client import Channel

from provisioner.lab.machines import MachineServers
from provisioner.lab.world.guests import install, sequences
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.guests.guests import TalosGuests
from provisioner.lab.world.guests.machine import Machine
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.kube.rules import LabKube
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
from tests.lab.machines.clients import PatientChannel, hang_up, insecure
from tests.lab.machines.clusters import Cluster
from tests.lab.world.hand import HandClock

GIB = 2**30


class Lan:
    """VMs on one LAN, and what a host would do for them."""

    def __init__(self, seed: int = 1) -> None:
        self.kernel = Kernel(State(host=WindowsHost(name="hv01", address="192.0.2.10")), HandClock(), seed)
        self.unplugged: set[str] = set()
        self.vms: dict[str, Vm] = {}
        self.guests = TalosGuests(self.kernel, self, LabKube(self.kernel))
        self.kernel.state.host.files["iso"] = HostFile("iso", 1, 0.0, talos_iso="v1.11.5")

    # interfaces.PowerSwitch

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
        self.kernel.spend(seconds)

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

    def maintenance(self, vm: Vm) -> contextlib.AbstractAsyncContextManager[Channel]:
        """A client of a machine that waits for its config."""
        return self.channel(self.port(vm), insecure())

    @contextlib.asynccontextmanager
    async def channel(self, port: int, context: ssl.SSLContext) -> AsyncIterator[Channel]:
        channel = PatientChannel("127.0.0.1", port, ssl=context)
        try:
            yield channel
        finally:
            await hang_up(channel)


@contextlib.contextmanager
def serving(lan: Lan) -> Iterator[Served]:
    served = Served(lan)
    served.servers.start()
    try:
        yield served
    finally:
        served.servers.stop()
        served.routes.close()
