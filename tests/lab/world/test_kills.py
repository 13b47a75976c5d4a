"""A call that is killed in the middle, wherever that is, leaves something that the same call, made again, finishes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.world.checker import check
from tests.lab.world.helpers import CLUSTER, GIB, Shell, mark, save_iso, with_switch

NEW: dict[str, Any] = {
    "Name": "cp-1",
    "MemoryBytes": 4 * GIB,
    "Cpus": 2,
    "DiskBytes": 20 * GIB,
    "SwitchName": "LAB",
    "MacAddress": "02155D000011",
    "IsoPath": "C:\\ProgramData\\TalosHyperV\\images\\talos.iso",
    "Mark": mark("cp-1"),
    "Start": True,
}


class Killed(BaseException):
    """The runspace is gone: nothing of the call is run any more, and nothing is tidied up."""


def kill_at(shell: Shell, monkeypatch: pytest.MonkeyPatch, number: int, name: str, **given: Any) -> bool:
    """Kills the call in the middle of that wait of its own, before the cmdlet at work does its part; False when it ends before."""
    kernel, waits = shell.world.kernel, 0

    def count(real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            nonlocal waits
            waits += 1
            if waits == number:
                raise Killed
            return real(*arguments)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(kernel, "spend", count(kernel.spend))
        patch.setattr(kernel, "wait_for", count(kernel.wait_for))
        try:
            shell(name, **given)
        except Killed:
            return True
    return False


def test_a_new_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    kills = 0
    while True:
        shell = Shell(with_switch())
        save_iso(shell)
        killed = kill_at(shell, monkeypatch, kills + 1, "New-TalosVM", **NEW)
        assert check(shell.world.state) == []
        left = shell("Get-TalosVM", ClusterId=CLUSTER)
        assert [vm["Mark"] for vm in left] in ([], [mark("cp-1")])
        shell("New-TalosVM", **NEW)
        shell.world.kernel.spend(1)  # a start goes on without the caller
        done = shell.one("New-TalosVM", **NEW)
        assert (done["State"], done["Complete"], done["BootOrder"]) == ("Running", True, ["disk", "dvd", "network"])
        assert [vm["Name"] for vm in shell("Get-TalosVM")] == ["cp-1", "fileserver"]
        shell("Remove-TalosVM", Id=[done["Id"]], ClusterId=CLUSTER)
        assert not shell.world.storage.exists(done["Folder"])
        if not killed:
            break
        kills += 1
    assert kills >= 12, "each part of a machine is made by a cmdlet of its own"


def test_a_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    kills = 0
    while True:
        shell = Shell(with_switch())
        save_iso(shell)
        vm = shell.one("New-TalosVM", **NEW)
        killed = kill_at(shell, monkeypatch, kills + 1, "Remove-TalosVM", Id=[vm["Id"]], ClusterId=CLUSTER)
        shell("Remove-TalosVM", Id=[vm["Id"]], ClusterId=CLUSTER)
        assert check(shell.world.state) == []
        assert [one["Name"] for one in shell("Get-TalosVM")] == ["fileserver"]
        assert shell.errors == []
        assert not shell.world.storage.exists(vm["Folder"])
        if not killed:
            break
        kills += 1
    assert kills >= 3
