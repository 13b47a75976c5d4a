"""`provision explain`."""

from dataclasses import dataclass
from typing import Annotated

import typer

from provisioner.cli.json_output import print_json
from provisioner.cli.options import ConsoleOptions, JsonOptions, command_of
from provisioner.errors import Fault
from provisioner.faults import FAULTS, Exit, FaultKind


@dataclass(frozen=True, kw_only=True)
class Options(JsonOptions):
    """What `explain` takes."""

    fault: Annotated[str, typer.Argument(metavar="FAULT", help="Id of a fault.", show_default=False)] = ""


@command_of(Options)
def explain(terminal: ConsoleOptions, options: Options) -> int:
    """Explain a fault: why it happens and what to do. Without an id, list all faults.

    provision explain P-BOOT-NOMAINT

    provision explain
    """
    wanted = options.fault.upper()
    if wanted and wanted not in FAULTS:
        raise _unknown(options.fault)
    if options.json:
        kinds = [FAULTS[wanted]] if wanted else list(FAULTS.values())
        print_json({"schema": "provision/explain/1", "faults": [_object(kind) for kind in kinds]})
        return Exit.DONE
    from provisioner.views.error_panel import render_explain, render_fault_list

    lines = render_explain(FAULTS[wanted], terminal.out) if wanted else render_fault_list(terminal.out)
    terminal.print(lines)
    return Exit.DONE


def _object(kind: FaultKind) -> dict[str, object]:
    return {"id": kind.id, "title": kind.title, "why": kind.why, "remedy": kind.remedy, "exit": int(kind.exit)}


def _unknown(typed: str) -> Fault:
    import difflib

    close = difflib.get_close_matches(typed.upper(), FAULTS, n=3, cutoff=0.5)
    return Fault(
        "P-RUN-UNKNOWN",
        f"there is no fault {typed}",
        expected="an id as provision explain lists them",
        seen=tuple(f"did you mean {name}?" for name in close),
        next_steps=("provision explain",),
    )
