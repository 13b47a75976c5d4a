"""Get-, New-, Set- and Remove-VMSwitch. What an External one does to the host's network is `network.py`'s."""

from __future__ import annotations

import copy
from collections.abc import Callable

from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.hyperv.errors import CmdletError
from provisioner.lab.world.hyperv.service import DEFAULT_SWITCH_ID, SECONDS, ManagementService
from provisioner.lab.world.state import STOPPED, NetAdapter, VirtualSwitch


class Switches:
    """Virtual switches. Results are copies."""

    def __init__(self, service: ManagementService) -> None:
        self._service = service
        self._kernel = service.kernel
        self._network = service.network

    def get_switches(self) -> list[VirtualSwitch]:
        """Get-VMSwitch."""
        with self._service.reading("Get-VMSwitch"):
            return copy.deepcopy(self._service.host.switches)

    def begin_new_switch(
        self,
        name: str,
        done: Callable[[CmdletError | None], None],
        *,
        adapter_name: str,
        allow_management_os: bool = True,
        vlan_id: int = 0,
        notes: str = "",
    ) -> VirtualSwitch:
        """New-VMSwitch -NetAdapterName, without the wait until the host's network is settled; called with the lock held. Refusals are
        raised at once, later ones are given to `done`.

        The switch is made to the end also when the caller is gone: its connection ends in the middle.
        """
        with self._service.reading("New-VMSwitch"):
            adapter = self._free_adapter(adapter_name)
            switch = VirtualSwitch(
                id=self._network.new_guid(),
                name=name,
                kind="External",
                allow_management_os=allow_management_os,
                notes=notes,
                vlan_id=vlan_id,
            )
            failed = refused.bind_failed(adapter.guid)
            self._network.bind(switch, adapter, lambda bound: done(None if bound else failed))
            return switch

    def _free_adapter(self, name: str) -> NetAdapter:
        """The physical adapter asked for. An External switch needs an administrator proper."""
        if not self._service.caller.administrator:
            raise refused.no_permission()
        adapter = next((a for a in self._service.host.adapters if a.name.lower() == name.lower()), None)
        if adapter is None:
            raise refused.adapter_not_found(name)
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

    def begin_remove_switch(self, switch_id: str, done: Callable[[], None]) -> None:
        """Remove-VMSwitch, without the wait until the network is settled; called with the lock held. Not while running VMs are on it; others
        lose their connection.
        """
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
