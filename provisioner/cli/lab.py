"""`provision lab`: the embedded lab as a process of its own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provisioner.cli import options as o
from provisioner.cli.help import Grouped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from provisioner.errors import Fault
    from provisioner.model.cluster import Cluster

lab_app = typer.Typer(
    cls=Grouped, help="The embedded lab: a Hyper-V host, Talos machines, Kubernetes, on loopback.", no_args_is_help=True
)

LabArg = Annotated[str, typer.Argument(help="Cluster file whose host is a lab.")]


def _lab_of(cluster: str) -> tuple[Path, Cluster]:
    """Folder of the lab of a cluster file, and the cluster. Raises a Fault."""
    from provisioner.cli.loading import load, read_all_settings
    from provisioner.errors import Fault
    from provisioner.lab_client import lab_folder

    settings = read_all_settings(cluster)
    loaded = load(settings)
    if loaded.cluster.lab is None:
        raise Fault(
            "P-LAB-START",
            f"{loaded.cluster.name} stands on a real host, not on a lab",
            expected="hosts: {name: {lab: ...}} in the cluster file",
        )
    return lab_folder(settings.home, loaded.cluster), loaded.cluster


def _print(as_json: bool, line: str, values: dict[str, Any]) -> None:
    if as_json:
        from provisioner.model.jsontext import json_text

        typer.echo(json_text({"schema": "provision/lab-status/1", **values}, encoding=sys.stdout.encoding or "utf-8"))
    else:
        typer.echo(line)


@lab_app.command()
def start(cluster: LabArg = "lab", *, as_json: o.JsonOption = False) -> None:
    """Start the lab; up does it by itself."""
    from provisioner.lab_client import find_lab

    folder, wanted = _lab_of(cluster)
    card = find_lab(folder, wanted, start=True)
    assert card is not None, "a lab that does not start raises"
    _print(
        as_json,
        f"lab at work: process {card.pid}, {card.rate:g} times real time, state in {folder}",
        {"running": True, "pid": card.pid, "speed": card.rate, "folder": str(folder)},
    )


@lab_app.command()
def status(cluster: LabArg = "lab", *, as_json: o.JsonOption = False) -> None:
    """Whether the lab runs, and what is in it."""
    from provisioner.lab_client import ask_lab, find_lab

    folder, wanted = _lab_of(cluster)
    card = find_lab(folder, wanted, start=False)
    if card is None:
        _print(as_json, f"no lab runs for {cluster}", {"running": False, "folder": str(folder)})
        return
    inside = ask_lab(card, "status")
    line = (
        f"lab at work: process {card.pid}, {card.rate:g} times real time, at {inside['now_s']:.0f} s of its time\n"
        f"{inside['vms']} VMs on {card.host} ({card.address}), {len(card.routes)} places of its LAN served"
    )
    _print(as_json, line, {"running": True, "pid": card.pid, "speed": card.rate, "folder": str(folder), **inside})


@lab_app.command()
def stop(cluster: LabArg = "lab", *, as_json: o.JsonOption = False) -> None:
    """Stop the lab. Its disks and VMs are kept, as a host's would be that is switched off."""
    from provisioner.lab_client import stop_lab

    folder, _ = _lab_of(cluster)
    stopped = stop_lab(folder)
    _print(as_json, "lab stopped" if stopped else "no lab runs", {"running": False, "stopped": stopped})


@lab_app.command()
def reset(cluster: LabArg = "lab", *, yes: o.YesOption = False, as_json: o.JsonOption = False) -> None:
    """Stop the lab and delete all that it keeps: its host, VMs and disks. The cluster's secrets on this computer stay."""
    import os

    from provisioner.cli.loading import read_all_settings
    from provisioner.compose import open_store
    from provisioner.errors import Fault
    from provisioner.lab_client import stop_lab
    from provisioner.model.notes import without_beginning

    folder, wanted = _lab_of(cluster)
    if not yes:
        raise Fault(
            "P-RUN-CONFIRM",
            f"this would delete the lab of {cluster}, with its VMs and their disks",
            expected="--yes",
            next_steps=(f"provision lab reset {cluster} --yes",),
        )
    store = open_store(read_all_settings(cluster), wanted, os.environ)
    store.write_notes(without_beginning(store.read_notes()))  # its etcd goes with it
    deleted = stop_lab(folder, forget=True)
    line = f"lab deleted; provision up {cluster} begins anew" if deleted else "there is no lab"
    _print(as_json, line, {"running": False, "deleted": deleted})


@lab_app.command()
def fault(
    name: Annotated[
        str, typer.Argument(help="Name of a fault, or clear; without one, all names.", show_default=False)
    ] = "",
    *,
    cluster: Annotated[str, typer.Option("--cluster", help="Cluster file whose host is a lab.")] = "lab",
    place: Annotated[
        str, typer.Option("--place", help="Where it happens; what that is, and whether it is needed, is in the list.")
    ] = "",
    times: Annotated[int, typer.Option("--times", help="How often it happens.", min=1)] = 1,
    value: Annotated[
        float | None, typer.Option("--value", help="How much, in the unit that the list gives.", show_default=False)
    ] = None,
) -> None:
    """Let something go wrong in the lab, once or several times. clear forgets what waits and undoes what it can.

    provision lab fault

    provision lab fault vm-never-boots --place lab-worker-2

    provision lab fault clear
    """
    from provisioner.lab_client import ask_lab, find_lab

    folder, wanted = _lab_of(cluster)
    card = find_lab(folder, wanted, start=True)
    assert card is not None, "a lab that does not start raises"
    known = {row["name"]: row for row in ask_lab(card, "fault")["known"]}
    if not name:
        typer.echo("\n".join(line for row in known.values() for line in _described(row)))
        return
    if name not in known and name != "clear":
        raise _unknown(name, known)
    answer = ask_lab(card, "fault", name=name, place=place, times=times, value=value)
    if name == "clear":
        lines = [f"{word}: {item}" for word in ("forgotten", "undone", "stays") for item in answer[word]]
        lines += [f"to begin anew: provision lab reset {cluster}"] if answer["stays"] else []
        typer.echo("\n".join(lines or ["nothing waits, and nothing is to be undone"]))
        return
    if known[name]["at_once"]:
        typer.echo(f"{name} has happened")
        return
    how_often = "once" if times == 1 else f"{times} times"
    typer.echo(f"{name} will happen {how_often}")


def _described(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"{row['name']:20}  {row['does']}"
    if row["place"]:
        yield f"{'':20}    --place  {row['place']}{'' if row['needs_place'] else ' (else the first)'}"
    if row["value"]:
        yield f"{'':20}    --value  {row['value']} (else {row['default']:g})"


def _unknown(name: str, known: Iterable[str]) -> Fault:
    import difflib

    from provisioner.errors import Fault

    close = difflib.get_close_matches(name, known, n=1)
    return Fault(
        "P-RUN-UNKNOWN",
        f"the lab knows no fault {name}",
        expected="a name that provision lab fault lists",
        seen=(name,),
        probable_cause=f"{close[0]} was meant" if close else "",
        next_steps=("provision lab fault",),
    )
