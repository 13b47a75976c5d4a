"""What `provision` alone says: what is here, and what to type first."""

from __future__ import annotations

import sys


def first_minutes() -> None:
    from provisioner.cli.loading import read_all_settings
    from provisioner.clusterfile import list_clusters
    from provisioner.data import data_folder
    from provisioner.views.console import printable

    own = list_clusters(read_all_settings("").folders[:-1])
    if own:
        sys.stdout.write("Clusters here:\n")
        for found in own:
            sys.stdout.write(f"  provision status {printable(found.name)}\n")
    else:
        sys.stdout.write(
            "No cluster files here. ConsoleOptions at the embedded lab first:\n"
            "  provision up lab\n"
            "For a host of yours, copy this file to clusters/home.yaml and put your host into it:\n"
            f"  {data_folder('clusters') / 'homelab.yaml'}\n"
            "  provision config check home\n"
            "  provision plan home\n"
        )
    sys.stdout.write("All commands: provision --help\n")
