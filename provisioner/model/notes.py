"""What the notes of a cluster say (`notes.json`). People edit files: whatever is not of the form says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioner.model.facts import EtcdBegan


def etcd_began(notes: Mapping[str, Any]) -> EtcdBegan | None:
    """What the notes say of etcd's start."""
    noted = notes.get("bootstrapped")
    if not noted:
        return None
    vms = noted.get("vms") if isinstance(noted, dict) else None
    return EtcdBegan(vms=tuple(str(vm) for vm in vms) if isinstance(vms, list) else ())


def endpoint_sent(notes: Mapping[str, Any]) -> str:
    """The endpoint that the configs of the machines carry, as far as an earlier run sent them."""
    return str(notes.get("endpoint") or "")


def client_endpoint(notes: Mapping[str, Any]) -> str:
    """The endpoint that the files for clients were written for."""
    return str(notes.get("client_endpoint") or "")


def without_beginning(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The notes for a cluster whose machines, and etcd with them, are given up."""
    return {key: value for key, value in notes.items() if key not in ("bootstrapped", "endpoint")}
