"""`provision config`: the cluster file's findings, effective values and schema, and the machine configs that come of it."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from provisioner.cli.help import Command, Group
from provisioner.cli.options import ConsoleOptions, FileOptions, command_of
from provisioner.faults import Exit

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.clusterfile import Loaded
    from provisioner.errors import Fault

SCHEMA = "provision/config/1"

app = typer.Typer(cls=Group, help="Check, show and describe cluster files.", no_args_is_help=True)


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """What `config schema` takes."""


@app.command(cls=Command)
@command_of(FileOptions)
def check(terminal: ConsoleOptions, options: FileOptions) -> int:
    """List everything that is wrong with a cluster file, with line and column.

    provision config check home

    provision config check clusters/home.yaml --json
    """
    from dataclasses import replace

    from provisioner.cli.loading import check_configs, cluster_file
    from provisioner.cli.settings import read_all_settings
    from provisioner.clusterfile import load_cluster
    from provisioner.errors import Fault

    settings = read_all_settings(options.cluster)
    path = cluster_file(settings)
    try:
        loaded = load_cluster(path, overrides=settings.overrides)
        loaded = replace(loaded, warnings=(*loaded.warnings, *check_configs(loaded)))
    except Fault as fault:
        if fault.id != "P-FILE-FINDINGS":
            raise
        return _tell_check(terminal, options, path, fault)
    return _tell_check(terminal, options, path, loaded)


def _tell_check(terminal: ConsoleOptions, options: FileOptions, path: "Path", found: "Loaded | Fault") -> int:
    from provisioner.errors import Fault

    if options.json:
        from provisioner.cli.json_output import print_json

        print_json(_checked_object(path, found))
    else:
        from provisioner.views.config import render_good
        from provisioner.views.error_panel import render_error_panel

        console = terminal.out
        if isinstance(found, Fault):
            sys.stdout.write(console.render(render_error_panel(found, console)))
        else:
            sys.stdout.write(console.render(render_good(path, found.cluster, found.warnings, console)))
    return found.exit if isinstance(found, Fault) else Exit.DONE


def _checked_object(path: "Path", found: "Loaded | Fault") -> dict[str, Any]:
    from dataclasses import asdict

    from provisioner.errors import Fault

    fault = found if isinstance(found, Fault) else None
    findings = found.findings if isinstance(found, Fault) else found.warnings
    return {
        "schema": SCHEMA,
        "file": str(path),
        "ok": fault is None,
        "cluster": None if isinstance(found, Fault) else found.cluster.name,
        "findings": [asdict(finding) for finding in findings],
        "fault": fault.id if fault else None,
        "exit": fault.exit if fault else int(Exit.DONE),
    }


@app.command(cls=Command)
@command_of(FileOptions)
def show(terminal: ConsoleOptions, options: FileOptions) -> int:
    """Show every value of a cluster, and where it came from.

    provision config show home

    provision config show home --json
    """
    from dataclasses import asdict

    from provisioner.cli.json_output import print_json
    from provisioner.cli.loading import load
    from provisioner.cli.settings import read_all_settings

    cluster = load(read_all_settings(options.cluster)).cluster
    if options.json:
        values = [asdict(origin) for origin in cluster.origins]
        print_json({"schema": SCHEMA, "file": str(cluster.file), "cluster": cluster.name, "values": values})
    else:
        from provisioner.views.config import render_values

        sys.stdout.write(terminal.out.render(render_values(cluster.origins, terminal.out)))
    return Exit.DONE


@app.command(cls=Command)
@command_of(Nothing)
def schema(_terminal: ConsoleOptions, _options: Nothing) -> int:
    """Print the JSON Schema of cluster files, for editors.

    provision config schema

    provision config schema > clusters/schema.json
    """
    from provisioner.cli.json_output import print_json
    from provisioner.clusterfile import json_schema

    print_json(json_schema(), indent=2)
    return Exit.DONE
