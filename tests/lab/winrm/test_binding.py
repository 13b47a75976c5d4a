"""The lab's binder and PowerShell's own get the same arguments: the same answer, or the same error.

The engine's side of each case runs a function with the param block that the contract's parameters stand for, behind the same endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.serializer import TaggedValue

from provisioner.lab.functions.api import Parameter, Terminating
from provisioner.lab.winrm import WinRmEndpoint
from provisioner.lab.winrm.binding import bind
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import Account, State, WindowsHost
from tests.engine.bridge import Engines
from tests.engine.process import EngineSpec
from tests.lab.winrm.doubles import PARAMETERS, PASSWORD, USER, TableOfFunctions, load, wsman
from tests.lab.world.hand import HandClock

TYPES = {
    "switch": "switch",
    "int32": "int",
    "int64": "long",
    "string": "string",
    "string[]": "string[]",
    "bool": "bool",
}

GOOD: dict[str, dict[str, Any]] = {
    "case of a name does not matter": {"tExT": "x"},
    "a number": {"Text": "x", "Count": 12},
    "nothing as a number": {"Text": "x", "Count": None},
    "a 64-bit number": {"Text": "x", "Bytes": TaggedValue("I64", 1 << 40)},
    "an array": {"Text": "x", "Names": ["a", "b"]},
    "one text as an array": {"Text": "x", "Names": "a"},
    "an empty array that need not be there": {"Text": "x", "Names": []},
    "nothing as an array": {"Text": "x", "Names": None},
    "nothing in an array": {"Text": "x", "Names": ["a", None]},
    "a boolean": {"Text": "x", "Flag": True},
    "a switch on": {"Text": "x", "Force": True},
    "a switch off": {"Text": "x", "Force": False},
    "a switch that is given nothing": {"Text": "x", "Force": None},
    "an action": {"Text": "x", "ErrorAction": "stop"},
}
BAD: dict[str, dict[str, Any]] = {
    "bytes as text": {"Text": b"\x01\xff"},
    "no such parameter": {"Text": "x", "Nome": 1},
    "no such parameter, beside a missing one": {"Nome": 1},
    "twice": {"Text": "x", "TEXT": "y"},
    "missing": {"Count": 1},
    "empty but mandatory": {"Text": ""},
    "nothing but mandatory": {"Text": None},
    "a number as a switch": {"Text": "x", "Force": 1},
    "words as a number": {"Text": "x", "Count": "many"},
    "too large": {"Text": "x", "Count": TaggedValue("I64", 1 << 40)},
    "an array as a number": {"Text": "x", "Count": [1, 2]},
    "text as a boolean": {"Text": "x", "Flag": "true"},
    "nothing as a boolean": {"Text": "x", "Flag": None},
    "text as a switch": {"Text": "x", "Force": "true"},
    "no such action": {"Text": "x", "ErrorAction": "Perhaps"},
    "what-if of a function that changes nothing": {"Text": "x", "WhatIf": True},
}
STRICTER: dict[str, tuple[dict[str, Any], str]] = {
    "a beginning of a name": ({"Te": "x"}, "NamedParameterNotFound"),
    "an alias": ({"Text": "x", "ea": "Stop"}, "NamedParameterNotFound"),
    "an action by number": ({"Text": "x", "ErrorAction": 1}, "CannotConvertArgumentNoMessage"),
    "a common parameter": ({"Text": "x", "Verbose": True}, "LabNotModelled"),
    "a number as text": ({"Text": 5}, "ParameterArgumentTransformationError"),
    "a table as text": ({"Text": {"a": 1}}, "ParameterArgumentTransformationError"),
    "text as a number": ({"Text": "x", "Count": "12"}, "ParameterArgumentTransformationError"),
    "a boolean as a number": ({"Text": "x", "Count": True}, "ParameterArgumentTransformationError"),
    "a float as a number": ({"Text": "x", "Count": TaggedValue("Db", 3.5)}, "ParameterArgumentTransformationError"),
    "a number in an array": ({"Text": "x", "Names": ["a", 1]}, "ParameterArgumentTransformationError"),
    "a number as a boolean": ({"Text": "x", "Flag": 0}, "ParameterArgumentTransformationError"),
}
"""What PowerShell would bind, and the lab refuses: no client of the module sends it."""
ITEMS_BAD: dict[str, dict[str, Any]] = {
    "an empty array but mandatory": {"Id": []},
    "nothing in place of an array": {"Id": None},
    "something empty in it": {"Id": ["a", ""]},
    "nothing in it": {"Id": ["a", None]},
}


def block(name: str) -> str:
    """A function that says what it was given, as the lab's table says it."""
    parts = []
    for parameter in PARAMETERS[name]:
        mandatory = "[Parameter(Mandatory)]" if parameter.mandatory else ""
        default = f" = {parameter.default}" if parameter.default is not None else ""
        parts.append(f"{mandatory}[{TYPES[parameter.type]}]${parameter.name}{default}")
    names = ", ".join(f"'{parameter.name}'" for parameter in PARAMETERS[name])
    return (
        f"function {name} {{ [CmdletBinding()] param({', '.join(parts)})\n"
        f"$given = [ordered]@{{}}; foreach ($n in {names}) {{ $given[$n] = (Get-Variable -Name $n).Value }}\n"
        "foreach ($n in 'Force') { if ($given.Contains($n)) { $given[$n] = [bool]$given[$n] } }\n"
        "[pscustomobject]$given }\n"
    )


