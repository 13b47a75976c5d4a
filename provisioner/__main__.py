"""The console script."""

from __future__ import annotations

import gc
import io
import os
import sys

from provisioner.cli.signals import stop_as_at_ctrl_c

_COLLECT_AFTER = 50_000
"""Objects made before the collector looks for cycles: at its own 700 it would look some hundred times while modules are imported."""


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    gc.set_threshold(_COLLECT_AFTER, 20, 20)
    _open_closed_streams()
    _take_any_character()
    os.environ.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "__all__"
    )  # else every installed package is read for plugins of pydantic
    try:
        stop_as_at_ctrl_c()
        from provisioner.cli.app import run

        run()
    except KeyboardInterrupt:  # before a handler was set, or after
        sys.exit(130)
    finally:
        gc.disable()
        gc.freeze()  # else the interpreter looks through all objects once more before it ends, a tenth of a second of each command


def _take_any_character() -> None:
    """On a terminal of another encoding a character that it lacks is spelled out; no command fails for a name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _open_closed_streams() -> None:
    """A stream that was closed before the start (`<&-`) leads nowhere, and no file or socket gets its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for the whole process


if __name__ == "__main__":
    main()
