"""How a command ends: a fault's box and its exit code, an interrupt's 130, a bug's file and 70. Never a traceback on the screen."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from provisioner.errors import Fault, Interrupted
from provisioner.faults import Exit, exit_code
from provisioner.model.redaction import redacted


def guarded(app: Callable[..., Any]) -> int:
    """Runs the typer app and gives the exit code."""
    try:
        result = app(standalone_mode=False)
    except typer.TyperException as error:
        _show_usage(error)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt, Interrupted):
        return Exit.INTERRUPTED
    except Fault as fault:
        show_fault(fault)
        return exit_code(fault.id)
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except Exception as bug:  # noqa: BLE001 - the last net: whatever falls in here is a bug of ours
        show_fault(_bug(bug))
        return Exit.BUG
    return int(result or 0)


def _show_usage(error: typer.TyperException) -> None:
    """The command's usage and what is wrong with what was typed; typer's own errors know how to show themselves."""
    show = getattr(error, "show", None)
    if show is not None:
        show()
    else:
        sys.stderr.write(f"{error.format_message()}\n")


def show_fault(fault: Fault) -> None:
    """The box on stderr; one JSON object on stdout where the command was asked for JSON."""
    if "--json" in sys.argv:
        import json

        from provisioner.cli.words import fault_object

        sys.stdout.write(redacted(json.dumps(fault_object(fault))) + "\n")
        return
    from provisioner.cli.options import look_of
    from provisioner.views.box import Box, render_box

    paper = look_of(verbose=0, quiet=False, no_color="--no-color" in sys.argv, ascii="--ascii" in sys.argv).paper
    sys.stderr.write(paper.render(render_box(Box.of_fault(fault), paper)))


def _bug(error: Exception) -> Fault:
    """The traceback goes to a file: without local variables, and with what looks secret in its messages hidden."""
    from provisioner.record.files import write_atomically

    folder = Path(os.environ.get("PROVISION_HOME") or "~/.provision").expanduser() / "bugs"
    path = folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.txt"
    where = str(path)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, redacted("".join(traceback.format_exception(error))).encode(), mode=0o600)
    except OSError:
        where = "nowhere: the provision home cannot be written"
    return Fault(
        "P-RUN-BUG",
        f"{type(error).__name__}: {error}",
        expected="no such thing",
        seen=(f"traceback in {where}",),
        then=("please report it with that file",),
    )
