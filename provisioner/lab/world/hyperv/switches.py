"""Get-, New-, Set- and Remove-VMSwitch. What an External one does to the host's network is `network.py`'s."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypedDict, Unpack

from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.hyperv.errors import CmdletError
from provisioner.lab.world.hyperv.service import DEFAULT_SWITCH_ID, SECONDS, ManagementService, named
from provisioner.lab.world.state import STOPPED, NetAdapter, SwitchKind, VirtualSwitch

SETTLE_BOUND_S = 600.0


class NewSwitch(TypedDict, total=False):
    """What New-VMSwitch takes beside the name: an External one needs an adapter."""

    adapter_name: str
    adapter_description: str
    kind: SwitchKind
    allow_management_os: bool
    vlan_id: int
    notes: str


class Switches:
    """Virtual switches. Results are copies."""

    def __init__(self, service: ManagementService) -> None:
        self._service = service
        self._kernel = service.kernel
        self._network = service.network

    def get_switches(self, name: str | None = None, switch_id: str | None = None) -> list[VirtualSwitch]:
        """Get-VMSwitch; names as with Get-VM."""
        with self._service.reading("Get-VMSwitch"):
            if switch_id is not None:
                return [copy.deepcopy(self._service.switch(switch_id))]
            return copy.deepcopy(named(self._service.host.switches, name, refused.no_switch_of_name))

    def new_switch(self, name: str, **wanted: Unpack[NewSwitch]) -> VirtualSwitch:
        """New-VMSwitch. Returns when the host's network is settled.

        The switch is made to the end also when the caller is gone: its connection ends in the middle.
        """
        outcome: list[CmdletError | None] = []
        with self._kernel.lock:
            switch = self.begin_new_switch(name, outcome.append, **wanted)
        self._kernel.wait_for(lambda: bool(outcome), SETTLE_BOUND_S)
        if outcome and outcome[0] is not None:
            raise outcome[0]
        with self._kernel.lock:
            return copy.deepcopy(switch)

    def begin_new_switch(
        self, name: str, done: Callable[[CmdletError | None], None], **wanted: Unpack[NewSwitch]
    ) -> VirtualSwitch:
        """The same without waiting; called with the lock held. Refusals are raised at once, later ones are given to `done`."""
        with self._service.reading("New-VMSwitch"):
            kind = wanted.get("kind", "External")
            shared = wanted.get("allow_management_os", True) if kind == "External" else kind == "Internal"
            switch = VirtualSwitch(
                id=self._network.new_guid(),
                name=name,
                kind=kind,
                allow_management_os=shared,
                notes=wanted.get("notes", ""),
                vlan_id=wanted.get("vlan_id", 0),
            )
            if kind == "External":
                adapter = self._free_adapter(wanted.get("adapter_name", ""), wanted.get("adapter_description", ""))
                failed = refused.bind_failed(adapter.guid)
                self._network.bind(switch, adapter, lambda bound: done(None if bound else failed))
                return switch

        def appear() -> None:
            if switch.kind == "Internal":
                switch.vethernet = self._network.internal_vethernet(switch)
            self._service.host.switches.append(switch)
            self._kernel.changed("switch", switch.id)
            done(None)

        self._kernel.after(SECONDS["switch"], f"switch {name}", appear)
        return switch

    def _free_adapter(self, name: str, description: str) -> NetAdapter:
        """The physical adapter asked for. An External switch needs an administrator proper."""
        if not self._service.caller.administrator:
            raise refused.no_permission()
        for adapter in self._service.host.adapters:
            if adapter.name.lower() == name.lower() or adapter.description.lower() == description.lower():
                break
        else:
            raise refused.adapter_not_found(name or description)
        if self._network.switch_on(adapter) is not None:
            raise refused.already_bound(adapter.description)
        if "802.11" in adapter.media or adapter.status != "Up":
            raise refused.bind_failed(adapter.guid)
        return adapter

    def set_switch(self, switch_id: str, *, notes: str | None = None, vlan_id: int | None = None) -> VirtualSwitch:
        """Set-VMSwitch -Notes, and Set-VMNetworkAdapterVlan -ManagementOS."""
        with self._service.reading("Set-VMSwitch"):
            self._changeable(switch_id)
        self._service.take("adapter", switch_id)
        with self._service.reading("Set-VMSwitch"):
            switch = self._changeable(switch_id)
            if notes is not None:
                switch.notes = notes
            if vlan_id is not None:
                switch.vlan_id = vlan_id
            self._kernel.changed("switch", switch.id)
            return copy.deepcopy(switch)

    def remove_switch(self, switch_id: str) -> None:
        """Remove-VMSwitch: not while running VMs are on it; others lose their connection. Returns when the network is settled."""
        outcome: list[None] = []
        with self._kernel.lock:
            self.begin_remove_switch(switch_id, lambda: outcome.append(None))
        self._kernel.wait_for(lambda: bool(outcome), SETTLE_BOUND_S)

    def begin_remove_switch(self, switch_id: str, done: Callable[[], None]) -> None:
        """The same without waiting; called with the lock held."""
        with self._service.reading("Remove-VMSwitch"):
            switch = self._changeable(switch_id)
            if switch.kind == "External" and not self._service.caller.administrator:
                raise refused.no_permission()
            users = [vm for vm in self._service.host.vms.values() if any(nic.switch_id == switch.id for nic in vm.nics)]
            if any(vm.state not in STOPPED for vm in users):
                raise refused.switch_in_use(switch.name)
            for vm in users:
                for nic in vm.nics:
                    nic.switch_id = "" if nic.switch_id == switch.id else nic.switch_id
                self._service.changed(vm)
            if switch.kind == "External":
                self._network.release(switch, done)
                return

        def vanish() -> None:
            self._service.host.switches[:] = [other for other in self._service.host.switches if other.id != switch.id]
            self._kernel.changed("switch", switch.id)
            done()

        self._kernel.after(SECONDS["switch"], f"switch {switch.name} goes", vanish)

    def _changeable(self, switch_id: str) -> VirtualSwitch:
        switch = self._service.switch(switch_id)
        if switch.id == DEFAULT_SWITCH_ID:
            raise refused.default_switch(switch.name)
        return switch
