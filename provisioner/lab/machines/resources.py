"""A machine's resources with versions, as COSI serves them: each look at the machine is compared with the one before."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml
from google.protobuf.timestamp_pb2 import Timestamp

from provisioner.lab.machines import kinds, snapshot, wire
from provisioner.lab.world.guests.machine import Machine
from provisioner.talos.api.gen import cosi_pb2

FIRST_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One resource at one version."""

    kind: kinds.Kind
    id: str
    version: int
    created: Timestamp
    updated: Timestamp
    spec: dict[str, Any]

    def resource(self) -> cosi_pb2.Resource:
        """With both encodings of the spec filled, as cosi-project/runtime sends it."""
        if self.kind.raw:
            text = self.spec[self.kind.fields[0].key].decode(errors="replace")
        else:
            value = self.spec[self.kind.scalar] if self.kind.scalar else self.spec
            text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True).removesuffix("...\n")
        return cosi_pb2.Resource(
            metadata=cosi_pb2.Metadata(
                namespace=self.kind.namespace,
                type=self.kind.type,
                id=self.id,
                version=str(self.version),
                owner=f"{self.kind.singular}Controller",
                phase="running",
                created=self.created,
                updated=self.updated,
            ),
            spec=cosi_pb2.Spec(proto_spec=wire.encode(self.kind.fields, self.spec), yaml_spec=text),
        )


def tombstone(kind: kinds.Kind, id: str) -> cosi_pb2.Resource:
    """What a watch of one id tells while it is absent."""
    metadata = cosi_pb2.Metadata(namespace=kind.namespace, type=kind.type, id=id, version="undefined", phase="running")
    return cosi_pb2.Resource(metadata=metadata, spec=cosi_pb2.Spec())


class View:
    """The resources of one boot of a machine. `look` is called with the world's lock held."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._entries: dict[str, dict[str, Entry]] = {}

    def look(self, kind: kinds.Kind, namespace: str = "") -> dict[str, Entry]:
        """All of that kind by id, as they are now. Each kind lives in one namespace; any other has none of it."""
        if namespace and namespace != kind.namespace:
            return {}
        before = self._entries.get(kind.type, {})
        now = Timestamp()
        now.FromDatetime(self._machine.kernel.clock.wall())
        after: dict[str, Entry] = {}
        for name, spec in snapshot.take(self._machine, kind).items():
            old = before.get(name)
            if old is None:
                after[name] = Entry(kind, name, FIRST_VERSION, now, now, spec)
            elif old.spec == spec:
                after[name] = old
            else:
                after[name] = Entry(kind, name, old.version + 1, old.created, now, spec)
        self._entries[kind.type] = after
        return after


def selected(entries: dict[str, Entry], pattern: str) -> dict[str, Entry]:
    """Those whose id the pattern finds; all without one."""
    return {name: entry for name, entry in entries.items() if not pattern or re.search(pattern, name)}
