"""Hyper-V as its cmdlets see it: what the management service knows, does and refuses.

`HyperV` has one method for each cmdlet that matters here, at its granularity. Stub cmdlets for a genuine PowerShell and the lab's
own host functions both stand on them. A refusal is a `CmdletError` with the ids of the real ones. Ask on behalf of somebody with
`hyperv.acting_as(Caller(...))`; without it, it is the system itself that asks.

| area | module | methods |
|---|---|---|
| VMs | `hyperv_vms` | get_vms, get_vm, new_vm, set_vm, remove_vm |
| power | `hyperv_power` | start_vm, stop_vm, restart_vm; powered_off, lan_up (for guests) |
| disks and drives | `hyperv_disks` | new_vhd, get_vhd, resize_vhd, add/remove_hard_drive, add/set/remove_dvd |
| firmware, adapters, services, screen | `hyperv_settings` | get/set_firmware, add/remove/connect_adapter, set_mac, set_vlan, integration_services, thumbnail |
| switches | `hyperv_switches` | get_switches, new_switch, set_switch, remove_switch, begin_new_switch, begin_remove_switch |
| all | `vmms` | acting_as, memory_free_bytes, stop_service, start_service |
"""

from __future__ import annotations

from provisioner.lab.world.hyperv_errors import CmdletError
from provisioner.lab.world.hyperv_switches import Switches
from provisioner.lab.world.vmms import DEFAULT_SWITCH_ID, SYSTEM, Caller, VmView

__all__ = ["DEFAULT_SWITCH_ID", "SYSTEM", "Caller", "CmdletError", "HyperV", "VmView"]


class HyperV(Switches):
    """All areas together: the base classes are its chapters."""
