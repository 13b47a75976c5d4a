"""`provision config`: the cluster file's findings, effective values and schema, and the machine configs that come of it."""

from dataclasses import asdict, dataclass

import typer

from provisioner.cli.help import Command, Group
from provisioner.cli.json_output import print_json
from provisioner.cli.options import ConsoleOptions, FileOptions, command_of
from provisioner.errors import Fault
from provisioner.faults import Exit

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
    from provisioner.cli.loading import check_configs, cluster_file
    from provisioner.cli.settings import read_all_settings
    from provisioner.clusterfile import load_cluster
    from provisioner.views.config import render_good
    from provisioner.views.error_panel import render_error_panel

    settings = read_all_settings(options.cluster)
    path = cluster_file(settings)
    cluster, fault = None, None
    try:
        loaded = load_cluster(path, overrides=settings.overrides)
        cluster, findings = loaded.cluster, (*loaded.warnings, *check_configs(loaded))
    except Fault as found:
        if found.id != "P-FILE-FINDINGS":
            raise
        fault, findings = found, tuple(found.findings)
    code = fault.exit if fault else int(Exit.DONE)
    if options.json:
        checked = {
            "schema": SCHEMA,
            "file": str(path),
            "ok": fault is None,
            "cluster": cluster and cluster.name,
            "findings": [asdict(finding) for finding in findings],
            "fault": fault and fault.id,
            "exit": code,
        }
        print_json(checked)
    elif fault:
        terminal.print(render_error_panel(fault, terminal.out))
    elif cluster:
        terminal.print(render_good(path, cluster, findings, terminal.out))
    return code


@app.command(cls=Command)
@command_of(FileOptions)
def show(terminal: ConsoleOptions, options: FileOptions) -> int:
    """Show every value of a cluster, and where it came from.

    provision config show home

    provision config show home --json
    """
    from provisioner.cli.loading import load
    from provisioner.views.config import render_values

    cluster = load(options.cluster)[1].cluster
    if options.json:
        values = [asdict(origin) for origin in cluster.origins]
        print_json({"schema": SCHEMA, "file": str(cluster.file), "cluster": cluster.name, "values": values})
    else:
        terminal.print(render_values(cluster.origins, terminal.out))
    return Exit.DONE


@app.command(cls=Command)
@command_of(Nothing)
def schema(_terminal: ConsoleOptions, _options: Nothing) -> int:
    """Print the JSON Schema of cluster files, for editors.

    provision config schema

    provision config schema > clusters/schema.json
    """
    from provisioner.clusterfile import json_schema

    print_json(json_schema(), indent=2)
    return Exit.DONE
