"""Flat results become facts; what is missing or misshapen names its function and field."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from provisioner.errors import Malformed
from provisioner.hyperv import parse
from provisioner.model.facts import AdapterFacts, DriveFacts, VolumeFacts
from provisioner.model.naming import Mark
from tests.lab.clients.helpers import host_row, row, vm_row

ADAPTER = {
    "Name": "Ethernet",
    "Description": "Intel",
    "MacAddress": "00155D000001",
    "Status": "Up",
    "Media": "802.3",
    "InterfaceGuid": "{g}",
    "Addresses": ["192.0.2.10/24"],
    "HasDefaultRoute": True,
    "LinkSpeed": "1 Gbps",
}


def test_the_host() -> None:
    seen = parse.host_facts(
        host_row(
            MemoryTotalBytes=2**36,
            TimeUtc="2026-03-01T12:30:15.1234567Z",
            DiskFolder=None,
            Volumes=json.dumps([{"Root": "C:\\", "SizeBytes": 2**40, "FreeBytes": 2**39}]),
            Adapters=json.dumps([ADAPTER]),
        )
    )
    assert seen.memory_total_bytes == 2**36
    assert seen.time_utc == datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC), (
        "seven digits, as PowerShell writes them"
    )
    assert seen.disk_folder == "", "null where Hyper-V is not installed"
    assert seen.volumes == (VolumeFacts(root="C:\\", size_bytes=2**40, free_bytes=2**39),)
    assert seen.adapters == (
        AdapterFacts(
            name="Ethernet",
            description="Intel",
            status="Up",
            media="802.3",
            addresses=("192.0.2.10/24",),
            has_default_route=True,
            link_speed="1 Gbps",
        ),
    )


def test_a_vm() -> None:
    drive = {"Kind": "disk", "Path": "d", "ControllerNumber": 0, "ControllerLocation": 1, "SizeBytes": 5}
    mark = "provision/1 cluster=c machine=m"
    seen = parse.vm_facts(
        vm_row("a", MemoryBytes=4 * 2**30, VlanId=0, Mark=mark, Notes=f"mine\r\n{mark}", Drives=json.dumps([drive])),
        "f",
    )
    assert seen.memory_mib == 4096
    assert seen.vlan is None
    assert seen.mark == Mark(cluster_id="c", machine="m")
    assert seen.drives == (DriveFacts(kind="disk", path="d", size_bytes=5),)


def test_a_disk_whose_file_is_gone() -> None:
    drive = {"Kind": "disk", "Path": "d", "ControllerNumber": 0, "ControllerLocation": 0, "SizeBytes": 0}
    seen = parse.vm_facts(vm_row("a", Drives=json.dumps([drive | {"FileBytes": 0, "Exists": False}])), "f")
    assert (seen.drives[0].file_bytes, seen.drives[0].exists) == (0, False)
    seen = parse.vm_facts(vm_row("a", Drives=json.dumps([drive | {"FileBytes": 7, "Exists": True}])), "f")
    assert (seen.drives[0].file_bytes, seen.drives[0].exists) == (7, True)


def test_a_switch_without_a_job_and_with_one() -> None:
    assert parse.switch_facts(row("TalosHyperV.Switch", Name="LAB"), "f").job is None
    job = parse.switch_facts(
        row("TalosHyperV.Switch", JobId="j", JobKind="New", JobState="Running", JobStartedUtc="2026-03-01T12:30:15Z"),
        "f",
    ).job
    assert job is not None
    assert (job.kind, job.state) == ("New", "Running")


def test_a_screen() -> None:
    values = row("TalosHyperV.Console", Id="a", Width=2, Height=1, Pixels=base64.b64encode(b"abcd").decode())
    assert parse.console_facts(values).pixels == b"abcd"


@pytest.mark.parametrize(
    ("change", "field", "came", "expected"),
    [
        ({"Cpus": None}, "Cpus", "nothing", "a whole number"),
        ({"Cpus": True}, "Cpus", "true", "a whole number"),
        ({"Cpus": 2**64}, "Cpus", "a large number", "a whole number"),
        ({"Name": 5}, "Name", "the number 5", "a text"),
        ({"Name": "n" * 5_000}, "Name", '"nnn', "a text of at most 4,096 characters"),
        ({"SecureBoot": "yes"}, "SecureBoot", '"yes"', "true or false"),
        ({"BootOrder": "disk"}, "BootOrder", '"disk"', "a list of texts"),
        ({"Drives": "{"}, "Drives", '"{"', "JSON"),
        ({"Drives": "[" * 150_000}, "Drives", '"[[[', "JSON"),
        ({"Drives": '{"Kind": "disk"}'}, "Drives", '"{"Kind": "disk"}"', "a JSON list of objects"),
        ({"Drives": '[{"Kind": "disk"}]'}, "Drives[0].Path", "nothing", "a value"),
    ],
)
def test_a_malformed_field_is_named(change: dict[str, Any], field: str, came: str, expected: str) -> None:
    with pytest.raises(Malformed, match="as the module TalosHyperV") as caught:
        parse.vm_facts(vm_row("a") | change, "Get-TalosVM")
    assert re.search(
        rf"Get-TalosVM wrote {re.escape(came)}.* in {re.escape(field)}, where {expected} is due", str(caught.value)
    )
    assert len(str(caught.value)) < 300


def test_a_missing_field_is_named() -> None:
    values = vm_row("a")
    del values["Heartbeat"]
    with pytest.raises(Malformed, match="Heartbeat"):
        parse.vm_facts(values, "Get-TalosVM")


@pytest.mark.parametrize("text", ["", "gestern", "2026-03-01T12:30:15", "0001-01-01T00:00:00+14:00"])
def test_a_time_must_say_where_it_counts_from(text: str) -> None:
    with pytest.raises(Malformed, match="TimeUtc"):
        parse.host_facts(host_row(TimeUtc=text))


def test_a_broken_picture_is_named_and_not_printed() -> None:
    with pytest.raises(Malformed, match="Pixels") as caught:
        parse.console_facts(row("TalosHyperV.Console", Pixels="!" * 5000))
    assert len(str(caught.value)) < 300
