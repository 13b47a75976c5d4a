"""Each parameter set of each cmdlet is bound once: by its mandatory parameters, and by all it has."""

from __future__ import annotations

import pytest

from tests.engine.cmdlets.behaviours import Behaviour, Environment
from tests.engine.cmdlets.call import Call
from tests.engine.cmdlets.description import Cmdlet, CmdletParameter, description
from tests.lab.cmdlets.helpers import Engine
from tests.lab.world.hand import hand_world

BOUND: list[tuple[str, frozenset[str]]] = []


def note(call: Call, _around: Environment) -> None:
    BOUND.append((call.set_name, frozenset(call.arguments)))


@pytest.fixture(scope="module")
def binder(one_engine: Engine) -> Engine:
    """The engine with behaviours that only note what was bound."""
    every = frozenset(name for cmdlet in description().cmdlets.values() for name in cmdlet.parameters)
    noting = {name: Behaviour(note, every) for name in description().cmdlets}
    one_engine.stand_on(hand_world(), behaviours=noting)
    return one_engine


def value_of(parameter: CmdletParameter) -> str:
    """An argument of the parameter's type, as script."""
    if parameter.values:
        return f"'{parameter.values[-1]}'"
    name = parameter.type.rstrip("[]?")
    known = description()
    if name in known.enums:
        return f"'{next(iter(known.enums[name]))}'"
    if name in known.classes:
        return f"([{name}]::new())"
    texts = {
        "bool": "$true",
        "char": "'C'",
        "datetime": "([datetime]'2026-01-01')",
        "guid": "'11111111-1111-1111-1111-111111111111'",
        "hashtable": "@{}",
        "pscredential": "([pscredential]::Empty)",
        "string": "'text'",
        "timespan": "'00:01:00'",
        "version": "'10.0'",
    }
    return texts.get(name, "1")


def command(cmdlet: Cmdlet, names: list[str]) -> str:
    words = [cmdlet.name]
    for name in names:
        parameter = cmdlet.parameters[name]
        words.append(f"-{name}" if parameter.type == "switch" else f"-{name} {value_of(parameter)}")
    return " ".join(words)


def in_set(cmdlet: Cmdlet, set_name: str, *, mandatory: bool) -> list[str]:
    return [
        name
        for name, parameter in cmdlet.parameters.items()
        if any(each.name in ("", set_name) and (each.mandatory or not mandatory) for each in parameter.sets)
    ]


def could_be(cmdlet: Cmdlet, names: list[str], set_name: str) -> bool:
    """Whether the binder could take these parameters for that set; it asks no more of the default one than that they are in it."""
    mandatory = set(in_set(cmdlet, set_name, mandatory=True))
    return set(names) <= set(in_set(cmdlet, set_name, mandatory=False)) and (
        set_name == cmdlet.default_set or mandatory <= set(names)
    )


def least_of(cmdlet: Cmdlet, set_name: str) -> list[str]:
    """The mandatory parameters of a set, and as many others as tell it from the other sets."""
    names = in_set(cmdlet, set_name, mandatory=True)
    for extra in in_set(cmdlet, set_name, mandatory=False):
        others = [other for other in cmdlet.set_names if other != set_name and could_be(cmdlet, names, other)]
        if not others or cmdlet.default_set == set_name:
            break
        if any(not could_be(cmdlet, [*names, extra], other) for other in others):
            names.append(extra)
    return names


SETS = [(name, each) for name, cmdlet in description().cmdlets.items() for each in cmdlet.set_names]


@pytest.mark.parametrize(("name", "set_name"), SETS)
def test_a_set_is_bound(binder: Engine, name: str, set_name: str) -> None:
    cmdlet = description().cmdlets[name]
    for names in (least_of(cmdlet, set_name), in_set(cmdlet, set_name, mandatory=False)):
        BOUND.clear()
        ran = binder.run(command(cmdlet, names) + (" -Confirm:$false" if cmdlet.should_process else ""))
        assert ran.good == [], command(cmdlet, names)
        bound_set, bound = BOUND[-1]
        assert bound == frozenset(names), command(cmdlet, names)
        assert bound_set in (set_name, "__AllParameterSets"), command(cmdlet, names)


@pytest.mark.parametrize(
    ("text", "id", "category"),
    [
        ("Start-VM -Id 11111111-1111-1111-1111-111111111111", "NamedParameterNotFound", "InvalidArgument"),
        ("New-VMSwitch -Name x -SwitchType External", "ParameterArgumentValidationError", "InvalidData"),
        (
            "New-VMSwitch -Name x -SwitchType Internal -AllowManagementOS $true",
            "AmbiguousParameterSet",
            "InvalidArgument",
        ),
        ("New-VM -Generation 3", "ParameterArgumentValidationError", "InvalidData"),
        ("Set-VM x -ProcessorCount many", "ParameterArgumentTransformationError", "InvalidData"),
        ("Set-VMFirmware x -EnableSecureBoot Maybe", "ParameterArgumentTransformationError", "InvalidData"),
        ("Get-VMScsiController x -ControllerNumber 64", "ParameterArgumentValidationError", "InvalidData"),
        ("New-VHD -Path C:\\x.vhdx", "MissingMandatoryParameter", "InvalidArgument"),
    ],
)
def test_the_binder_refuses(binder: Engine, text: str, id: str, category: str) -> None:
    """What the engine itself says, with the class of the real cmdlet."""
    BOUND.clear()
    ran = binder.run(text)
    failure = ran.fatal or ran.errors[0]
    class_name = description().cmdlets[text.split()[0]].class_name
    expected = (f"{id},{class_name}", category)
    if id == "ParameterArgumentTransformationError":
        assert (failure.id, failure.category) in (
            expected,
            (f"CannotConvertArgumentNoMessage,{class_name}", "InvalidArgument"),
        )
    else:
        assert (failure.id, failure.category) == expected
    assert not BOUND


def test_an_unknown_cmdlet_is_refused(binder: Engine) -> None:
    ran = binder.run("Checkpoint-TheWorld")
    assert (ran.fatal or ran.errors[0]).id == "CommandNotFoundException"


def test_aliases_and_positions(binder: Engine) -> None:
    for text, set_name, bound in [
        ("Get-VM -VMName x", "Name", {"Name"}),
        ("'x' | Start-VM", "Name", {"Name"}),
        ("Set-VMDvdDrive x 0 1 C:\\a.iso", "VMName", {"VMName", "ControllerNumber", "ControllerLocation", "Path"}),
        ("New-VHD C:\\a.vhdx 1GB", "DynamicWithoutSource", {"Path", "SizeBytes"}),
        ("Get-VMSwitch -SwitchName x", "Name", {"Name"}),
        ("Hyper-V\\Get-VM x", "Name", {"Name"}),
    ]:
        BOUND.clear()
        ran = binder.run(text)
        assert ran.good == []
        assert len(BOUND) == 1, text
        assert BOUND[0] == (set_name, frozenset(bound)), text
