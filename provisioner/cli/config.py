"""`provision config` as it is typed; what its commands do stands in `configuring.py`, loaded when one runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from provisioner.cli.help import Grouped

if TYPE_CHECKING:
    from provisioner.clusterfile import Loaded, Settings
    from provisioner.errors import Finding
    from provisioner.model.cluster import Cluster, MachineSpec
    from provisioner.views.console import Console

ClusterArgument = Annotated[str, typer.Argument(metavar="CLUSTER", help="Name or path of a cluster file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What these commands take from the rest of the command line."""

    settings: Settings
    console: Console
    machine_config: Callable[[Cluster, MachineSpec], bytes]
    """The config as `up` would send it, with the cluster's own secrets."""
    check_configs: Callable[[Loaded], tuple[Finding, ...]]
    """What Talos would refuse in the patches of the file, raised as P-FILE-FINDINGS; gives its warnings."""


def config_app(needs_of: Callable[[typer.Context], Needs]) -> typer.Typer:
    """The sub-commands; `needs_of` is asked when one runs."""
    app = typer.Typer(cls=Grouped, help="The cluster file: findings, effective values, schema.", no_args_is_help=True)

    @app.command()
    def check(ctx: typer.Context, cluster: ClusterArgument = "", json_: JsonOption = False) -> None:
        """Tell everything that is wrong with a cluster file, with line and column.

        provision config check home

        provision config check clusters/home.yaml --json
        """
        from provisioner.cli import configuring

        raise typer.Exit(configuring.check(needs_of(ctx), cluster, as_json=json_))

    @app.command()
    def show(ctx: typer.Context, cluster: ClusterArgument = "", json_: JsonOption = False) -> None:
        """Show every value of a cluster and where it came from.

        provision config show home

        provision config show home --json
        """
        from provisioner.cli import configuring

        configuring.show(needs_of(ctx), cluster, as_json=json_)

    @app.command()
    def schema() -> None:
        """Print the JSON Schema of cluster files, for editors.

        provision config schema

        provision config schema > clusters/schema.json
        """
        from provisioner.cli import configuring

        configuring.schema()

    @app.command()
    def machine(
        ctx: typer.Context,
        cluster: ClusterArgument,
        name: Annotated[str, typer.Argument(metavar="MACHINE", help="Name of a machine of that cluster.")],
        show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Print keys and tokens too.")] = False,
    ) -> None:
        """Print the machine config that would be sent to a machine, secrets left out.

        provision config machine home home-worker-1

        provision config machine home home-cp-1 --show-secrets
        """
        from provisioner.cli import configuring

        configuring.machine(needs_of(ctx), cluster, name, show_secrets=show_secrets)

    return app
