"""The text of the host's PowerShell module, as it is loaded into a runspace that does not know it.

The text goes out as it is, unpacked and readable: packed or encoded code wakes virus scanners.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from provisioner.data import data_folder
from provisioner.winrm.transport import ScriptModule, Statement

NAME = "TalosHyperV"
MODULE = f"the module {NAME}"
"""As what its functions are to write, in `Malformed.expected`."""
GET_HOST = Statement(function="Get-TalosHost")
"""Also the question whether a runspace knows the module, and which version of it."""
HOST_TYPE = "TalosHyperV.Host"
_VERSION = re.compile(r"^module_version:\s*(\S+)", re.MULTILINE)


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


@functools.cache
def output_of(function: str) -> tuple[str, Mapping[str, str]]:
    """PSTypeName and field types of a function's results, by the contract: JSON carries neither."""
    import yaml  # the other transport alone needs it

    contract = yaml.safe_load((data_folder("powershell") / NAME / "contract.yaml").read_text(encoding="utf-8"))
    type_name = contract["functions"][function]["output"]
    return type_name, contract["types"][type_name]


def script_module() -> ScriptModule:
    """The module as a session of WinRM needs to know it."""
    return ScriptModule(
        name=NAME,
        version=module_version(),
        text=module_text,
        question=GET_HOST,
        answer_type=HOST_TYPE,
        output=output_of,
    )
