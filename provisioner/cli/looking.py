"""`status` and `explain`: commands that read."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from provisioner.cli.options import ConsoleOptions
from provisioner.errors import Fault
from provisioner.faults import FAULTS, Exit
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.jsontext import json_text
from provisioner.model.redaction import redacted

if TYPE_CHECKING:
    from provisioner.model.status import StatusReport


def status(look: ConsoleOptions, cluster: str, *, as_json: bool, exit_code: bool, host: str, user: str) -> int:
    """Prints what is there. Exit 0 when all of it could be read, else 4; with `exit_code` 10 when it is not healthy or differs from the
    file.
    """
    from provisioner.cli.loading import open_cluster
    from provisioner.compose import close_ports, open_ports

    context = open_cluster(cluster, host=host, user=user, start_lab=False)

    async def go() -> StatusReport:
        ports = open_ports(context)
        from provisioner.operations.status import status as read_status  # while the host signs us in

        try:
            return await read_status(context.cluster, ports)
        finally:
            await close_ports(ports)

    report = asyncio.run(go())
    if as_json:
        sys.stdout.write(redacted(json_text(report.to_json(), encoding=sys.stdout.encoding or "utf-8")) + "\n")
    else:
        from provisioner.views.status import render_status

        sys.stdout.write(render_status(report, console=look.console))
    if not report.complete:
        return Exit.NOT_READY
    return Exit.PENDING if exit_code and (report.drifted or not report.healthy) else Exit.DONE


def explain(look: ConsoleOptions, fault_id: str) -> int:
    """Prints the long text of a fault, or all ids."""
    from provisioner.views.explain import render_explain, render_fault_list

    wanted = fault_id.upper()
    if not wanted:
        sys.stdout.write(look.console.render(render_fault_list(look.console)))
        return Exit.DONE
    if wanted not in FAULTS:
        import difflib

        close = difflib.get_close_matches(wanted, FAULTS, n=3, cutoff=0.5)
        raise Fault(
            "P-RUN-UNKNOWN",
            f"{fault_id} is no fault",
            expected="an id as the box shows it",
            seen=tuple(f"did you mean {name}?" for name in close),
            next_steps=("provision explain",),
        )
    sys.stdout.write(look.console.render(render_explain(FAULTS[wanted], look.console)))
    return Exit.DONE


def machine_config(cluster: Cluster, machine: MachineSpec) -> bytes:
    """The config as `up` would send it, with the cluster's own secrets, or with fresh ones where there are none yet."""
    from provisioner.cli.loading import read_all_settings
    from provisioner.compose import WorldClock, new_configs, open_store
    from provisioner.workflows.up import expected_endpoint

    store = open_store(read_all_settings(cluster.name), cluster, os.environ)
    configs = new_configs(WorldClock())
    text = store.read_secrets()
    bundle = (
        configs.read_bundle(text) if text is not None else configs.new_bundle(cluster, store.secrets_facts().cluster_id)
    )
    config = configs.effective(cluster, cluster.control_planes[0])
    endpoint = expected_endpoint(cluster, config, store.read_notes())
    return configs.machine_config(cluster, machine, bundle, endpoint=endpoint)
