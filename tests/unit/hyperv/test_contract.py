"""The Python verbs are those of the contract: every function, its parameters, their types."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from provisioner.hyperv import functions
from provisioner.ports import SwitchRequest, VmChange, VmRequest
from provisioner.winrm.transport import Int64, Statement
from tests.conftest import ROOT

FUNCTIONS: dict[str, Any] = yaml.safe_load((ROOT / "powershell/TalosHyperV/contract.yaml").read_text())["functions"]
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "bool": bool,
    "switch": bool,
    "int32": int,
    "int64": Int64,
    "string[]": list,
}

FULL: list[Statement] = [
    functions.get_host(),
    functions.get_switch("LAB", marked=True),
    functions.new_switch(
        SwitchRequest(
            name="LAB", adapter="Ethernet", allow_management_os=False, vlan=3, mark="m", watchdog_s=90, retry=True
        )
    ),
    functions.confirm_switch(name="LAB", job_id="j"),
    functions.remove_switch(name="LAB", cluster_id="c"),
    functions.get_folder("D:\\VMs"),
    functions.remove_folder("D:\\VMs\\cp-1", cluster_id="c"),
    functions.set_switch(name="LAB", cluster_id="c", mark="m"),
    functions.get_image(["a"], verify=True),
    functions.save_image(url="u", path="p", sha256="s", sha256_url="x"),
    functions.remove_image("p"),
    functions.new_vm(
        VmRequest(
            name="n",
            cpus=2,
            memory_mib=4096,
            disk_gib=20,
            mac="02155D000011",
            switch="LAB",
            vlan=3,
            iso_path="i",
            folder="f",
            mark="m",
            start_delay_s=10,
        )
    ),
    functions.get_vm(["a"], cluster_id="c"),
    functions.set_vm(
        VmChange(
            id="a",
            mark="m",
            cpus=2,
            memory_mib=1,
            disk_gib=1,
            vlan=1,
            switch="s",
            mac="m",
            start_delay_s=1,
            static_memory=True,
            secure_boot_off=True,
            boot_order=True,
            actions=True,
            notes=True,
        )
    ),
    functions.start_vm(["a"]),
    functions.stop_vm(["a"], turn_off=True),
    functions.remove_vm(["a"], cluster_id="c", keep_mark=True),
    functions.mount_iso(["a"], path="p"),
    functions.dismount_iso(["a"]),
    functions.get_neighbor(["m"], sweep=True, wait_s=5),
    functions.get_console("a", width=1, height=1),
]
"""Each verb with all that it can say."""


def test_every_function_has_its_verb() -> None:
    assert sorted(statement.function for statement in FULL) == sorted(FUNCTIONS)


@pytest.mark.parametrize("statement", FULL, ids=lambda statement: statement.function)
def test_a_verb_says_all_its_parameters_with_their_types(statement: Statement) -> None:
    wanted = {parameter["name"]: parameter["type"] for parameter in FUNCTIONS[statement.function]["parameters"]}
    assert set(statement.arguments) == set(wanted)
    for name, value in statement.arguments.items():
        assert isinstance(value, TYPES[wanted[name]]), f"{name} is {wanted[name]}"
        assert type(value) is not bool or wanted[name] in ("bool", "switch"), f"{name} is {wanted[name]}"


@pytest.mark.parametrize(
    "statement",
    [
        functions.new_switch(
            SwitchRequest(
                name="LAB",
                adapter="Ethernet",
                allow_management_os=True,
                vlan=None,
                mark="m",
                watchdog_s=90,
                retry=False,
            )
        ),
        functions.get_image(["a"]),
        functions.save_image(url="u", path="p", sha256="", sha256_url=""),
        functions.get_vm(),
        functions.set_vm(VmChange(id="a", mark="m")),
        functions.stop_vm(["a"], turn_off=False),
        functions.get_neighbor(["m"], sweep=False),
    ],
    ids=lambda statement: statement.function,
)
def test_what_is_not_asked_for_is_not_said(statement: Statement) -> None:
    """A switch that is given counts as set, and $null is refused by typed parameters: what is left out is left out."""
    mandatory = {p["name"] for p in FUNCTIONS[statement.function]["parameters"] if p.get("mandatory")}
    optional = set(statement.arguments) - mandatory
    assert mandatory <= set(statement.arguments)
    assert optional <= {"AllowManagementOS", "Mark", "WatchdogSeconds"}
    assert None not in statement.arguments.values()
