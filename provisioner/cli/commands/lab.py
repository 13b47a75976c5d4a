"""`provision lab`: the embedded lab, which is a process of its own."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provisioner.cli.help import Command, Group
from provisioner.cli.json_output import print_json
from provisioner.cli.options import ConsentOptions, ConsoleOptions, JsonOptions, command_of
from provisioner.errors import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.model.cluster import Cluster

app = typer.Typer(
    cls=Group,
    help="The embedded lab: a Hyper-V host, Talos machines and Kubernetes, on loopback.",
    no_args_is_help=True,
)


@dataclass(frozen=True, kw_only=True)
class LabOptions(JsonOptions):
    """For a command about one lab."""

    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="Cluster file whose host is a lab.")] = "lab"


@dataclass(frozen=True, kw_only=True)
class ResetOptions(ConsentOptions, LabOptions):
    """What `lab reset` takes."""


@app.command(cls=Command)
@command_of(LabOptions)
def start(_terminal: ConsoleOptions, options: LabOptions) -> int:
    """Start the lab. up does this by itself.

    provision lab start
    """
    from provisioner.lab_client import find_lab

    folder, cluster = lab_of(options.cluster)
    lab = find_lab(folder, cluster, start=True)
    assert lab is not None, "a lab that does not start raises"
    return _tell(
        options,
        f"lab running: process {lab.pid}, {lab.rate:g} x real time, state in {folder}",
        {"running": True, "pid": lab.pid, "speed": lab.rate, "folder": str(folder)},
    )


@app.command(cls=Command)
@command_of(LabOptions)
def status(_terminal: ConsoleOptions, options: LabOptions) -> int:
    """Show whether the lab runs, and what is in it.

    provision lab status
    """
    from provisioner.lab_client import ask_lab, find_lab

    folder, cluster = lab_of(options.cluster)
    lab = find_lab(folder, cluster, start=False)
    if lab is None:
        return _tell(options, f"lab {options.cluster} is not running", {"running": False, "folder": str(folder)})
    inside = ask_lab(lab, "status")
    line = (
        f"lab running: process {lab.pid}, {lab.rate:g} x real time, {inside['now_s']:.0f} s of its time passed\n"
        f"{inside['vms']} VMs on {lab.host} ({lab.address}), {len(lab.routes)} endpoints in its network"
    )
    return _tell(options, line, {"running": True, "pid": lab.pid, "speed": lab.rate, "folder": str(folder), **inside})


@app.command(cls=Command)
@command_of(LabOptions)
def stop(_terminal: ConsoleOptions, options: LabOptions) -> int:
    """Stop the lab. It keeps its disks and VMs, as a host does that is switched off.

    provision lab stop
    """
    from provisioner.lab_client import stop_lab

    stopped = stop_lab(lab_of(options.cluster)[0])
    line = "lab stopped" if stopped else f"lab {options.cluster} is not running"
    return _tell(options, line, {"running": False, "stopped": stopped})


@app.command(cls=Command)
@command_of(ResetOptions)
def reset(_terminal: ConsoleOptions, options: ResetOptions) -> int:
    """Stop the lab and delete its host, VMs and disks. The cluster's secrets on this computer stay.

    provision lab reset --yes
    """
    import os

    from provisioner.cli.settings import read_all_settings
    from provisioner.compose import open_store
    from provisioner.lab_client import stop_lab

    folder, cluster = lab_of(options.cluster)
    if not options.yes:
        raise Fault(
            "P-RUN-CONFIRM",
            f"this would delete the lab of {options.cluster}, with its VMs and their disks",
            expected="--yes",
            next_steps=(f"provision lab reset {options.cluster} --yes",),
        )
    store = open_store(read_all_settings(options.cluster), cluster, os.environ)
    store.write_hints(store.read_hints().without_cluster())  # its etcd goes with it
    deleted = stop_lab(folder, forget=True)
    line = f"lab deleted; provision up {options.cluster} starts a new one" if deleted else "there is no lab"
    return _tell(options, line, {"running": False, "deleted": deleted})


def lab_of(name: str) -> "tuple[Path, Cluster]":
    """Folder of the lab of a cluster file, and the cluster. Raises P-LAB-START for a real host."""
    from provisioner.cli.loading import load
    from provisioner.lab_client import lab_folder

    settings, loaded = load(name)
    cluster = loaded.cluster
    if cluster.lab is None:
        raise Fault(
            "P-LAB-START",
            f"{cluster.name} is on a real host, not in a lab",
            expected="hosts: {name: {lab: ...}} in the cluster file",
        )
    return lab_folder(settings.home, cluster), cluster


def _tell(options: JsonOptions, text: str, values: dict[str, Any]) -> int:
    if options.json:
        print_json({"schema": "provision/lab-status/1", **values})
    else:
        sys.stdout.write(f"{text}\n")
    return 0
