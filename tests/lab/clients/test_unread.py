"""Hyper-V that does not run, or is not for the account, from the beginning or from the middle on: told by the host's own facts."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.errors import HostRefused
from provisioner.lab.functions.api import Terminating
from provisioner.lab.winrm import WinRmEndpoint
from provisioner.ports import HyperVUnavailable, ObserveQuery
from tests.lab.clients.helpers import Client, ScriptedHost, host_row, refused
from tests.lab.clients.test_host import run


def test_where_hyperv_does_not_run_the_hosts_own_facts_remain(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    def sick(_given: Any, _streams: Any) -> Any:
        raise Terminating(refused("HyperV.VmmsStopped", "vmms"))

    scripted.behaviours["Get-TalosVM"] = sick
    scripted.behaviours["Get-TalosHost"] = lambda _g, _s: iter([host_row(VmmsStatus="Stopped")])

    async def test() -> None:
        async with Client(endpoint) as host:
            seen = await host.observe(ObserveQuery())
            assert (seen.host.vmms_status, seen.vms) == ("Stopped", ())
            scripted.behaviours["Get-TalosHost"] = lambda _g, _s: iter([host_row()])
            with pytest.raises(HostRefused, match="VmmsStopped"):
                await host.observe(ObserveQuery())  # vmms runs and cannot be read: no absence

    run(test())


@pytest.mark.parametrize(
    "lost",
    [{"VmmsStatus": "Stopped"}, {"HyperVModule": False}, {"IsAdministrator": False}],
    ids=lambda lost: next(iter(lost)),
)
def test_hyperv_that_is_lost_in_the_middle_is_told_as_that(
    endpoint: WinRmEndpoint, scripted: ScriptedHost, lost: dict[str, Any]
) -> None:
    """What a stopped service answers has no id of its own: the host's facts, read anew, tell."""

    def sick(_given: Any, _streams: Any) -> Any:
        facts.update(lost)
        raise Terminating(refused("HyperV.ObjectNotFound", "vmms"))

    facts: dict[str, Any] = {}
    scripted.behaviours["Get-TalosHost"] = lambda _g, _s: iter([host_row(**facts)])
    scripted.behaviours["Start-TalosVM"] = scripted.behaviours["Get-TalosVM"] = sick

    async def test() -> None:
        async with Client(endpoint) as host:
            with pytest.raises(HyperVUnavailable, match="ObjectNotFound") as met:
                await host.start_vm("a")
            assert (met.value.function, met.value.host.computer_name) == ("Start-TalosVM", "HV01")
            facts.clear()
            seen = await host.observe(ObserveQuery())  # lost between the first function and the second
            assert (seen.whole, seen.vms) == (False, ())
            scripted.behaviours["Get-TalosVM"] = lambda _g, _s: iter(())
            seen = await host.observe(ObserveQuery())  # an empty list of who may not read says nothing either
            assert (seen.whole, seen.vms) == (False, ())

    run(test())


def test_without_rights_the_hosts_own_facts_say_so(endpoint: WinRmEndpoint, scripted: ScriptedHost) -> None:
    """Hyper-V's own answer to a stranger is an error without an id of its own."""

    def stranger(_given: Any, _streams: Any) -> Any:
        raise Terminating(refused("HyperV.Unspecified", "required permission"))

    rights = {"IsAdministrator": False, "IsHyperVAdministrator": False}
    scripted.behaviours["Get-TalosVM"] = stranger
    scripted.behaviours["Get-TalosHost"] = lambda _g, _s: iter([host_row(**rights)])

    async def test() -> None:
        async with Client(endpoint) as host:
            seen = await host.observe(ObserveQuery())
            assert (seen.host.is_administrator, seen.host.is_hyperv_administrator, seen.vms) == (False, False, ())

    run(test())
