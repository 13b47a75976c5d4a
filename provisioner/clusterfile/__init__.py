"""The cluster file: found, read, checked, explained. All findings are reported at once, each with its place.

    find_cluster_file   a name or a path -> the file
    load_cluster        the file -> a `Cluster`, or the Fault that carries all findings
    list_clusters       all files in the folders
    json_schema         for editors; committed as clusters/schema.json

pydantic and PyYAML are loaded when a file is read, not before.
"""

from __future__ import annotations

from provisioner.clusterfile.load import Loaded, json_schema, load_cluster
from provisioner.clusterfile.locate import find_cluster_file, list_clusters
from provisioner.clusterfile.settings import Setting, Settings, read_settings

__all__ = [
    "Loaded",
    "Setting",
    "Settings",
    "find_cluster_file",
    "json_schema",
    "list_clusters",
    "load_cluster",
    "read_settings",
]
