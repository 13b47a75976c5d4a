"""How a command ends: a fault's panel and its exit code, an interrupt's 130, a bug's file and 70. Never a traceback on the screen."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from provisioner.cli.signals import flushed
from provisioner.errors import Fault, Interrupted
from provisioner.faults import Exit
from provisioner.model.redaction import redacted

if TYPE_CHECKING:
    from provisioner.views.console import Console


def guarded(app: Callable[..., Any]) -> int:
    """Runs the typer app and gives the exit code. What cannot be printed any more changes no code but that of success."""
    return _flushed(_code_of(app))


def _code_of(app: Callable[..., Any]) -> int:
    from provisioner.cli.options import in_front

    try:
        result = app(args=in_front(sys.argv[1:]), standalone_mode=False)
    except typer.TyperException as error:
        _tell(functools.partial(_show_usage, error))
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt, Interrupted):
        return Exit.INTERRUPTED
    except Fault as fault:
        _tell(functools.partial(show_fault, fault))
        return fault.exit
    except BrokenPipeError:
        return Exit.DONE
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # typer's own answer to a reader who has left
            return Exit.DONE
        raise
    except Exception as error:  # noqa: BLE001 - the last net: whatever falls in here is a bug of ours, but for what this computer refuses
        told = _surroundings(error) or _bug(error)
        _tell(functools.partial(show_fault, told))
        return told.exit
    return int(result or 0)


def _tell(show: Callable[[], None]) -> None:
    """Where nothing can be shown the exit code has to do."""
    with contextlib.suppress(OSError, UnicodeError):
        show()


def _flushed(code: int) -> int:
    """What is still in the buffers goes out now, where a failure can be told, and not when the interpreter has ended."""
    for stream in (sys.stdout, sys.stderr):
        error = flushed(stream)
        fault = None if error is None or isinstance(error, BrokenPipeError) else _surroundings(error)
        if fault is not None and code == Exit.DONE:
            _tell(functools.partial(show_fault, fault))
            code = fault.exit
    return code


def _show_usage(error: typer.TyperException) -> None:
    """The command's usage, and what is wrong with what was typed, wrapped to the terminal."""
    from provisioner.views.console import line

    context = getattr(error, "ctx", None)
    if isinstance(error, typer.BadParameter):
        error.message = error.message.removeprefix("Value error, ")  # pydantic's, which reads values for typer
    lines = [f"Error: {error.format_message()}"]
    if context is not None:
        lines = [
            context.get_usage(),
            f"Try '{context.command_path} {context.help_option_names[0]}' for help.",
            "",
            *lines,
        ]
    console = _console()
    wrapped = (
        part for text in lines for each in text.splitlines() or [""] for part in console.wrapped(line(each), indent=2)
    )
    sys.stderr.write(console.render(wrapped))


def _console() -> Console:
    """stderr's, as far as the command line says before it is parsed."""
    from provisioner.cli.options import ConsoleOptions

    return ConsoleOptions(no_color="--no-color" in sys.argv, ascii="--ascii" in sys.argv).err


def show_fault(fault: Fault) -> None:
    """The panel on stderr; one JSON object on stdout where the command was asked for JSON, be it the result or the events."""
    words = " ".join(sys.argv[1:])
    if "--json" in sys.argv or "--progress json" in words or "--progress=json" in words:
        from provisioner.cli.json_output import fault_object, print_json

        print_json(fault_object(fault))
        return
    from provisioner.views.error_panel import render_error_panel

    console = _console()
    sys.stderr.write(console.render(render_error_panel(fault, console)))


def _surroundings(error: BaseException) -> Fault | None:
    """No space, no quota or a read-only disk on this computer is no bug of ours, wherever it is met."""
    if isinstance(error, BaseExceptionGroup):
        return next((fault for inner in error.exceptions if (fault := _surroundings(inner)) is not None), None)
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return None
    return Fault(
        "P-LOCAL-HOME",
        f"this computer cannot write: {error.strerror}",
        expected="space for journals and client files in the provision home, and for what is printed",
        seen=(str(error),),
        next_steps=("make space, then the same command again: it reads what is there and goes on",),
    )


def _bug(error: Exception) -> Fault:
    """The traceback goes to a file: without local variables, and with what looks secret in its messages hidden."""
    from provisioner.cli.settings import working_folder
    from provisioner.clusterfile.settings import provision_home
    from provisioner.store.files import make_private_folder, write_atomically

    try:
        folder = provision_home(os.environ, working_folder()) / "bugs"
        path = folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.txt"
        make_private_folder(folder)
        write_atomically(
            path, redacted("".join(traceback.format_exception(error))).encode(errors="replace"), mode=0o600
        )
        where = str(path)
    except (OSError, Fault):
        where = "nowhere: the provision home cannot be written"
    return Fault(
        "P-RUN-BUG",
        f"{type(error).__name__}: {error}",
        expected="no bug",
        seen=(f"traceback in {where}",),
        next_steps=("report it with that file",),
    )
