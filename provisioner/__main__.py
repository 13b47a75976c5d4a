"""The console script."""

from __future__ import annotations


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    from provisioner.cli.app import run

    run()


if __name__ == "__main__":
    main()
