"""Values and records between PSRP and plain Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psrpcore import types as ps

from provisioner.lab.functions.api import ErrorRecord


@dataclass(frozen=True)
class Foreign:
    """A value of a type that no parameter of the contract takes."""

    type_name: str


_SCALARS: dict[type, type] = {bool: bool, bytes: bytes, str: str, int: int, float: float}


def plain(value: Any) -> Any:
    """None, bool, bytes, str, int, float and list as Python's own, without what psrpcore adds; all others are Foreign."""
    if value is None:
        return None
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, ps.PSSecureString | ps.PSEnumBase | ps.PSChar):
        for kind, make in _SCALARS.items():
            if isinstance(value, kind):
                return str.__str__(value) if kind is str else make(value)
    return Foreign(type(value).__name__)


INT32 = range(-(2**31), 2**31)


def custom_object(type_name: str, fields: Mapping[str, Any], types: Mapping[str, str]) -> ps.PSCustomObject:
    """A flat object as `[pscustomobject]@{PSTypeName = ...}` makes it. `types` are the contract's, by field."""
    made = ps.PSCustomObject(PSTypeName=type_name)
    for name, value in fields.items():
        member = ps.PSNoteProperty(name, _dressed(value, types.get(name, "")))
        made.PSObject.extended_properties.append(member)
    return made


def _dressed(value: Any, kind: str) -> Any:
    """An int of no known type is an Int32 where it fits, as PowerShell's own numbers are."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return ps.PSInt64(value) if kind == "int64" or value not in INT32 else ps.PSInt(value)
    if isinstance(value, str):
        return ps.PSString(value)
    if isinstance(value, list):
        return ps.PSList([_dressed(item, "") for item in value])
    raise TypeError(f"a result holds a {type(value).__name__}: the contract has no such type")


_BASES = {
    "System.Management.Automation.RuntimeException": ["System.SystemException", "System.Exception", "System.Object"],
}


def ps_exception(record: ErrorRecord) -> ps.NETException:
    made = ps.NETException(Message=record.message, HResult=-2146233087)
    made.PSObject.type_names = [
        record.exception,
        *_BASES.get(record.exception, ["System.Exception", "System.Object"]),
    ]
    made.PSObject.to_string = f"{record.exception}: {record.message}"
    return made


def ps_error(record: ErrorRecord, function: str) -> ps.ErrorRecord:
    """`function` is what PowerShell appends to the id; empty for errors that no function wrote."""
    made = ps.ErrorRecord(
        Exception=ps_exception(record),
        CategoryInfo=ps.ErrorCategoryInfo(
            Category=ps.ErrorCategory[record.category],
            Activity=function,
            Reason=record.exception.rsplit(".", 1)[-1],
            TargetName=record.target,
            TargetType="String" if record.target else "",
        ),
        TargetObject=record.target or None,
        FullyQualifiedErrorId=f"{record.id},{function}" if function else record.id,
    )
    made.PSObject.to_string = record.message  # psrpcore leaves ToString out, and clients show nothing else
    return made


def ps_warning(text: str) -> ps.WarningRecord:
    made = ps.WarningRecord(Message=text)
    made.PSObject.to_string = text
    made.serialize_extended_info = False
    return made
