"""What `provision config` does: the cluster file's findings, effective values and schema, and the machine configs that come of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer

from provisioner.cli.config import Needs
from provisioner.clusterfile import Loaded, effective, find_cluster_file, json_schema, load_cluster
from provisioner.errors import Fault
from provisioner.faults import Exit, exit_code
from provisioner.model.cluster import Origin
from provisioner.model.jsontext import json_text
from provisioner.model.redaction import redacted
from provisioner.views.console import Console, Glyph, Line, Span, Style, line, pad
from provisioner.views.error_panel import found, render_error_panel, render_findings
from provisioner.views.formatting import count, shown_path

SCHEMA = "provision/config/1"
_WIDEST = 36
"""Columns at most for the names of values in `config show`."""


def check(needs: Needs, cluster: str, *, as_json: bool) -> int:
    """Prints all findings; gives the exit code."""
    path = _file(needs, cluster)
    try:
        loaded = load_cluster(path, overrides=needs.settings.overrides)
        loaded = replace(loaded, warnings=(*loaded.warnings, *needs.check_configs(loaded)))
    except Fault as fault:
        if fault.id != "P-FILE-FINDINGS":
            raise
        if as_json:
            _write_json(_checked_json(path, fault, None))
        else:
            typer.echo(needs.console.render(render_error_panel(fault, needs.console)), nl=False)
        return exit_code(fault.id)
    if as_json:
        _write_json(_checked_json(path, None, loaded))
    else:
        typer.echo(needs.console.render(_good(path, loaded, needs.console)), nl=False)
    return Exit.DONE


def show(needs: Needs, cluster: str, *, as_json: bool) -> None:
    """Prints every value and where it came from."""
    path = _file(needs, cluster)
    loaded = load_cluster(path, overrides=needs.settings.overrides)
    if as_json:
        _write_json(
            {
                "schema": SCHEMA,
                "file": str(path),
                "cluster": loaded.cluster.name,
                "values": [_origin_json(origin) for origin in effective(loaded.cluster)],
            }
        )
    else:
        typer.echo(needs.console.render(_values(effective(loaded.cluster), needs.console)), nl=False)


def schema() -> None:
    """Prints the JSON Schema of cluster files."""
    _write_json(json_schema())


def machine(needs: Needs, cluster: str, name: str, *, show_secrets: bool) -> None:
    """Prints the machine config of one machine."""
    loaded = load_cluster(_file(needs, cluster), overrides=needs.settings.overrides)
    try:
        spec = loaded.cluster.machine(name)
    except KeyError:
        names = ", ".join(machine.name for machine in loaded.cluster.machines)
        raise Fault(
            "P-RUN-UNKNOWN",
            f"{loaded.cluster.name} has no machine {name}",
            expected="a machine of the cluster file",
            seen=(f"there are {names}",),
        ) from None
    text = needs.machine_config(loaded.cluster, spec).decode()
    typer.echo(text if show_secrets else _without_secrets(text), nl=False)


def _file(needs: Needs, cluster: str) -> Path:
    return find_cluster_file(cluster or needs.settings.cluster, folders=needs.settings.folders)


def _write_json(value: Any) -> None:
    typer.echo(redacted(json_text(value, indent=2, encoding=sys.stdout.encoding or "utf-8")))


def _checked_json(path: Path, fault: Fault | None, loaded: Loaded | None) -> dict[str, Any]:
    findings = fault.findings if fault else loaded.warnings if loaded else ()
    return {
        "schema": SCHEMA,
        "file": str(path),
        "ok": fault is None,
        "cluster": loaded.cluster.name if loaded else None,
        "findings": [asdict(finding) for finding in findings],
        "fault": fault.id if fault else None,
        "exit": exit_code(fault.id) if fault else int(Exit.DONE),
    }


def _good(path: Path, loaded: Loaded, console: Console) -> Iterator[Line]:
    cluster = loaded.cluster
    sign = console.sign(Glyph.WARNING, Style.SLOW) if loaded.warnings else console.sign(Glyph.DONE, Style.GOOD)
    words = f"{shown_path(path)}: {found(loaded.warnings)}"
    yield from console.wrapped(line(sign, " ", words), indent=console.glyph_cells + 1)
    yield from render_findings(loaded.warnings, console)
    machines = f"{count(len(cluster.control_planes), 'control plane')}, {count(len(cluster.workers), 'worker')}"
    hosts = ", ".join(cluster.hosts)
    about = f"{cluster.name} on {hosts}: {machines}, Talos {cluster.talos}, Kubernetes {cluster.kubernetes}"
    yield from console.wrapped(line("  ", about), indent=2)


def _values(origins: tuple[Origin, ...], console: Console) -> Iterator[Line]:
    """`path   value   origin`, the origin dim where nobody chose the value."""
    names = min(_WIDEST, max(len(origin.path) for origin in origins))
    values = min(_WIDEST, max(len(_shown(origin.value)) for origin in origins))
    for origin in origins:
        chosen = origin.source not in ("default", "computed")
        name, value = pad(origin.path, names), pad(_shown(origin.value), values)
        where = str(origin.place) if origin.place else origin.source
        row = line(name, "  ", value, "  ", Span(where, Style.PLAIN if chosen else Style.KEPT))
        yield from console.wrapped(row, indent=4)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "-"
    return str(value)


def _origin_json(origin: Origin) -> dict[str, Any]:
    return {
        "path": origin.path,
        "value": origin.value,
        "source": origin.source,
        "place": asdict(origin.place) if origin.place else None,
    }


SECRET = "«secret»"  # noqa: S105  # what stands in a secret's place
_SECRET_KEYS = {
    "token",
    "key",
    "secret",
    "secretboxEncryptionSecret",
    "aescbcEncryptionSecret",
    "bootstrapToken",
    "password",
    "auth",
    "identityToken",
    "privateKey",
    "presharedKey",
    "passphrase",
}
"""Keys of Talos' machine config whose values are secret; some of them mean something harmless elsewhere (a taint's key)."""


def _without_secrets(text: str) -> str:
    """The same text with the values of secret keys replaced, everything else as it stands."""
    import yaml

    spans: list[tuple[int, int]] = []

    def walk(node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value in _SECRET_KEYS and isinstance(value, yaml.ScalarNode):
                    if value.value:
                        spans.append((value.start_mark.index, value.end_mark.index))
                else:
                    walk(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                walk(value)

    for document in yaml.compose_all(text, Loader=yaml.SafeLoader):
        walk(document)
    for start, end in reversed(spans):
        tail = "\n" if text[start:end].endswith("\n") else ""
        text = text[:start] + SECRET + tail + text[end:]
    return text
