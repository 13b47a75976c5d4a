"""Whatever is asked of the host, in any order, the world stays possible and somebody else's VM stays untouched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from provisioner.lab.world.build import FOREIGN_VM_ID
from provisioner.lab.world.faults import inject
from provisioner.lab.world.hyperv import CmdletError
from provisioner.lab.world.storage import FileFault
from tests.engine import hyperv as engine_hyperv
from tests.engine.hyperv import cmdlets
from tests.lab.world.checker import check
from tests.lab.world.helpers import GIB, TalkingGuests, hand_world

NAMES = st.sampled_from(["cp-1", "worker-1", "CP-1"])
MACS = st.sampled_from(["02155D000001", "02155D000002"])
PATHS = st.sampled_from([f"D:\\VMs\\m\\{name}" for name in ("a.vhdx", "b.vhdx", "talos.iso", "other.iso")])
SWITCHES = st.sampled_from(["LAB", "office", "Default Switch", "none"])
NUMBERS = st.integers(0, 2)
REFUSALS = (CmdletError, FileFault)


class AnyHost(RuleBasedStateMachine):
    """One rule for each kind of call; a refusal is as good an answer as a result."""

    @initialize(silent=st.booleans())
    def begin(self, silent: bool) -> None:
        self.world = hand_world(memory_gib=16)
        self.hyperv = cmdlets(self.world)
        if not silent:
            self.world.use_guests(TalkingGuests(self.world))
        for name in ("talos.iso", "other.iso"):
            self.world.storage.make_folder("D:\\VMs\\m")
            self.world.storage.write(f"D:\\VMs\\m\\{name}", b"iso")
        for name, disk in (("cp-1", "a"), ("worker-1", "b")):  # so that even short stories have something to act on
            vm = self.hyperv.vms.new_vm(name, generation=2, path="D:\\VMs", memory_bytes=2 * GIB)
            self.hyperv.disks.new_vhd(f"D:\\VMs\\m\\{disk}.vhdx", 20 * GIB)
            self.hyperv.disks.add_hard_drive(vm.id, f"D:\\VMs\\m\\{disk}.vhdx")
            self.hyperv.disks.add_dvd(vm.id, "D:\\VMs\\m\\talos.iso")
        self.foreign = self._foreign()

    def _foreign(self) -> dict[str, Any]:
        vm = dataclasses.asdict(self.world.state.host.vms[FOREIGN_VM_ID])
        for moving in ("state", "state_since", "ran_before_host_stopped"):
            del vm[moving]
        return vm

    def _vm(self, number: int) -> str:
        """One of the VMs that are ours to change, or an id that no VM has."""
        ours = [vm_id for vm_id in self.world.state.host.vms if vm_id != FOREIGN_VM_ID]
        return ours[number % len(ours)] if ours else "00000000-0000-0000-0000-000000000000"

    def _try(self, call: Callable[..., object], *arguments: Any, **named: Any) -> None:
        try:
            call(*arguments, **named)
        except REFUSALS:
            self.world.kernel.note("refused", call.__name__)

    @rule(name=NAMES, generation=st.sampled_from([1, 2]), switch=SWITCHES, boot=st.sampled_from(["", "CD", "VHD"]))
    def new_vm(self, name: str, generation: int, switch: str, boot: str) -> None:
        self._try(
            self.hyperv.vms.new_vm,
            name,
            generation=generation,
            switch_name=switch,
            boot_device=boot,
            path="D:\\VMs",
            memory_bytes=4 * GIB,
        )

    @rule(name=NAMES, path=PATHS)
    def new_vm_with_disk(self, name: str, path: str) -> None:
        self._try(self.hyperv.vms.new_vm, name, generation=2, new_vhd_path=path, new_vhd_bytes=20 * GIB)

    @rule(number=NUMBERS, memory=st.sampled_from([GIB, 8 * GIB, 20 * GIB, 1]), cpus=st.integers(0, 20))
    def set_vm(self, number: int, memory: int, cpus: int) -> None:
        self._try(self.hyperv.vms.set_vm, self._vm(number), memory_bytes=memory, cpus=cpus)

    @rule(number=NUMBERS)
    def start_vm(self, number: int) -> None:
        self._try(self.hyperv.power.start_vm, self._vm(number))

    @rule(number=NUMBERS, how=st.sampled_from(["", "turn_off", "force", "save"]))
    def stop_vm(self, number: int, how: str) -> None:
        self._try(self.hyperv.power.stop_vm, self._vm(number), **({how: True} if how else {}))

    @rule(number=NUMBERS, how=st.sampled_from(["suspend", "resume_vm"]))
    def pause_or_resume(self, number: int, how: str) -> None:
        power = self.hyperv.power
        self._try(power.suspend if how == "suspend" else power.resume_vm, self._vm(number))

    @rule(number=NUMBERS)
    def remove_vm(self, number: int) -> None:
        self._try(self.hyperv.vms.remove_vm, self._vm(number))

    @rule(path=PATHS, size=st.sampled_from([20 * GIB, 30 * GIB, 5]))
    def new_or_larger_vhd(self, path: str, size: int) -> None:
        disks = self.hyperv.disks
        self._try(disks.resize_vhd if self.world.storage.find(path) else disks.new_vhd, path, size)

    @rule(number=NUMBERS, path=PATHS, location=st.sampled_from([None, 0, 1]))
    def add_disk(self, number: int, path: str, location: int | None) -> None:
        self._try(self.hyperv.disks.add_hard_drive, self._vm(number), path, location=location)

    @rule(number=NUMBERS, path=PATHS)
    def add_dvd(self, number: int, path: str) -> None:
        self._try(self.hyperv.disks.add_dvd, self._vm(number), path)

    @rule(number=NUMBERS, path=PATHS | st.just(""))
    def set_dvd(self, number: int, path: str) -> None:
        self._try(self.hyperv.disks.set_dvd, self._vm(number), path)

    @rule(number=NUMBERS, kind=st.sampled_from(["remove_dvd", "remove_hard_drive"]), location=NUMBERS)
    def remove_drive(self, number: int, kind: str, location: int) -> None:
        self._try(getattr(engine_hyperv, kind), self.hyperv, self._vm(number), 0, location)

    @rule(number=NUMBERS, mac=MACS | st.none())
    def set_mac(self, number: int, mac: str | None) -> None:
        self._try(self.hyperv.adapters.set_mac, self._vm(number), mac)

    @rule(number=NUMBERS, index=NUMBERS, switch=SWITCHES)
    def adapters(self, number: int, index: int, switch: str) -> None:
        if index == 0:
            self._try(self.hyperv.adapters.add_adapter, self._vm(number), switch_name=switch)
        elif index == 1:
            self._try(self.hyperv.adapters.connect_adapter, self._vm(number), switch)
        else:
            self._try(engine_hyperv.remove_adapter, self.hyperv, self._vm(number), 0)

    @rule(number=NUMBERS, data=st.data())
    def boot_order(self, number: int, data: st.DataObject) -> None:
        vm = self.world.state.host.vms.get(self._vm(number))
        if vm is not None:
            self._try(
                self.hyperv.firmware.set_firmware,
                vm.id,
                boot_order=data.draw(st.permutations(vm.boot_order)),
                secure_boot=False,
            )

    @rule(
        adapter=st.sampled_from(["Ethernet", "Ethernet 2", "Wi-Fi", "none"]),
        fault=st.sampled_from(["", "bind", "offline", "address"]),
    )
    def new_switch(self, adapter: str, fault: str) -> None:
        if fault:
            inject(self.world, f"switch-{fault}", "LAB")
        self._try(self.hyperv.switches.new_switch, "LAB", adapter_name=adapter)

    @rule(name=st.sampled_from(["LAB", "Default Switch"]))
    def remove_switch(self, name: str) -> None:
        for switch in self.hyperv.switches.get_switches():
            if switch.name == name:
                self._try(self.hyperv.switches.remove_switch, switch.id)

    @rule(path=PATHS | st.just("D:\\VMs\\m"), recurse=st.booleans())
    def delete(self, path: str, recurse: bool) -> None:
        try:
            self.world.storage.delete(path, recurse=recurse)
        except REFUSALS:
            self.world.kernel.note("refused", "delete")

    @rule()
    def reboot(self) -> None:
        self.world.reboot_host()
        self.world.kernel.spend(90)

    @rule(seconds=st.integers(1, 120))
    def time_passes(self, seconds: int) -> None:
        self.world.kernel.spend(seconds)

    @invariant()
    def world_is_possible(self) -> None:
        if hasattr(self, "world"):
            assert check(self.world.state) == []

    @invariant()
    def foreign_vm_is_untouched(self) -> None:
        if hasattr(self, "world"):
            assert self._foreign() == self.foreign


TestAnyHost = AnyHost.TestCase
TestAnyHost.settings = settings(max_examples=100, stateful_step_count=30, deadline=None, database=None)
