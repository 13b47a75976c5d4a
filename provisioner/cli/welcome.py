"""What `provision` alone says: what is here, and what to type first."""

from __future__ import annotations

from provisioner.cli.options import ConsoleOptions


def welcome(terminal: ConsoleOptions) -> None:
    """Prints the cluster files found, or the first steps where there are none."""
    from provisioner.cli.settings import read_all_settings
    from provisioner.clusterfile import list_clusters
    from provisioner.data import data_folder
    from provisioner.views.console import line

    own = list_clusters(read_all_settings("").folders[:-1])
    if own:
        lines = ["Clusters:", *(f"  provision status {name}" for name in own)]
    else:
        lines = [
            "There are no cluster files here. Try the embedded lab first:",
            "  provision up lab",
            "For a host of your own, copy this file to clusters/home.yaml and enter your host:",
            f"  {data_folder('clusters') / 'homelab.yaml'}",
            "  provision config check home",
            "  provision plan home",
        ]
    terminal.print(line(each) for each in (*lines, "All commands: provision --help"))
