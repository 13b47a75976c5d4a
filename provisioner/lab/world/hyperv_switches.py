"""Get-, New-, Set- and Remove-VMSwitch (facts/hyperv.md, 5.8). What an External one does to the host's network is `network.py`'s."""

from __future__ import annotations

import copy
from collections.abc import Callable

from provisioner.lab.world import hyperv_errors as refused
from provisioner.lab.world.hyperv_errors import CmdletError
from provisioner.lab.world.hyperv_settings import Settings
from provisioner.lab.world.state import NetAdapter, VirtualSwitch
from provisioner.lab.world.vmms import DEFAULT_SWITCH_ID, SECONDS, is_pattern, matches

SETTLE_BOUND_S = 600.0


class Switches(Settings):
    """Virtual switches."""

    def get_switches(self, name: str | None = None, switch_id: str | None = None) -> list[VirtualSwitch]:
        """Get-VMSwitch; names as with Get-VM. Copies."""
        with self.kernel.lock:
            self._guard("Get-VMSwitch")
            if switch_id is not None:
                found = [switch for switch in self.host.switches if switch.id == switch_id.strip("{}").lower()]
                if not found:
                    raise refused.no_device("the virtual switch", switch_id)
            else:
                found = [switch for switch in self.host.switches if name is None or matches(name, switch.name)]
                if name is not None and not found and not is_pattern(name):
                    raise refused.no_switch_of_name(name)
            return [copy.deepcopy(switch) for switch in found]

    def new_switch(
        self,
        name: str,
        *,
        adapter_name: str = "",
        adapter_description: str = "",
        switch_type: str = "",
        allow_management_os: bool = True,
        vlan_id: int = 0,
        notes: str = "",
    ) -> VirtualSwitch:
        """New-VMSwitch: Internal or Private by `switch_type`, External by an adapter. Returns when the host's network is settled.

        The switch is made to the end also when the caller is gone: its connection ends in the middle.
        """
        outcome: list[CmdletError | None] = []
        with self.kernel.lock:
            switch = self.begin_new_switch(
                name,
                outcome.append,
                adapter_name=adapter_name,
                adapter_description=adapter_description,
                switch_type=switch_type,
                allow_management_os=allow_management_os,
                vlan_id=vlan_id,
                notes=notes,
            )
        self.kernel.wait_for(lambda: bool(outcome), SETTLE_BOUND_S)
        if outcome and outcome[0] is not None:
            raise outcome[0]
        with self.kernel.lock:
            return copy.deepcopy(switch)

    def begin_new_switch(
        self,
        name: str,
        done: Callable[[CmdletError | None], None],
        *,
        adapter_name: str = "",
        adapter_description: str = "",
        switch_type: str = "",
        allow_management_os: bool = True,
        vlan_id: int = 0,
        notes: str = "",
    ) -> VirtualSwitch:
        """The same without waiting; called with the lock held. Refusals are raised at once, later trouble is given to `done`."""
        self._guard("New-VMSwitch")
        external = not switch_type
        if not external and switch_type not in ("Internal", "Private"):
            raise refused.bad_argument("SwitchType is Internal or Private.", switch_type)
        switch = VirtualSwitch(
            id=self.network.new_guid(),
            name=name,
            kind="External" if external else switch_type,
            allow_management_os=allow_management_os if external else switch_type == "Internal",
            notes=notes,
            vlan_id=vlan_id,
        )
        if external:
            adapter = self._free_adapter(adapter_name, adapter_description)
            self.network.bind(switch, adapter, done)
            return switch

        def appear() -> None:
            if switch.kind == "Internal":
                switch.vethernet = self.network.internal_vethernet(switch)
            self.host.switches.append(switch)
            self.kernel.changed("switch", switch.id)
            done(None)

        self.kernel.after(SECONDS["switch"], f"switch {name}", appear)
        return switch

    def _free_adapter(self, name: str, description: str) -> NetAdapter:
        """The physical adapter asked for. An External switch needs an administrator proper (facts/hyperv.md, 8.2)."""
        if not self.caller.administrator:
            raise refused.no_permission()
        adapter = next(
            (
                adapter
                for adapter in self.host.adapters
                if (name and adapter.name.lower() == name.lower())
                or (description and adapter.description.lower() == description.lower())
            ),
            None,
        )
        if adapter is None:
            raise refused.adapter_not_found(name or description)
        if self.network.switch_on(adapter) is not None:
            raise refused.already_bound(adapter.description)
        if "802.11" in adapter.media or adapter.status != "Up":
            raise refused.bind_failed(adapter.guid)
        return adapter

    def set_switch(self, switch_id: str, *, notes: str | None = None, vlan_id: int | None = None) -> VirtualSwitch:
        """Set-VMSwitch -Notes, and Set-VMNetworkAdapterVlan -ManagementOS."""
        with self.kernel.lock:
            self._guard("Set-VMSwitch")
            self._changeable(switch_id)
        self._take("adapter", switch_id)
        with self.kernel.lock:
            switch = self._changeable(switch_id)
            if notes is not None:
                switch.notes = notes
            if vlan_id is not None:
                switch.vlan_id = vlan_id
            self.kernel.changed("switch", switch.id)
            return copy.deepcopy(switch)

    def remove_switch(self, switch_id: str) -> None:
        """Remove-VMSwitch: not while running VMs are on it; others lose their connection. Returns when the network is settled."""
        outcome: list[None] = []
        with self.kernel.lock:
            self.begin_remove_switch(switch_id, lambda: outcome.append(None))
        self.kernel.wait_for(lambda: bool(outcome), SETTLE_BOUND_S)

    def begin_remove_switch(self, switch_id: str, done: Callable[[], None]) -> None:
        """The same without waiting; called with the lock held."""
        self._guard("Remove-VMSwitch")
        switch = self._changeable(switch_id)
        if switch.kind == "External" and not self.caller.administrator:
            raise refused.no_permission()
        users = [vm for vm in self.host.vms.values() if any(nic.switch_id == switch.id for nic in vm.nics)]
        if any(vm.state not in ("Off", "Saved") for vm in users):
            raise refused.switch_in_use(switch.name)
        for vm in users:
            for nic in vm.nics:
                nic.switch_id = "" if nic.switch_id == switch.id else nic.switch_id
            self._changed(vm)
        if switch.kind == "External":
            self.network.release(switch, done)
            return

        def vanish() -> None:
            self.host.switches[:] = [other for other in self.host.switches if other.id != switch.id]
            self.kernel.changed("switch", switch.id)
            done()

        self.kernel.after(SECONDS["switch"], f"switch {switch.name} goes", vanish)

    def _changeable(self, switch_id: str) -> VirtualSwitch:
        switch = self._switch(switch_id.strip("{}").lower())
        if switch is None:
            raise refused.no_device("the virtual switch", switch_id)
        if switch.id == DEFAULT_SWITCH_ID:
            raise refused.default_switch(switch.name)
        return switch
