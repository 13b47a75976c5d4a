"""The contract as the lab's functions need it, read from the one file that says it (powershell/TalosHyperV/contract.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from provisioner.data import data_folder
from provisioner.lab.functions.api import Parameter


@dataclass(frozen=True)
class FunctionRow:
    """One function of the contract."""

    name: str
    changes: bool
    parameters: tuple[Parameter, ...]
    output: str
    fields: Mapping[str, str]
    """Fields of a result in their order, with their types as the contract words them."""
    errors: frozenset[str]


@dataclass(frozen=True)
class Contract:
    module_version: str
    functions: Mapping[str, FunctionRow]
    """By lower-case name, in the contract's order."""


@cache
def contract() -> Contract:
    text = (data_folder("powershell") / "TalosHyperV" / "contract.yaml").read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    rows = [
        FunctionRow(
            name=name,
            changes=row["kind"] == "change",
            parameters=tuple(Parameter(**parameter) for parameter in row["parameters"]),
            output=row["output"],
            fields=data["types"][row["output"]],
            errors=frozenset(row["errors"]),
        )
        for name, row in data["functions"].items()
    ]
    return Contract(str(data["module_version"]), {row.name.lower(): row for row in rows})
