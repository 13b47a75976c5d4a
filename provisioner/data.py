"""Where data files are: the PowerShell module and the cluster files that come with the product; and where users have
theirs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_folder(name: str) -> Path:
    """The folder `powershell` or `clusters`: beside the package in a checkout, inside it in an installed wheel."""
    checkout = _PACKAGE.parent / name
    return (
        checkout if (_PACKAGE.parent / "pyproject.toml").is_file() and checkout.is_dir() else _PACKAGE / "_data" / name
    )


def home_folder(environment: Mapping[str, str]) -> Path | None:
    """The user's home: HOME, else the account's; None for an account without one, as containers may run us."""
    given = environment.get("HOME")
    if given:
        return Path(given)
    import pwd

    try:
        found = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None
    return found if found.is_absolute() else None