@pytest.fixture(scope="module")
def engine_endpoint(pwsh: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WinRmEndpoint]:
    home = tmp_path_factory.mktemp("engine")
    state = State(host=WindowsHost(name="HV01", address="192.0.2.10"), accounts=[Account(USER, PASSWORD)])
    spec = EngineSpec([pwsh], {"HOME": str(home), "PATH": "/usr/bin:/bin"})
    kernel = Kernel(state, HandClock())
    made = WinRmEndpoint(kernel, TableOfFunctions(), home / "winrm", shells=Engines(spec, kernel))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def genuine(engine_endpoint: WinRmEndpoint) -> Iterator[RunspacePool]:
    """One engine for all cases: none of them leaves anything behind."""
    with wsman(engine_endpoint) as client, RunspacePool(client) as pool:
        assert not load(pool, "\n".join(map(block, ("Get-TalosEcho", "Get-TalosItems")))).had_errors
        yield pool


@pytest.fixture(scope="module")
def own(engine_endpoint: WinRmEndpoint) -> Iterator[RunspacePool]:
    """The lab's own runspace: the restricted configuration has one beside any engine."""
    with wsman(engine_endpoint) as client, RunspacePool(client, configuration_name="TalosHyperV") as pool:
        yield pool


def answer(pool: RunspacePool, name: str, given: dict[str, Any]) -> Any:
    with PowerShell(pool) as shell:
        results = shell.add_cmdlet(name).add_parameters(given).invoke()
        if shell.streams.error:
            error = shell.streams.error[0]
            assert error.category is not None
            assert error.exception is not None
            return error.fq_error, int(error.category), error.exception.types[0]
        fields = dict(results[0].extended_properties)
        return {key: fields.get(key) for key in ("Text", "Names", "Count", "Bytes", "Flag", "Force")}


def filled(fields: dict[str, Any]) -> dict[str, Any]:
    """The lab's functions see what is missing as missing; a function of PowerShell sees the type's own nothing."""
    nothing = {"Bytes": 0, "Flag": False}
    return {key: nothing.get(key) if value is None else value for key, value in fields.items()}


@pytest.mark.parametrize("case", GOOD)
def test_good_arguments(case: str, own: RunspacePool, genuine: RunspacePool) -> None:
    expected = answer(genuine, "Get-TalosEcho", GOOD[case])
    assert isinstance(expected, dict), expected
    assert filled(answer(own, "Get-TalosEcho", GOOD[case])) == filled(expected)


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case: str, own: RunspacePool, genuine: RunspacePool) -> None:
    expected = answer(genuine, "Get-TalosEcho", BAD[case])
    assert isinstance(expected, tuple)
    assert answer(own, "Get-TalosEcho", BAD[case]) == expected


@pytest.mark.parametrize("case", ITEMS_BAD)
def test_bad_arrays(case: str, own: RunspacePool, genuine: RunspacePool) -> None:
    expected = answer(genuine, "Get-TalosItems", ITEMS_BAD[case])
    assert isinstance(expected, tuple)
    assert answer(own, "Get-TalosItems", ITEMS_BAD[case]) == expected


@pytest.mark.parametrize("case", STRICTER)
def test_what_the_lab_does_not_bind_it_refuses(case: str, own: RunspacePool) -> None:
    given, expected = STRICTER[case]
    assert answer(own, "Get-TalosEcho", given)[0] == f"{expected},Get-TalosEcho"


def test_arguments_by_position_are_refused(own: RunspacePool) -> None:
    with PowerShell(own) as shell:
        assert shell.add_cmdlet("Get-TalosEcho").add_argument("x").invoke() == []
        assert shell.streams.error[0].fq_error == "LabNotModelled,Get-TalosEcho"


def test_an_unknown_command(own: RunspacePool, genuine: RunspacePool) -> None:
    assert answer(own, "Get-Nothing", {}) == answer(genuine, "Get-Nothing", {})


@pytest.mark.parametrize("value", ["", 0, False])
def test_defaults_that_are_empty_are_filled_in(value: Any) -> None:
    parameter = Parameter(name="Path", type="string", default=value)
    assert bind([parameter], [], should_process=False).arguments == {"Path": value}


def test_a_missing_parameter_is_named() -> None:
    refuse: Callable[[], Any] = lambda: bind(PARAMETERS["Get-TalosEcho"], [], should_process=False)  # noqa: E731
    with pytest.raises(Terminating, match="mandatory parameters: Text"):
        refuse()
