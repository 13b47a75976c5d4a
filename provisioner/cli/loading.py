"""From what was typed to a context: settings, cluster file, and the lab or the host behind it."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import typer

from provisioner.cli.options import ClusterOptions, ConsoleOptions
from provisioner.cli.settings import read_all_settings
from provisioner.clusterfile import Loaded, Settings, find_cluster_file, list_clusters, load_cluster
from provisioner.compose import Context, WorldClock, close_ports, new_configs, open_context, open_ports, open_store
from provisioner.errors import Fault, Finding
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.ports import CallInfo, Ports
from provisioner.views.console import line, printable

T = TypeVar("T")


def cluster_file(settings: Settings) -> Path:
    """The cluster file that the settings name; without a name, the only one in the user's own folders. Raises P-FILE-NOTFOUND."""
    if settings.cluster:
        return find_cluster_file(settings.cluster, folders=settings.folders)
    *folders, shipped = settings.folders
    own = list_clusters(folders)
    if len(own) == 1:
        return next(iter(own.values()))
    if own:
        raise Fault(
            "P-FILE-NOTFOUND",
            "which cluster?",
            expected="a name or a path",
            seen=(f"there are {', '.join(own)}",),
            next_steps=("the same command with one of the names",),
        )
    examples = ", ".join(list_clusters((shipped,)))
    raise Fault(
        "P-FILE-NOTFOUND",
        "no cluster was named, and you have no cluster file",
        expected="a name or a path",
        seen=(f"looked in {', '.join(map(str, folders))}", f"examples that come with provision: {examples}"),
        next_steps=("provision plan lab    is an example that needs no file of yours",),
    )


def load(cluster: str, host: str = "", user: str = "") -> tuple[Settings, Loaded]:
    """What a command goes by, and the cluster file of it, read. Raises P-FILE-NOTFOUND, P-FILE-FINDINGS."""
    settings = read_all_settings(cluster, host, user)
    return settings, load_cluster(cluster_file(settings), overrides=settings.overrides)


def open_cluster(options: ClusterOptions, *, start_lab: bool, needs_name: bool = False) -> Context:
    """Everything a command needs for one cluster. With `needs_name` only a name that was typed will do. Raises a Fault."""
    if needs_name and not options.cluster:  # `provision down "$EMPTY"` must not fall back on PROVISION_CLUSTER
        raise Fault("P-FILE-NOTFOUND", "which cluster?", expected="a name or a path, typed", seen=("an empty name",))
    settings, loaded = load(options.cluster, options.host, options.user)
    check_configs(loaded)
    ask = _ask if sys.stdin.isatty() and sys.stderr.isatty() else None
    return open_context(settings, loaded, ask=ask, environment=os.environ, start_lab=start_lab)


def check_configs(loaded: Loaded) -> tuple[Finding, ...]:
    """Talos' warnings about the patches of the file, before anything is made. Raises P-FILE-FINDINGS for what Talos would refuse."""
    cluster = loaded.cluster
    if not cluster.has_patches:
        return ()  # what we generate without patches is held by tests
    findings = new_configs(WorldClock()).findings(cluster)
    wrong = sum(finding.severity == "error" for finding in findings)
    if wrong:
        raise Fault(
            "P-FILE-FINDINGS",
            f"{wrong} finding{'s' if wrong > 1 else ''} in the patches of {cluster.file}",
            findings=findings,
            next_steps=(f"correct these lines, then: provision config check {cluster.name}",),
        )
    return findings


@asynccontextmanager
async def opened(context: Context, **listeners: Callable[..., None]) -> AsyncIterator[Ports]:
    """The ports of a context, closed in any case. The listeners are those of `open_ports`."""
    ports = open_ports(context, **listeners)
    try:
        yield ports
    finally:
        await close_ports(ports)


def read(
    context: Context, terminal: ConsoleOptions, work: Callable[[Ports], Awaitable[T]], *, calls_from: int = 2
) -> T:
    """Reads something with fresh ports, in an event loop of its own. From the verbosity `calls_from` on each call to a host is shown."""

    def tell(call: CallInfo) -> None:
        from provisioner.views.table import call_words  # with the whole table of a run: for those who ask to see calls

        call = replace(call, elapsed_s=call.elapsed_s / context.clock.rate)
        sys.stderr.write(terminal.err.render(terminal.err.wrapped(line(call_words(call)), indent=4)))

    async def go() -> T:
        listeners = {"on_call": tell} if terminal.verbosity >= calls_from else {}
        async with opened(context, **listeners) as ports:
            return await work(ports)

    return asyncio.run(go())


def _ask(question: str) -> str:
    """Asked before any work, on the terminal itself; never echoed."""
    try:
        return getpass.getpass(f"{printable(question)}: ")
    except EOFError as error:
        raise typer.Abort from error


def machine_config(settings: Settings, cluster: Cluster, machine: MachineSpec) -> bytes:
    """The config as `up` would send it, with the cluster's own secrets, or with new ones where there are none yet."""
    from provisioner.workflows.up import expected_endpoint

    store = open_store(settings, cluster, os.environ)
    configs = new_configs(WorldClock())
    text = store.read_secrets()
    bundle = (
        configs.read_bundle(text) if text is not None else configs.new_bundle(cluster, store.secrets_facts().cluster_id)
    )
    config = configs.effective(cluster, cluster.control_planes[0])
    endpoint = expected_endpoint(cluster, config, store.read_hints())
    return configs.machine_config(cluster, machine, bundle, endpoint=endpoint)
