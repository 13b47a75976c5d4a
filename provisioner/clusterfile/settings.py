"""Settings that stand outside the cluster file: option of the command line, else environment, else file, else default.

The origin is kept, so that `provision config show` can tell where each value came from. Loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.data import home_folder
from provisioner.errors import Fault

HOME = "PROVISION_HOME"
CLUSTER = "PROVISION_CLUSTER"
HOST = "PROVISION_HOST"
USER = "PROVISION_USER"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A value and where it came from."""

    value: str
    source: str
    """`option`, `environment`, or `default`."""
    name: str
    """Name of the option or variable."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a command was started with."""

    home: Path
    """Where everything is kept on this computer; absolute."""
    folders: tuple[Path, ...]
    """Where cluster files are looked for, in this order."""
    cluster: str
    """Name or path of the cluster file; empty when none was said."""
    overrides: Mapping[str, Setting]
    """`host` and `user` in place of the file's, as far as given."""


def read_settings(
    environment: Mapping[str, str], *, cwd: Path | None, cluster: str = "", host: str = "", user: str = ""
) -> Settings:
    """Merges options and environment; an empty string counts as not given. Raises a Fault P-LOCAL-HOME where there is no home.

    `cwd` is None where the working folder is gone: then only the home is looked in.
    """
    home = provision_home(environment, cwd)
    overrides = {}
    for key, option, variable in (("host", host, HOST), ("user", user, USER)):
        if option:
            overrides[key] = Setting(value=option, source="option", name=f"--{key}")
        elif value := environment.get(variable, ""):
            overrides[key] = Setting(value=value, source="environment", name=variable)
    return Settings(
        home=home,
        folders=(*((cwd / "clusters",) if cwd else ()), home / "clusters"),
        cluster=cluster or environment.get(CLUSTER, ""),
        overrides=overrides,
    )


def provision_home(environment: Mapping[str, str], cwd: Path | None) -> Path:
    """`PROVISION_HOME`, else `~/.provision`; absolute. Raises a Fault P-LOCAL-HOME."""
    given = environment.get(HOME) or "~/.provision"
    path = Path(given)
    problem = ""
    if path.parts[:1] == ("~",):
        own = home_folder(environment)
        path = Path(own or "", *path.parts[1:])
        problem = "" if own else "HOME is not set, and this account has no home folder"
    elif given.startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError:
            problem = f"there is no user {path.parts[0].removeprefix('~')}"
    if not problem and not path.is_absolute():
        problem = "" if cwd else "the working folder is gone, and the name is relative to it"
        path = Path(cwd or "/", path)
    if problem:
        raise Fault(
            "P-LOCAL-HOME",
            f"{given} cannot be resolved",
            expected="a folder of yours for secrets, journals and client files",
            seen=(problem,),
            next_steps=("set HOME, or PROVISION_HOME to a folder of yours",),
        )
    return path
