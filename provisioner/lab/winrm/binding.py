"""How PowerShell binds parameters, as far as advanced functions with the contract's types need it.

Ids, categories and exceptions are those of the engine: tests/lab/winrm/test_binding.py asks the engine the same questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.lab.functions.api import ErrorRecord, Parameter, Terminating
from provisioner.lab.winrm.values import INT32, Foreign

INT64 = range(-(2**63), 2**63)

COMMON = {
    "verbose": "switch",
    "debug": "switch",
    "erroraction": "action",
    "warningaction": "action",
    "informationaction": "action",
    "errorvariable": "string",
    "warningvariable": "string",
    "informationvariable": "string",
    "outvariable": "string",
    "outbuffer": "int32",
    "pipelinevariable": "string",
}
"""Of every advanced function of Windows PowerShell 5.1."""
SHOULD_PROCESS = {"whatif": "switch", "confirm": "switch"}
ALIASES = {
    "vb": "verbose",
    "db": "debug",
    "ea": "erroraction",
    "wa": "warningaction",
    "infa": "informationaction",
    "ev": "errorvariable",
    "wv": "warningvariable",
    "iv": "informationvariable",
    "ov": "outvariable",
    "ob": "outbuffer",
    "pv": "pipelinevariable",
    "wi": "whatif",
    "cf": "confirm",
}
ACTIONS = ("SilentlyContinue", "Stop", "Continue", "Inquire", "Ignore", "Suspend")
"""ActionPreference by number."""

_NET_NAMES = {
    "string": "System.String",
    "bool": "System.Boolean",
    "switch": "System.Management.Automation.SwitchParameter",
    "int32": "System.Int32",
    "int64": "System.Int64",
    "string[]": "System.String[]",
    "action": "System.Management.Automation.ActionPreference",
}
_BINDING = "System.Management.Automation.ParameterBindingException"
_TRANSFORMATION = "System.Management.Automation.ParameterBindingArgumentTransformationException"
_VALIDATION = "System.Management.Automation.ParameterBindingValidationException"


@dataclass
class Bound:
    """Arguments by the contract's spelling, switches and defaults filled in; and the common parameters that matter."""

    arguments: dict[str, Any] = field(default_factory=dict)
    error_action: str = "Continue"
    warning_action: str = "Continue"
    what_if: bool = False


class Unconvertible(Exception):
    """No conversion of PowerShell leads from this value to that type."""


def bind(
    parameters: Sequence[Parameter],
    given: Iterable[tuple[str | None, Any]],
    *,
    should_process: bool,
) -> Bound:
    """`given` holds names (None: by position) and plain values. Raises Terminating with the binder's own error."""
    own = {parameter.name.lower(): parameter for parameter in parameters}
    common = {**COMMON, **(SHOULD_PROCESS if should_process else {})}
    named: dict[str, Any] = {}
    positional: list[Any] = []
    for name, value in given:
        if name is None:
            positional.append(value)
            continue
        key = _resolve(name, [*own, *common], should_process=should_process)
        if key in named:
            raise _error(
                "ParameterAlreadyBound",
                f"Cannot bind parameter because parameter '{name}' is specified more than once.",
            )
        named[key] = value
    for key, kind in common.items():
        if key in named:
            named[key] = _common(key, kind, named[key])
    bound = Bound(
        error_action=named.pop("erroraction", "Continue"),
        warning_action=named.pop("warningaction", "Continue"),
        what_if=named.pop("whatif", False),
    )
    for key in common:
        named.pop(key, None)
    arguments = {own[key].name: _argument(own[key], value) for key, value in named.items()}
    _by_position(parameters, positional, arguments)
    missing = [parameter.name for parameter in parameters if parameter.mandatory and parameter.name not in arguments]
    if missing:
        names = " ".join(missing)
        raise _error(
            "MissingMandatoryParameter",
            f"Cannot process command because of one or more missing mandatory parameters: {names}.",
        )
    for parameter in parameters:
        if parameter.name in arguments:
            bound.arguments[parameter.name] = arguments[parameter.name]
        elif parameter.type == "switch":
            bound.arguments[parameter.name] = False
        elif parameter.default is not None:
            bound.arguments[parameter.name] = parameter.default
    return bound


def _resolve(name: str, known: Sequence[str], *, should_process: bool) -> str:
    """A parameter's full name: by itself, by an alias of a common one, or by a beginning that no other shares."""
    key = name.lstrip("-").rstrip(":").lower()
    if key in known:
        return key
    if key in ALIASES and (should_process or ALIASES[key] not in SHOULD_PROCESS):
        return ALIASES[key]
    matches = [each for each in known if key and each.startswith(key)]
    own = [each for each in matches if each not in COMMON and each not in SHOULD_PROCESS]
    if len(matches) > 1 and len(own) == 1:
        matches = own
    if len(matches) > 1:
        raise _error(
            "AmbiguousParameter",
            f"Parameter cannot be processed because the parameter name '{name}' is ambiguous. Possible matches"
            f" include: {' '.join('-' + each for each in matches)}.",
        )
    if not matches:
        raise _error("NamedParameterNotFound", f"A parameter cannot be found that matches parameter name '{name}'.")
    return matches[0]


