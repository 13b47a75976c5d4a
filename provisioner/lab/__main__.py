"""The lab's process: `python -m provisioner.lab --folder F ...`. Started by `control.start`; not meant to be typed."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioner.lab.serve import ShellFactory


def main(shells: ShellFactory | None = None) -> int:
    """Serves until it is told to stop. `shells`: see `Lab`. What goes wrong at the start is said through the pipe, in one line."""
    parser = argparse.ArgumentParser(prog="provisioner.lab")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--twin-mac", default="", help="bare MAC address of a third-party machine in the LAN")
    parser.add_argument("--ready-fd", type=int, default=-1)
    arguments = parser.parse_args()

    def tell(word: str) -> None:
        if arguments.ready_fd >= 0:
            with contextlib.suppress(OSError):
                os.write(arguments.ready_fd, word.encode() + b"\n")
                os.close(arguments.ready_fd)

    os.umask(0o077)  # the host's disks hold keys
    from provisioner.lab.serve import Lab

    try:
        lab = Lab(
            arguments.folder,
            speed=arguments.speed,
            seed=arguments.seed,
            twin_mac=arguments.twin_mac,
            shells=shells,
        )
        lab.start()
    except (OSError, ValueError, RuntimeError) as error:
        tell(f"{type(error).__name__}: {error}")
        raise
    tell("ready")
    lab.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
