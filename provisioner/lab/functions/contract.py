"""The contract as the lab's functions need it, read from the one file that says it (powershell/TalosHyperV/contract.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from provisioner.data import data_folder
from provisioner.lab.functions.api import Function, Parameter

_EMPTY: dict[str, Any] = {"bool": False, "int32": 0, "int64": 0, "string[]": []}


@dataclass(frozen=True)
class Contract:
    module_version: str
    functions: Mapping[str, Function]
    """By name, in the contract's order."""


@cache
def contract() -> Contract:
    text = (data_folder("powershell") / "TalosHyperV" / "contract.yaml").read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    functions = {
        name: Function(
            name=name,
            parameters=tuple(Parameter(**parameter) for parameter in row["parameters"]),
            output=row["output"],
            fields=data["types"][row["output"]],
            changes=row["kind"] == "change",
        )
        for name, row in data["functions"].items()
    }
    return Contract(str(data["module_version"]), functions)


def empty_result(function: str) -> dict[str, Any]:
    """A result of that function, each field the nothing of its type."""
    return {field: _EMPTY.get(kind, "") for field, kind in contract().functions[function].fields.items()}
