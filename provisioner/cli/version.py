"""`provision --version`, and with `-v` the versions of everything it works with."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata

import provisioner

_LIBRARIES = ("cryptography", "grpclib", "keyring", "protobuf", "pydantic", "pypsrp", "pywinrm", "requests", "typer")
"""Those whose version matters in a report of a failure."""


def print_version(*, verbose: bool, json: bool) -> None:
    """Prints the version; `verbose`, or as an object, also what it runs on and what it creates."""
    if json:
        from provisioner.cli.json_output import print_json

        print_json({"schema": "provision/version/1", **version_object()})
        return
    sys.stdout.write(f"provision {provisioner.__version__}\n")
    if verbose:
        rows = list(_rows())
        width = max(len(name) for name, _ in rows)
        sys.stdout.writelines(f"  {name.ljust(width)}  {value}\n" for name, value in rows)


def version_object() -> dict[str, object]:
    """What `--version --json` prints."""
    from provisioner.model.versions import KUBERNETES, TALOS

    return {
        "version": provisioner.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "talos": TALOS,
        "kubernetes": KUBERNETES,
        "module": _module_version(),
        "libraries": {name: _installed(name) for name in _LIBRARIES},
    }


def _rows() -> Iterator[tuple[str, str]]:
    told = version_object()
    libraries = told.pop("libraries")
    assert isinstance(libraries, dict)
    titles = {
        "python": "Python",
        "platform": "platform",
        "talos": "Talos, default",
        "kubernetes": "Kubernetes, default",
        "module": "PowerShell module",
    }
    yield from ((title, str(told[key])) for key, title in titles.items())
    yield from ((name, version or "not installed") for name, version in libraries.items())


def _module_version() -> str | None:
    """Of the module that is sent to the host; None where its manifest cannot be read."""
    from provisioner.data import data_folder

    try:
        manifest = (data_folder("powershell") / "TalosHyperV" / "TalosHyperV.psd1").read_text(encoding="utf-8-sig")
    except OSError:
        return None
    found = re.search(r"^\s*ModuleVersion\s*=\s*'([^']+)'", manifest, re.MULTILINE)
    return found[1] if found else None


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