def _by_position(parameters: Sequence[Parameter], values: list[Any], arguments: dict[str, Any]) -> None:
    free = [each for each in parameters if each.type != "switch" and each.name not in arguments]
    for value in values:
        if not free:
            raise _error(
                "PositionalParameterNotFound",
                f"A positional parameter cannot be found that accepts argument '{value}'.",
            )
        parameter = free.pop(0)
        arguments[parameter.name] = _argument(parameter, value)


def _argument(parameter: Parameter, value: Any) -> Any:
    converted = _converted(parameter.name, parameter.type, value)
    if parameter.mandatory:
        _check_mandatory(parameter.name, converted)
    return converted


def _converted(name: str, kind: str, value: Any) -> Any:
    try:
        return convert(value, kind)
    except Unconvertible as error:
        raise _error(
            "ParameterArgumentTransformationError",
            f"Cannot process argument transformation on parameter '{name}'. {error}",
            "InvalidData",
            _TRANSFORMATION,
        ) from None


def _common(name: str, kind: str, value: Any) -> Any:
    """Common parameters are compiled ones: what does not convert has another id than with a function's own."""
    try:
        return convert(value, kind)
    except Unconvertible as error:
        message = f"Cannot bind parameter '{name}'. {error}"
        raise _error(
            "CannotConvertArgument" if kind == "switch" else "CannotConvertArgumentNoMessage", message
        ) from None


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


def _error(id: str, message: str, category: str = "InvalidArgument", exception: str = _BINDING) -> Terminating:
    return Terminating(ErrorRecord(id=id, category=category, message=message, exception=exception))


# -- conversions of LanguagePrimitives


def convert(value: Any, kind: str) -> Any:
    """A plain value as a type of the contract. Raises Unconvertible."""
    if kind == "string[]":
        return _strings(value)
    return {
        "string": _string,
        "bool": _bool,
        "switch": _switch,
        "int32": lambda each: _integer(each, "int32", INT32),
        "int64": lambda each: _integer(each, "int64", INT64),
        "action": _action,
    }[kind](value)


def _refuse(value: Any, kind: str) -> Unconvertible:
    return Unconvertible(f'Cannot convert value "{value}" to type "{_NET_NAMES[kind]}".')


def _string(value: Any) -> str:
    """Elements of an array are joined by a space; what is an array itself among them shows its type."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        raise _refuse(value, "string")
    if isinstance(value, list):
        return " ".join("System.Collections.ArrayList" if isinstance(each, list) else _string(each) for each in value)
    if isinstance(value, dict):
        return "System.Collections.Hashtable"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value)


def _strings(value: Any) -> list[str] | None:
    if value is None:
        return None
    return [_string(each) for each in value] if isinstance(value, list) else [_string(value)]


def _bool(value: Any) -> bool:
    if isinstance(value, bool | int | float):
        return bool(value)
    raise _refuse(value, "bool")


def _switch(value: Any) -> bool:
    """$null is off for a function (for a compiled cmdlet it is on: facts, section 12)."""
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _refuse(value, "switch")


_HEX = re.compile(r"[+-]?0x[0-9a-f]+", re.IGNORECASE)


def _integer(value: Any, kind: str, allowed: range) -> int:
    number: float | int
    if value is None:
        number = 0
    elif isinstance(value, bool | int | float):
        number = value
    elif isinstance(value, str):
        text = value.strip()
        try:
            number = (
                int(text, 16) if _HEX.fullmatch(text) else float(text) if set(text) & set(".eE") else int(text or "0")
            )
        except ValueError:
            raise _refuse(value, kind) from None
    else:
        raise _refuse(value, kind)
    try:
        whole = round(number)  # half to even, as .NET
    except (OverflowError, ValueError):
        raise _refuse(value, kind) from None
    if whole not in allowed:
        raise Unconvertible(
            f'Cannot convert value "{value}" to type "{_NET_NAMES[kind]}". Error: "Value was either too large or too'
            f' small for an {_NET_NAMES[kind].rsplit(".", 1)[-1]}."'
        )
    return int(whole)


def _action(value: Any) -> str:
    if isinstance(value, Foreign):
        value = value.text
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(ACTIONS):
        return ACTIONS[value]
    if isinstance(value, str):
        matches = [each for each in ACTIONS if value and each.lower().startswith(value.lower())]
        exact = [each for each in matches if each.lower() == value.lower()]
        if len(exact or matches) == 1:
            return (exact or matches)[0]
    raise _refuse(value, "action")
