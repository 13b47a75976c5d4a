"""PowerShell Remoting: what a session may load, and when."""

from __future__ import annotations

import pytest

from provisioner.winrm.psrp import accepts_scripts


@pytest.mark.parametrize(
    ("endpoint", "open"),
    [
        ("Microsoft.PowerShell", True),
        ("microsoft.powershell", True),
        ("Microsoft.PowerShell32", True),
        ("PowerShell.7", True),
        ("PowerShell.7.4.6", True),
        ("TalosHyperV", False),
        ("Microsoft.PowerShell.Workflow", False),
        ("PowerShellTalos", False),
    ],
)
def test_text_goes_only_into_endpoints_of_powershell_itself(endpoint: str, open: bool) -> None:
    assert accepts_scripts(endpoint) is open
