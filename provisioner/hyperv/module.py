"""The text of the host's PowerShell module, as it is loaded into a runspace that does not know it.

The text goes out as it is, unpacked and readable: packed or encoded code wakes virus scanners.
"""

from __future__ import annotations

import functools
import re

from provisioner.data import data_folder

NAME = "TalosHyperV"
_VERSION = re.compile(r"^module_version:\s*(\S+)", re.MULTILINE)
_OPEN_ENDPOINTS = re.compile(r"microsoft\.powershell(32)?|powershell\.\d[\w.-]*", re.IGNORECASE)


@functools.cache
def module_version() -> str:
    """The version that the contract, and so this client, belongs to."""
    contract = (data_folder("powershell") / NAME / "contract.yaml").read_text(encoding="utf-8")
    found = _VERSION.search(contract)
    if found is None:
        raise ValueError(f"{NAME}/contract.yaml names no module_version")
    return found[1]


@functools.cache
def module_text() -> str:
    """All functions as one script: the private ones first, each folder by name. The first line names module and version."""
    folder = data_folder("powershell") / NAME
    files = [path for part in ("Private", "Public") for path in sorted((folder / part).glob("*.ps1"))]
    return "\n".join(
        [f"# {NAME} module {module_version()}", *(path.read_text(encoding="utf-8-sig").rstrip() for path in files), ""]
    )


def may_load_text(endpoint: str) -> bool:
    """Whether a session configuration takes text. Only those that PowerShell itself registers do (Windows PowerShell's, and
    `PowerShell.7` with its versions); any other is somebody's restricted endpoint, and there the module must be installed.
    """
    return _OPEN_ENDPOINTS.fullmatch(endpoint) is not None


class ModuleNeed:
    """Whether the host's runspaces need the module's text: learned by the first, true for all."""

    def __init__(self) -> None:
        self.needed: bool | None = None

    def learned(self, *, needed: bool) -> None:
        self.needed = needed
