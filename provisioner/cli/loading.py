"""From what was typed to a context: settings, cluster file, and the lab or the host behind it."""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import replace
from pathlib import Path

import typer

from provisioner.clusterfile import Loaded, Settings, find_cluster_file, list_clusters, load_cluster, read_settings
from provisioner.compose import Context, WorldClock, new_configs, open_context
from provisioner.data import data_folder
from provisioner.errors import Fault, Finding
from provisioner.views.console import printable


def read_all_settings(cluster: str, host: str = "", user: str = "") -> Settings:
    """RunOptions, then environment, then defaults; the clusters that come with the product are found last."""
    settings = read_settings(os.environ, cwd=working_folder(), cluster=cluster, host=host, user=user)
    return replace(settings, folders=(*settings.folders, data_folder("clusters")))


def working_folder() -> Path | None:
    """None where it was deleted."""
    try:
        return Path.cwd()
    except OSError:
        return None


def load(settings: Settings) -> Loaded:
    """The cluster file of the settings. Without a name: the only one in the user's own folders. Raises a Fault."""
    name = settings.cluster
    if not name:
        own = list_clusters(settings.folders[:-1])
        if len(own) != 1:
            folders = ", ".join(str(folder) for folder in settings.folders[:-1])
            examples = ", ".join(found.name for found in list_clusters(settings.folders[-1:]))
            raise Fault(
                "P-FILE-NOTFOUND",
                "which cluster?" if own else "no cluster was named, and there is no cluster file of yours",
                expected="a name or a path",
                seen=(
                    (f"there are {', '.join(found.name for found in own)}",)
                    if own
                    else (f"looked in {folders}", f"examples that come with provision: {examples}")
                ),
                next_steps=("the same command with one of the names",)
                if own
                else ("provision plan lab    is an example that needs no file of yours",),
            )
        name = own[0].name
    path = find_cluster_file(name, folders=settings.folders)
    return load_cluster(path, overrides=settings.overrides)


def open_cluster(cluster: str, *, host: str = "", user: str = "", start_lab: bool, needs_name: bool = False) -> Context:
    """Everything a command needs for one cluster. With `needs_name` only a name that was typed will do. Raises a Fault."""
    if needs_name and not cluster:  # `provision down "$EMPTY"` must not fall back on PROVISION_CLUSTER
        raise Fault("P-FILE-NOTFOUND", "which cluster?", expected="a name or a path, typed", seen=("an empty name",))
    settings = read_all_settings(cluster, host, user)
    loaded = load(settings)
    check_configs(loaded)
    ask = _ask if sys.stdin.isatty() and sys.stderr.isatty() else None
    return open_context(settings, loaded, ask=ask, environment=os.environ, start_lab=start_lab)


def check_configs(loaded: Loaded) -> tuple[Finding, ...]:
    """What Talos would refuse in the patches of the file, before anything is made; gives what it would only warn of.

    Raises P-FILE-FINDINGS.
    """
    cluster = loaded.cluster
    if not cluster.has_patches:
        return ()  # what we generate without patches is held by tests
    findings = new_configs(WorldClock()).findings(cluster)
    wrong = sum(finding.severity == "error" for finding in findings)
    if wrong:
        raise Fault(
            "P-FILE-FINDINGS",
            f"{wrong} finding{'s' if wrong > 1 else ''} in the patches of {cluster.file}",
            findings=findings,
            next_steps=(f"mend the lines named, then: provision config check {cluster.name}",),
        )
    return findings


def _ask(question: str) -> str:
    """Asked before any work, on the terminal itself; never echoed."""
    try:
        return getpass.getpass(f"{printable(question)}: ")
    except EOFError as error:
        raise typer.Abort from error
