"""The host's flat results as facts of the model. Anything missing or misshapen is an error that names function and field."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

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

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
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


_READERS: Mapping[str, Callable[[_Fields, str], Any]] = {
    "str": _Fields.text,
    "int": _Fields.number,
    "bool": _Fields.flag,
    "bytes": _Fields.binary,
    "tuple[str, ...]": _Fields.texts,
    "datetime": _Fields.moment,
    "Mark": _Fields.mark,
}
"""By the type of the model's field, as it is written there."""
_WORDS = {"os": "OS", "ps": "PS", "vm": "VM", "hyperv": "HyperV"}
_NAMES = {
    "address": "IPAddress",
    "mac": "MacAddress",
    "start_delay_s": "StartDelaySeconds",
    "uptime_s": "UptimeSeconds",
    "url": "Uri",
}
"""Fields that the contract calls otherwise."""


def _contract_name(field: str) -> str:
    """`vm_names` -> `VMNames`."""
    return _NAMES.get(field) or "".join(_WORDS.get(word, word.capitalize()) for word in field.split("_"))


def _filled(kind: type[T], got: _Fields, *, prefix: str = "", **given: Any) -> T:
    """The model's record: all its fields but those given are read by the contract's names, with the reader of their types."""
    read = {
        each.name: _READERS[str(each.type)](got, prefix + _contract_name(each.name))
        for each in fields(kind)
        if each.name not in given
    }
    return kind(**read, **given)


def host_facts(values: Mapping[str, Any]) -> HostFacts:
    got = _Fields(values, "Get-TalosHost")
    return _filled(
        HostFacts,
        got,
        volumes=tuple(_filled(VolumeFacts, item) for item in got.objects("Volumes")),
        adapters=tuple(_filled(AdapterFacts, item) for item in got.objects("Adapters")),
    )


def switch_facts(values: Mapping[str, Any], function: str) -> SwitchFacts:
    got = _Fields(values, function)
    mark = find_mark(got.text("Notes", most=_LONG_CHARS))
    job = switch_job_facts(values, function) if got.text("JobId") else None
    return _filled(SwitchFacts, got, mark=mark, job=job)


def switch_job_facts(values: Mapping[str, Any], function: str) -> SwitchJobFacts:
    got = _Fields(values, function)
    return _filled(SwitchJobFacts, got, prefix="Job", message=got.words("JobMessage"))


def image_facts(values: Mapping[str, Any], function: str) -> ImageFacts:
    return _filled(ImageFacts, _Fields(values, function))


def vm_facts(values: Mapping[str, Any], function: str) -> VmFacts:
    got = _Fields(values, function)
    return _filled(
        VmFacts,
        got,
        memory_mib=got.number("MemoryBytes") // MIB,
        vlan=got.number("VlanId") or None,
        drives=tuple(map(_drive, got.objects("Drives"))),
        notes=got.text("Notes", most=_LONG_CHARS),
        mark=find_mark(got.text("Mark")),
    )


def _drive(item: _Fields) -> DriveFacts:
    return _filled(
        DriveFacts,
        item,
        file_bytes=item.number("FileBytes") if "FileBytes" in item.values else None,
        exists=item.flag("Exists") if "Exists" in item.values else True,
    )


def folder_facts(values: Mapping[str, Any]) -> FolderFacts:
    return _filled(FolderFacts, _Fields(values, "Get-TalosFolder"))


def neighbor_facts(values: Mapping[str, Any]) -> NeighborFacts:
    return _filled(NeighborFacts, _Fields(values, "Get-TalosNeighbor"))


def console_facts(values: Mapping[str, Any], function: str = "Get-TalosConsole") -> ConsoleFacts:
    return _filled(ConsoleFacts, _Fields(values, function))
