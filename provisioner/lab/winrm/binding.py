"""How PowerShell binds the parameters of a call that names them in full, with values of the contract's own types.

What no client of the module sends is refused: positions, abbreviations and aliases of names, conversions between types. Ids, categories
and exceptions of refusals are those of the engine: tests/lab/winrm/test_binding.py asks it the same questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.lab.functions.api import ErrorRecord, Parameter, Terminating
from provisioner.lab.winrm.values import INT32

ACTIONS = ("SilentlyContinue", "Stop", "Continue", "Inquire", "Ignore", "Suspend")
"""Of ActionPreference."""
UNSUPPORTED = frozenset(
    {
        *("verbose", "debug", "warningaction", "informationaction", "errorvariable", "warningvariable"),
        *("informationvariable", "outvariable", "outbuffer", "pipelinevariable", "confirm"),
    }
)
"""Common parameters of every advanced function that the lab does not model."""

_NET_NAMES = {
    "string": "System.String",
    "bool": "System.Boolean",
    "switch": "System.Management.Automation.SwitchParameter",
    "int32": "System.Int32",
    "int64": "System.Int64",
    "string[]": "System.String[]",
}
_TYPES: dict[str, type] = {"string": str, "bool": bool, "switch": bool, "int32": int, "int64": int}
_RANGES = {"int32": INT32, "int64": range(-(2**63), 2**63)}
_NOTHING: dict[str, Any] = {"string": "", "switch": False, "int32": 0, "int64": 0, "string[]": None}
"""What $null becomes."""
_BINDING = "System.Management.Automation.ParameterBindingException"
_TRANSFORMATION = "System.Management.Automation.ParameterBindingArgumentTransformationException"
_VALIDATION = "System.Management.Automation.ParameterBindingValidationException"


@dataclass
class Bound:
    """Arguments by the contract's spelling, switches and defaults filled in; and the common parameters that matter."""

    arguments: dict[str, Any] = field(default_factory=dict)
    error_action: str = "Continue"
    what_if: bool = False


def bind(parameters: Sequence[Parameter], given: Iterable[tuple[str | None, Any]], *, should_process: bool) -> Bound:
    """`given` holds names, in any case, and plain values. Raises Terminating with the binder's own error."""
    own = {parameter.name.lower(): parameter for parameter in parameters}
    bound = Bound()
    for name, value in given:
        key = (name or "").lower()
        if name is None:
            raise _unsupported("arguments by position")
        if key == "erroraction":
            bound.error_action = _action(name, value)
        elif key == "whatif" and should_process:
            bound.what_if = _convert(Parameter(name=name, type="switch"), value)
        else:
            parameter = _find(own, name)
            if parameter.name in bound.arguments:
                text = f"Cannot bind parameter because parameter '{name}' is specified more than once."
                raise _error("ParameterAlreadyBound", text)
            bound.arguments[parameter.name] = _argument(parameter, value)
    bound.arguments = _defaults(parameters, bound.arguments) | bound.arguments
    return bound


def _defaults(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    missing = [each.name for each in parameters if each.mandatory and each.name not in given]
    if missing:
        text = "Cannot process command because of one or more missing mandatory parameters"
        raise _error("MissingMandatoryParameter", f"{text}: {' '.join(missing)}.")
    defaults = {each.name: False if each.type == "switch" else each.default for each in parameters}
    return {name: value for name, value in defaults.items() if value is not None}


def _find(own: Mapping[str, Parameter], name: str) -> Parameter:
    if name.lower() in UNSUPPORTED:
        raise _unsupported(f"the common parameter '{name}'")
    found = own.get(name.lower())
    if found is None:
        raise _error("NamedParameterNotFound", f"A parameter cannot be found that matches parameter name '{name}'.")
    return found


def _argument(parameter: Parameter, value: Any) -> Any:
    converted = _convert(parameter, value)
    if parameter.mandatory:
        _check_mandatory(parameter.name, converted)
    return converted


def _convert(parameter: Parameter, value: Any) -> Any:
    """A value of the parameter's type; one string stands for an array of it, and $null for the type's own nothing."""
    kind = parameter.type
    if value is None and kind in _NOTHING:
        return _NOTHING[kind]
    items = value if isinstance(value, list) else [value]
    if kind == "string[]" and all(isinstance(item, str | None) for item in items):
        return [item or "" for item in items]
    if type(value) is _TYPES.get(kind) and (type(value) is not int or value in _RANGES[kind]):
        return value
    text = f'Cannot convert value "{value}" to type "{_NET_NAMES[kind]}".'
    raise _error(
        "ParameterArgumentTransformationError",
        f"Cannot process argument transformation on parameter '{parameter.name}'. {text}",
        "InvalidData",
        _TRANSFORMATION,
    )


def _action(name: str, value: Any) -> str:
    found = next((each for each in ACTIONS if isinstance(value, str) and each.lower() == value.lower()), None)
    if found is None:
        raise _error("CannotConvertArgumentNoMessage", f"Cannot bind parameter '{name}': there is no action '{value}'.")
    return found


def _check_mandatory(name: str, value: Any) -> None:
    """A mandatory parameter takes nothing empty, nor anything empty inside a list."""
    empty = ""
    if value is None:
        empty = "Null"
    elif value == "" or (isinstance(value, list) and "" in value):
        empty = "EmptyString"
    elif value == []:
        empty = "EmptyArray"
    if empty:
        words = {"Null": "it is null", "EmptyString": "it is an empty string", "EmptyArray": "it is an empty array"}
        raise _error(
            f"ParameterArgumentValidationError{empty}NotAllowed",
            f"Cannot bind argument to parameter '{name}' because {words[empty]}.",
            "InvalidData",
            _VALIDATION,
        )


def _unsupported(what: str) -> Terminating:
    return _error("LabNotModelled", f"The lab's own runspace does not know {what}.", "NotImplemented")


def _error(id: str, message: str, category: str = "InvalidArgument", exception: str = _BINDING) -> Terminating:
    return Terminating(ErrorRecord(id=id, category=category, message=message, exception=exception))
