"""The module's text, and where it may be loaded."""

from __future__ import annotations

import re
import subprocess
import sys

import yaml

from provisioner.hyperv import module
from tests.conftest import ROOT

CONTRACT = yaml.safe_load((ROOT / "powershell/TalosHyperV/contract.yaml").read_text())


def test_the_text_begins_with_module_and_version_and_defines_all_functions() -> None:
    text = module.module_text()
    assert text.splitlines()[0] == f"# TalosHyperV module {CONTRACT['module_version']}"
    defined = re.findall(r"^function\s+([\w-]+)", text, re.MULTILINE)
    assert set(CONTRACT["functions"]) <= set(defined)
    assert len(defined) == len({name.casefold() for name in defined}), "PowerShell would keep the last of two"
    assert "\ufeff" not in text, "a byte order mark within the text would break its first function"


def test_importing_the_host_loads_no_library_of_winrm() -> None:
    code = "import provisioner.hyperv.client, sys; print([m for m in ('pypsrp', 'winrm', 'requests', 'spnego', 'tenacity') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
