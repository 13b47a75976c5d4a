"""What a run keeps for the next ones (`notes.json`). People edit files: a value of another form says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from provisioner.model.facts import EtcdBegan


@dataclass(frozen=True, kw_only=True)
class MachineHint:
    """Where a machine was, and whether Talos was on its disk: the disk of that VM, and of no later one of the same name."""

    address: str = ""
    installed: bool = False
    vm: str = ""
    """Id of the VM."""

    def installed_on(self, vm_id: str) -> bool:
        """Whether Talos was seen on the disk of that VM."""
        return self.installed and self.vm == vm_id


@dataclass(frozen=True, kw_only=True)
class Hints:
    """Never proof: what a hint says is always read again. Pure; a store reads and writes them."""

    machines: Mapping[str, MachineHint] = field(default_factory=dict)
    """By name; also machines that the cluster file does not name any more."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Checksum by file name, pinned at first use."""
    endpoint: str = ""
    """The endpoint that the configs of the machines carry, as far as an earlier run sent them."""
    client_endpoint: str = ""
    """The endpoint that the files for clients were written for."""
    etcd_began: EtcdBegan | None = None
    """An earlier run started etcd, and the machines were not given up since."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """What another version noted: kept as it is."""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Hints:
        """What the file says; never fails."""
        began = told.get(_BEGAN)
        vms = _mapping(began).get("vms")
        return cls(
            machines={name: _machine(_mapping(each)) for name, each in _mapping(told.get("machines")).items()},
            images={name: _text(each) for name, each in _mapping(told.get("images")).items()},
            endpoint=_text(told.get("endpoint")),
            client_endpoint=_text(told.get("client_endpoint")),
            etcd_began=EtcdBegan(vms=tuple(map(str, vms)) if isinstance(vms, list) else ()) if began else None,
            others={key: value for key, value in told.items() if key not in _KNOWN},
        )

    def to_json(self) -> dict[str, Any]:
        """What stands in the file; what is not known is left out."""
        machines = {
            name: {"address": each.address, "installed": each.installed, "vm": each.vm}
            for name, each in self.machines.items()
        }
        told = {
            "machines": machines,
            "images": dict(self.images),
            "endpoint": self.endpoint,
            "client_endpoint": self.client_endpoint,
            _BEGAN: {"vms": list(self.etcd_began.vms)} if self.etcd_began else None,
        }
        return dict(self.others) | {key: value for key, value in told.items() if value}

    def of(self, machine: str) -> MachineHint:
        """What is known of a machine; nothing, where nothing is."""
        return self.machines.get(machine, MachineHint())

    def without_cluster(self) -> Hints:
        """For a cluster whose machines, and etcd with them, are given up."""
        return replace(self, etcd_began=None, endpoint="")


_BEGAN = "bootstrapped"
_KNOWN = frozenset({"machines", "images", "endpoint", "client_endpoint", _BEGAN})


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _machine(told: Mapping[str, Any]) -> MachineHint:
    return MachineHint(
        address=_text(told.get("address")), installed=told.get("installed") is True, vm=_text(told.get("vm"))
    )
