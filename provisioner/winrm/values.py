"""Values on their way to the host and back: a whitelist in each direction, so that nothing is converted by chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pypsrp.complex_objects import GenericComplexObject
from pypsrp.serializer import TaggedValue

from provisioner.errors import Malformed
from provisioner.winrm.transport import Int64
from provisioner.wire import shown

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)


def to_ps(value: Any) -> Any:
    """The value as pypsrp sends it with the right type. pypsrp sends every int as Int32, whatever its size, and fails on
    tuples; `None` as a switch would count as given. Raises TypeError and ValueError for what the contract has no type for.
    """
    if isinstance(value, Int64):
        return TaggedValue("I64", _within(value.value, _INT64))
    if type(value) in (str, bool):
        return value
    if type(value) is int:
        return value if value in _INT32 else TaggedValue("I64", _within(value, _INT64))
    if isinstance(value, list | tuple):
        return [to_ps(item) for item in value]
    raise TypeError(f"a host function takes no {type(value).__name__}")


def from_ps(value: Any, function: str, *, expected: str) -> tuple[str, Mapping[str, Any]]:
    """PSTypeName and fields of a result object. Raises Malformed for anything that is not one."""
    if not isinstance(value, GenericComplexObject) or not value.types:
        raise Malformed(f"{function} wrote {shown(value)} where an object is due", expected=expected)
    return str(value.types[0]).removeprefix("Deserialized."), dict(value.extended_properties)


def _within(value: int, bounds: range) -> int:
    if value not in bounds:
        raise ValueError(f"{value} does not fit into {bounds.stop.bit_length()} bits")
    return value
