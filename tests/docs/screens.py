"""Screens of the docs: what the product's own views paint."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

from provisioner.clusterfile import load_cluster
from provisioner.model.events import FaultReported, Note
from provisioner.views.console import BLANK, Console
from provisioner.views.error_panel import render_error_panel
from provisioner.views.final import render_final
from provisioner.views.plan import render_plan
from provisioner.views.table import TableOptions, render_table
from provisioner.workflows.up import plan_up
from tests.docs import recording
from tests.docs.recording import fold
from tests.unit.steps.world import observed_of

WIDTH = 96


def up_lab() -> str:
    """`provision up lab` at its end."""
    screen, console = fold(recording.read(recording.GOOD)), Console(width=WIDTH)
    table = render_table(screen, console, TableOptions(now_s=screen.at_s))
    return _shown("provision up lab", f"{console.render(table)}\n{console.render(render_final(screen, console))}")


def link_drop() -> str:
    """The same run while the host's link is down."""
    events = recording.read(recording.GOOD)
    told = next(
        number for number, event in enumerate(events) if isinstance(event, Note) and "drops its link" in event.message
    )
    screen, console = fold(events[: told + 1]), Console(width=WIDTH)
    return _shown("", console.render(render_table(screen, console, TableOptions(now_s=screen.at_s))))


def failure() -> str:
    """How a run ends in which one machine did not come up."""
    events, console = recording.read(recording.FAILED), Console(width=WIDTH)
    screen = fold(events)
    (met,) = (event for event in events if isinstance(event, FaultReported))
    lines = [*render_error_panel(met, console), BLANK, *render_final(screen, console)]
    return _shown("", console.render(lines))


def plan_homelab() -> str:
    """`provision plan homelab` on a host that has nothing yet."""
    cluster = load_cluster(recording.ROOT / "clusters" / "homelab.yaml").cluster
    seen = observed_of({"secrets": {"path": "~/.provision/homelab/secrets.yaml"}}, cluster)
    (state,) = seen.hosts.values()
    seen = replace(seen, hosts=dict.fromkeys(cluster.hosts, state))
    return _shown(
        "provision plan homelab", render_plan(plan_up(cluster, seen), cluster, read_s=1.8, console=Console(width=WIDTH))
    )


def macs() -> str:
    """The addresses to reserve, as the command itself prints them."""
    command = [sys.executable, "-m", "provisioner", "config", "show", "homelab"]
    environment = os.environ | {"COLUMNS": str(WIDTH), "PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=recording.ROOT, env=environment, capture_output=True, text=True, check=True)
    rows = [line for line in done.stdout.splitlines() if ".mac " in line]
    return _shown("provision config show homelab | grep mac", "\n".join(rows))


SCREENS = {"up-lab": up_lab, "link-drop": link_drop, "failure": failure, "plan-homelab": plan_homelab, "macs": macs}


def _shown(command: str, text: str) -> str:
    prompt = f"$ {command}\n" if command else ""
    return f"```text\n{prompt}{text.rstrip()}\n```\n"
