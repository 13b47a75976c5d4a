"""The tables say one thing to engine, lab and tests: nothing in them is without a behaviour, nothing behaves that is not in them."""

from __future__ import annotations

import pytest

from tests.engine.cmdlets.behaviours.table import BEHAVIOURS
from tests.engine.cmdlets.call import made
from tests.engine.cmdlets.description import ParameterSet, description

MODULES = {
    "BitsTransfer",
    "CimCmdlets",
    "Dism",
    "DnsClient",
    "Hyper-V",
    "Lab.PowerShell",
    "NetAdapter",
    "NetConnection",
    "NetTCPIP",
    "ScheduledTasks",
    "Storage",
}


def test_every_cmdlet_behaves() -> None:
    assert set(BEHAVIOURS) == set(description().cmdlets)
    assert set(description().modules) == MODULES


@pytest.mark.parametrize("name", sorted(BEHAVIOURS))
def test_what_a_behaviour_heeds_is_a_real_parameter(name: str) -> None:
    assert BEHAVIOURS[name].parameters <= set(description().cmdlets[name].parameters)


@pytest.mark.parametrize("name", sorted(BEHAVIOURS))
def test_what_a_set_demands_is_heeded(name: str) -> None:
    """A set whose mandatory parameter the lab refuses would be a set that it does not have: few are, and known."""
    cmdlet = description().cmdlets[name]
    known = {
        "Connect-VMNetworkAdapter": {"UseAutomaticConnection"},
        "Get-VHD": {"DiskNumber"},
        "Get-WindowsOptionalFeature": {"Path"},
        "New-VHD": {"ParentPath", "SourceDisk"},
        "Register-ScheduledTask": {"Xml", "InputObject"},
        "Remove-VMNetworkAdapter": {"ManagementOS"},
        "Resize-VHD": {"ToMinimumSize"},
        "Set-VMNetworkAdapter": {"ManagementOS"},
        "Set-VMSwitch": {"NetAdapterName", "NetAdapterInterfaceDescription"},
        "Test-NetConnection": {"DiagnoseRouting"},
    }
    mandatory = {key for key, parameter in cmdlet.parameters.items() if any(each.mandatory for each in parameter.sets)}
    assert mandatory - BEHAVIOURS[name].parameters == known.get(name, set())


def test_words_of_yaml_stay_words() -> None:
    assert description().enums["Microsoft.HyperV.PowerShell.OnOffState"] == {"On": 0, "Off": 1}
    assert description().enums["Microsoft.HyperV.PowerShell.DvdMediaType"] == {"None": 0, "ISO": 1, "PassThrough": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", ParameterSet("")),
        ("*!@0 v p", ParameterSet("", mandatory=True, position=0, by_value=True, by_property=True)),
        ("New VHD!", ParameterSet("New VHD", mandatory=True)),
        ("Query (cdxml)@1 p", ParameterSet("Query (cdxml)", position=1, by_property=True)),
    ],
)
def test_notation_of_sets(text: str, expected: ParameterSet) -> None:
    assert ParameterSet.parse(text) == expected


def test_inheritance() -> None:
    properties = description().properties_of("Microsoft.HyperV.PowerShell.DvdDrive")
    assert {"DvdMediaType", "Path", "ControllerNumber", "VMId", "ComputerName"} <= set(properties)
    with pytest.raises(KeyError):
        made("NoSuchClass", {})
