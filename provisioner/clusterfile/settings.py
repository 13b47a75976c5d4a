"""Settings that stand outside the cluster file: option of the command line, else environment, else file, else default.

The origin is kept, so that `provision config show` can tell where each value came from. Loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
    environment: Mapping[str, str], *, cwd: Path, cluster: str = "", host: str = "", user: str = ""
) -> Settings:
    """Merges options and environment; an empty text is no value."""
    home = Path(environment.get(HOME) or "~/.provision").expanduser().absolute()
    overrides = {
        key: found
        for key, option, variable in (("host", host, HOST), ("user", user, USER))
        if (found := _choose(option, f"--{key}", variable, environment))
    }
    return Settings(
        home=home,
        folders=(cwd / "clusters", home / "clusters"),
        cluster=cluster or environment.get(CLUSTER, ""),
        overrides=overrides,
    )


def _choose(option: str, flag: str, variable: str, environment: Mapping[str, str]) -> Setting | None:
    if option:
        return Setting(value=option, source="option", name=flag)
    if value := environment.get(variable, ""):
        return Setting(value=value, source="environment", name=variable)
    return None
