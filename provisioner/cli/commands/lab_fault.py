"""`provision lab fault`."""

import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from provisioner.cli.commands.lab import lab_of
from provisioner.cli.json_output import print_json
from provisioner.cli.options import ConsoleOptions, JsonOptions, command_of


@dataclass(frozen=True, kw_only=True)
class FaultOptions(JsonOptions):
    """What `lab fault` takes."""

    name: Annotated[
        str,
        typer.Argument(
            metavar="FAULT", help="A fault of the list, or clear. Without it: the list.", show_default=False
        ),
    ] = ""
    cluster: Annotated[str, typer.Option(metavar="CLUSTER", help="Cluster file whose host is a lab.")] = "lab"
    place: Annotated[
        str, typer.Option(metavar="PLACE", help="Where it happens, as the list says.", show_default=False)
    ] = ""
    times: Annotated[int, typer.Option(metavar="COUNT", help="How many times it happens.", min=1)] = 1
    value: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="How much, in the unit that the list gives.", show_default=False),
    ] = None


@command_of(FaultOptions)
def fault(terminal: ConsoleOptions, options: FaultOptions) -> int:
    """Make something fail in the lab. clear cancels what has not happened yet and undoes what can be undone.

    provision lab fault

    provision lab fault vm-never-boots --place lab-worker-2

    provision lab fault clear
    """
    from provisioner.lab_client import ask_lab, find_lab
    from provisioner.views.lab import cleared, injected, render_faults, unknown_fault

    folder, cluster = lab_of(options.cluster)
    lab = find_lab(folder, cluster, start=True)
    assert lab is not None, "a lab that does not start raises"
    known = {row["name"]: row for row in ask_lab(lab, "fault")["known"]}
    name = options.name
    if name and name != "clear" and name not in known:
        raise unknown_fault(name, known)
    answer: dict[str, Any] = {"known": list(known.values())}
    if name:
        answer = ask_lab(lab, "fault", name=name, place=options.place, times=options.times, value=options.value)
    if options.json:
        print_json({"schema": "provision/lab-fault/1", **answer})
    elif not name:
        terminal.print(render_faults(known.values(), terminal.out))
    elif name == "clear":
        sys.stdout.write(cleared(answer, options.cluster))
    else:
        sys.stdout.write(injected(known[name], options.times))
    return 0
