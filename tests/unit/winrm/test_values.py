"""Values on their way to the host and back."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pypsrp.complex_objects import GenericComplexObject
from pypsrp.serializer import TaggedValue

from provisioner.errors import Malformed
from provisioner.winrm.transport import Int64
from provisioner.winrm.values import from_ps, to_ps


def plain(value: Any) -> Any:
    if isinstance(value, TaggedValue):
        return (value.tag, value.value)
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("仮想", "仮想"),
        (True, True),
        (2**31 - 1, 2**31 - 1),
        (-(2**31), -(2**31)),
        (2**31, ("I64", 2**31)),
        (4 * 2**30, ("I64", 4 * 2**30)),
        (Int64(value=5), ("I64", 5)),
        (["a", "b"], ["a", "b"]),
        (("a",), ["a"]),
        ([2**40], [("I64", 2**40)]),
        ([], []),
    ],
)
def test_what_is_sent(value: Any, sent: Any) -> None:
    assert plain(to_ps(value)) == sent


@pytest.mark.parametrize(
    "value",
    [None, 1.5, b"x", {"a": 1}, {"a"}, Path("/"), datetime.now(UTC), uuid.uuid4()],
    ids=lambda v: type(v).__name__,
)
def test_what_the_contract_has_no_type_for_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        to_ps(value)


@pytest.mark.parametrize("value", [2**63, Int64(value=-(2**63) - 1)])
def test_what_does_not_fit_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        to_ps(value)


def test_a_result_is_its_type_and_fields() -> None:
    written = GenericComplexObject()
    written.types = ["Deserialized.TalosHyperV.VM", "System.Object"]
    written.extended_properties = {"Id": "a"}
    assert from_ps(written, "Get-TalosVM", expected="the module") == ("TalosHyperV.VM", {"Id": "a"})


@pytest.mark.parametrize("written", ["text", 3, {"a": 1}])
def test_anything_else_is_malformed(written: Any) -> None:
    with pytest.raises(Malformed, match=r"Get-TalosVM wrote .+ where an object is due"):
        from_ps(written, "Get-TalosVM", expected="the module")
