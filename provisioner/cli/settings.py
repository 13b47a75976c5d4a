"""What a command goes by beside its cluster file: options, then environment, then defaults."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from provisioner.clusterfile import Settings, read_settings
from provisioner.data import data_folder


def read_all_settings(cluster: str, host: str = "", user: str = "") -> Settings:
    """Options, then environment, then defaults; the clusters that come with the product are found last."""
    settings = read_settings(os.environ, cwd=working_folder(), cluster=cluster, host=host, user=user)
    return replace(settings, folders=(*settings.folders, data_folder("clusters")))


def working_folder() -> Path | None:
    """None where it was deleted."""
    try:
        return Path.cwd()
    except OSError:
        return None
