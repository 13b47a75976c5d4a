"""Calls of functions by an unmodified pypsrp."""

from __future__ import annotations

from pypsrp.powershell import RunspacePool

from provisioner.lab.winrm import WinRmEndpoint
from tests.lab.winrm.doubles import call


def test_a_structured_call_returns_flat_objects(pool: RunspacePool, endpoint: WinRmEndpoint) -> None:
    [result], shell = call(pool, "get-talosecho", Text="仮想🚀", Names=["a", "b"], Flag=True)
    assert not shell.had_errors
    assert result["Text"] == "仮想🚀" and result["Names"] == ["a", "b"] and result["Flag"] is True
    assert result["Large"] == 1 << 40 and result["Null"] is None
    assert result["Given"] == ["Count", "Flag", "Force", "Names", "Text"]
    assert endpoint.stats().calls == {"Get-TalosEcho": 1}
