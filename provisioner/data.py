"""Where the files lie that are data, not code: the PowerShell module and the cluster files that come with the product."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_folder(name: str) -> Path:
    """The folder `powershell` or `clusters`: beside the package in a checkout, inside it in an installed wheel."""
    checkout = _PACKAGE.parent / name
    return (
        checkout if (_PACKAGE.parent / "pyproject.toml").is_file() and checkout.is_dir() else _PACKAGE / "_data" / name
    )
