"""Talos: the API of its machines, by area, and the files that are made for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from provisioner.errors import Finding
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.effective import EffectiveConfig
from provisioner.model.facts import EtcdMemberFacts, MachineFacts, ServiceFacts

TALOS_PORT = 50000
"""Where a Talos machine's API listens, in maintenance and later. Source: https://www.talos.dev/v1.11/learn-more/talos-network-connectivity/"""


@dataclass(frozen=True, kw_only=True)
class TalosAccess:
    """A client's credentials for Talos' API, PEM. The key never leaves this object but into a TLS context."""

    ca: bytes
    crt: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ApplyOutcome:
    """Talos' answer to a config."""

    warnings: tuple[str, ...]
    mode: str
    details: str


# --- the API of a machine, by area ------------------------------------------------------------------------------------
#
# `access=None` means the maintenance stage: no client certificate, and the server's key must be `pin`, if one is given.
# All methods raise a `TransportError`: `Unreachable` while nothing answers, `NotTrusted` when the server is not what `access` or `pin`
# expects, `Rejected` when it refuses our certificate, `TalosRefused` with the gRPC status, `Malformed` for what is no answer of Talos.
# Source: https://github.com/siderolabs/talos/blob/v1.11.5/api/machine/machine.proto


class MachineReader(Protocol):
    """What a machine says of itself: resources alone, so it works in maintenance and on every version."""

    async def read(self, address: str, access: TalosAccess | None, *, pin: str = "") -> MachineFacts:
        """All facts of the machine, over one connection. Can be repeated at any time."""

    def watch(self, address: str, access: TalosAccess | None, *, pin: str = "") -> AsyncIterator[MachineFacts]:
        """`read`, then again at each change of the machine's status, pushed by Talos. Ends with the connection; closing the iterator
        stops it.
        """


class MachineConfigurer(Protocol):
    """Gives machines their config."""

    async def apply(
        self, address: str, access: TalosAccess | None, config: bytes, *, dry_run: bool, pin: str = ""
    ) -> ApplyOutcome:
        """Sends a machine config in mode `auto`: the machine decides whether it reboots. `dry_run` has it checked only, but sends all keys.

        Idempotent: the same config again changes nothing. Raises `TalosRefused` with Talos' findings, `Dropped` when the answer was lost,
        which in maintenance is no sign of failure: the server stops as soon as it has taken a config.
        """


class Etcd(Protocol):
    """etcd, as far as Talos manages it."""

    async def bootstrap(self, address: str, access: TalosAccess) -> None:
        """Starts the cluster's etcd on a control plane, once in its life. Not idempotent across machines: two machines that are both
        bootstrapped are two clusters.

        Raises `TalosRefused`: FAILED_PRECONDITION while it is too early, ALREADY_EXISTS when etcd has data there; `Dropped` when the
        answer was lost. Source: https://www.talos.dev/v1.11/introduction/getting-started/
        """

    async def etcd_members(self, address: str, access: TalosAccess) -> tuple[EtcdMemberFacts, ...]:
        """The members of etcd as that control plane knows them. Raises `TalosRefused` while etcd does not run there."""


class Services(Protocol):
    """Talos' services on a machine."""

    async def services(self, address: str, access: TalosAccess) -> tuple[ServiceFacts, ...]:
        """All services with state and health. Can be repeated at any time."""


class ByteSink(Protocol):
    """Where streamed bytes go: a file (`store.files.writing_atomically`), a terminal."""

    def write(self, piece: bytes, /) -> object:
        """Takes the next bytes. What it raises ends the call that streams."""


class Downloads(Protocol):
    """What a machine streams as bytes: never held in memory as a whole."""

    async def read_file(self, address: str, access: TalosAccess, path: str, sink: ByteSink, *, most: int) -> int:
        """Gives a file of the machine to the sink, piece by piece; its size in bytes. Needs the role os:admin.

        Raises `TalosRefused` for a file that is not there, `Malformed` for more than `most` bytes; pieces that came before are in the sink.
        """


class Machines(MachineReader, MachineConfigurer, Etcd, Services, Downloads, Protocol):
    """Talos' API, all areas of it. One connection per address and credentials is kept."""

    async def close(self) -> None:
        """Ends all connections; idempotent."""


# --- files ------------------------------------------------------------------------------------------------------------


class Bundle(Protocol):
    """A cluster's secrets. Opaque to the flow; never printed."""

    @property
    def cluster_id(self) -> str:
        """Talos' own id of the cluster, which machines tell (`MachineFacts.cluster_id`)."""


class Configs(Protocol):
    """Talos' files, made natively: secrets bundle, machine configs, client files. Pure but for randomness and time.

    Source: https://www.talos.dev/v1.11/reference/configuration/
    """

    def new_bundle(self, cluster: Cluster, mark_id: str) -> Bundle:
        """Fresh secrets, from which the id that the cluster's marks bear can be told again (`naming.id_from_secrets`)."""

    def read_bundle(self, text: bytes) -> Bundle:
        """The secrets of a `secrets.yaml`. Raises a Fault P-CONFIG-BADSECRETS that names what is missing."""

    def write_bundle(self, bundle: Bundle) -> bytes:
        """The text of `secrets.yaml`, as `talosctl gen secrets` writes it; `read_bundle` reads it back."""

    def machine_config(self, cluster: Cluster, machine: MachineSpec, bundle: Bundle, *, endpoint: str) -> bytes:
        """The whole config with all patches, validated. Raises a Fault P-CONFIG-REFUSED with all findings."""

    def findings(self, cluster: Cluster) -> tuple[Finding, ...]:
        """What Talos would refuse in the configs of this cluster file, without secrets and before anything is made."""

    def effective(self, cluster: Cluster, machine: MachineSpec, *, endpoint: str = "") -> EffectiveConfig:
        """What the machine's config says after all patches; no secrets needed. Pure, and remembered: many ask.

        `endpoint` is the one decided on, where it is known. Values of a config that cannot be made (`findings` tells) are the file's.
        """

    def access(self, bundle: Bundle) -> TalosAccess:
        """A fresh admin certificate."""

    def talosconfig(self, cluster: Cluster, bundle: Bundle, *, endpoints: Sequence[str], nodes: Sequence[str]) -> bytes:
        """A talosconfig with a fresh admin certificate, valid for a year. `endpoints` and `nodes` are as a client must dial them."""

    def kubeconfig(self, cluster: Cluster, bundle: Bundle, *, server: str) -> bytes:
        """A kubeconfig with a fresh admin certificate, valid for a year. `server` is the URL as a client must dial it."""
