"""The host's flat results as facts of the model. Anything missing or misshapen is an error that names function and field."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from provisioner.errors import Malformed
from provisioner.hyperv.module import MODULE
from provisioner.model.facts import (
    AdapterFacts,
    ConsoleFacts,
    DriveFacts,
    FolderFacts,
    HostFacts,
    ImageFacts,
    NeighborFacts,
    SwitchFacts,
    SwitchJobFacts,
    VmFacts,
    VolumeFacts,
)
from provisioner.model.naming import Mark, find_mark
from provisioner.model.units import MIB
from provisioner.wire import clipped, shown

_TEXT_CHARS = 4_096
"""Of one field: names are shorter, and so are paths."""
_LONG_CHARS = 200_000
"""Of notes, of words for people, and of what comes as JSON: adapters, volumes, drives."""


@dataclass(frozen=True)
class _Fields:
    """One result (or one object of its JSON fields), read field by field with the type that the contract gives."""

    values: Mapping[str, Any]
    function: str
    within: str = ""

    def text(self, name: str, *, most: int = _TEXT_CHARS) -> str:
        """$null reads as empty: what does not apply, or what Hyper-V would tell where it is not installed."""
        value = self._value(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        if len(value) > most:
            raise self._wrong(name, f"a text of at most {most:,} characters", value)
        return value

    def words(self, name: str) -> str:
        """A text for people, cut where it is too long for them."""
        return clipped(self.text(name, most=_LONG_CHARS))

    def number(self, name: str) -> int:
        value = self._value(name)
        if type(value) is not int or not -(2**63) <= value < 2**63:
            raise self._wrong(name, "a whole number", value)
        return value

    def flag(self, name: str) -> bool:
        value = self._value(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._value(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(name, "a list of texts", value)
        return tuple(value)

    def mark(self, name: str) -> Mark:
        found = find_mark(self.text(name))
        if found is None:
            raise self._wrong(name, "a mark", self.text(name))
        return found

    def moment(self, name: str) -> datetime:
        """ISO 8601 in UTC."""
        text = self.text(name)
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise self._wrong(name, "a time in UTC", text)

    def moment_or_none(self, name: str) -> datetime | None:
        return self.moment(name) if self.text(name) else None

    def objects(self, name: str) -> tuple[_Fields, ...]:
        """A JSON text with a list of objects."""
        text = self.text(name, most=_LONG_CHARS)
        try:
            found = json.loads(text) if text else []
        except (ValueError, RecursionError):
            raise self._wrong(name, "JSON", text) from None
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self._wrong(name, "a JSON list of objects", text)
        return tuple(_Fields(item, self.function, f"{self.within}{name}[{at}].") for at, item in enumerate(found))

    def binary(self, name: str) -> bytes:
        value = self._value(name)  # longer than any text
        if value is None:
            return b""
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise self._wrong(name, "base64", value) from None

    def _value(self, name: str) -> Any:
        if name not in self.values:
            raise self._wrong(name, "a value", None)
        return self.values[name]

    def _wrong(self, name: str, expected: str, seen: Any) -> Malformed:
        came = f"{self.function} wrote {shown(seen)} in {self.within}{name}, where {expected} is due"
        return Malformed(came, expected=MODULE)


def host_facts(values: Mapping[str, Any]) -> HostFacts:
    got = _Fields(values, "Get-TalosHost")
    return HostFacts(
        computer_name=got.text("ComputerName"),
        os_caption=got.text("OSCaption"),
        os_build=got.text("OSBuild"),
        is_server=got.flag("IsServer"),
        ps_version=got.text("PSVersion"),
        ps_edition=got.text("PSEdition"),
        module_version=got.text("ModuleVersion"),
        language_mode=got.text("LanguageMode"),
        hyperv_module=got.flag("HyperVModule"),
        hypervisor_present=got.flag("HypervisorPresent"),
        vmms_status=got.text("VmmsStatus"),
        is_administrator=got.flag("IsAdministrator"),
        is_hyperv_administrator=got.flag("IsHyperVAdministrator"),
        processors=got.number("Processors"),
        memory_total_bytes=got.number("MemoryTotalBytes"),
        memory_free_bytes=got.number("MemoryFreeBytes"),
        time_utc=got.moment("TimeUtc"),
        booted_utc=got.moment("BootedUtc"),
        disk_folder=got.text("DiskFolder"),
        image_folder=got.text("ImageFolder"),
        volumes=tuple(
            VolumeFacts(
                root=item.text("Root"), size_bytes=item.number("SizeBytes"), free_bytes=item.number("FreeBytes")
            )
            for item in got.objects("Volumes")
        ),
        adapters=tuple(
            AdapterFacts(
                name=item.text("Name"),
                description=item.text("Description"),
                mac=item.text("MacAddress"),
                status=item.text("Status"),
                media=item.text("Media"),
                interface_guid=item.text("InterfaceGuid"),
                addresses=item.texts("Addresses"),
                has_default_route=item.flag("HasDefaultRoute"),
                link_speed=item.text("LinkSpeed"),
            )
            for item in got.objects("Adapters")
        ),
    )


def switch_facts(values: Mapping[str, Any], function: str) -> SwitchFacts:
    got = _Fields(values, function)
    return SwitchFacts(
        name=got.text("Name"),
        exists=got.flag("Exists"),
        id=got.text("Id"),
        kind=got.text("Kind"),
        adapter=got.text("Adapter"),
        adapter_description=got.text("AdapterDescription"),
        allow_management_os=got.flag("AllowManagementOS"),
        mark=find_mark(got.text("Notes", most=_LONG_CHARS)),
        addresses=got.texts("Addresses"),
        gateway=got.text("Gateway"),
        dns_servers=got.texts("DnsServers"),
        network_category=got.text("NetworkCategory"),
        vm_names=got.texts("VMNames"),
        job=switch_job_facts(values, function) if got.text("JobId") else None,
    )


def switch_job_facts(values: Mapping[str, Any], function: str) -> SwitchJobFacts:
    got = _Fields(values, function)
    return SwitchJobFacts(
        id=got.text("JobId"),
        kind=got.text("JobKind"),
        state=got.text("JobState"),
        error_id=got.text("JobErrorId"),
        message=got.words("JobMessage"),
        started_utc=got.moment_or_none("JobStartedUtc"),
        ended_utc=got.moment_or_none("JobEndedUtc"),
    )


def image_facts(values: Mapping[str, Any], function: str) -> ImageFacts:
    got = _Fields(values, function)
    return ImageFacts(
        path=got.text("Path"),
        exists=got.flag("Exists"),
        size_bytes=got.number("SizeBytes"),
        sha256=got.text("Sha256"),
        ours=got.flag("Ours"),
        url=got.text("Uri"),
        download=got.text("Download"),
        vm_names=got.texts("VMNames"),
    )


def vm_facts(values: Mapping[str, Any], function: str) -> VmFacts:
    got = _Fields(values, function)
    return VmFacts(
        id=got.text("Id"),
        name=got.text("Name"),
        state=got.text("State"),
        generation=got.number("Generation"),
        cpus=got.number("Cpus"),
        memory_mib=got.number("MemoryBytes") // MIB,
        dynamic_memory=got.flag("DynamicMemory"),
        mac=got.text("MacAddress"),
        static_mac=got.flag("StaticMac"),
        switch=got.text("Switch"),
        vlan=got.number("VlanId") or None,
        connected=got.flag("Connected"),
        addresses=got.texts("Addresses"),
        drives=tuple(
            DriveFacts(
                kind=item.text("Kind"),
                path=item.text("Path"),
                controller_number=item.number("ControllerNumber"),
                controller_location=item.number("ControllerLocation"),
                size_bytes=item.number("SizeBytes"),
                file_bytes=item.number("FileBytes") if "FileBytes" in item.values else None,
                exists=item.flag("Exists") if "Exists" in item.values else True,
            )
            for item in got.objects("Drives")
        ),
        boot_order=got.texts("BootOrder"),
        secure_boot=got.flag("SecureBoot"),
        automatic_checkpoints=got.flag("AutomaticCheckpoints"),
        checkpoint_type=got.text("CheckpointType"),
        start_action=got.text("StartAction"),
        stop_action=got.text("StopAction"),
        start_delay_s=got.number("StartDelaySeconds"),
        heartbeat=got.text("Heartbeat"),
        uptime_s=got.number("UptimeSeconds"),
        bios_uuid=got.text("BiosUuid"),
        notes=got.text("Notes", most=_LONG_CHARS),
        mark=find_mark(got.text("Mark")),
        folder=got.text("Folder"),
        complete=got.flag("Complete"),
    )


def folder_facts(values: Mapping[str, Any]) -> FolderFacts:
    got = _Fields(values, "Get-TalosFolder")
    return FolderFacts(
        path=got.text("Path"), mark=got.mark("Mark"), vm_id=got.text("VMId"), disk_bytes=got.number("DiskBytes")
    )


def neighbor_facts(values: Mapping[str, Any]) -> NeighborFacts:
    got = _Fields(values, "Get-TalosNeighbor")
    return NeighborFacts(mac=got.text("MacAddress"), address=got.text("IPAddress"), state=got.text("State"))


def console_facts(values: Mapping[str, Any]) -> ConsoleFacts:
    got = _Fields(values, "Get-TalosConsole")
    return ConsoleFacts(
        vm_id=got.text("Id"), width=got.number("Width"), height=got.number("Height"), pixels=got.binary("Pixels")
    )
