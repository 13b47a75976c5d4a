"""The lab as the client sees it: a process that is started, found by its folder, and asked. The only module that knows `provisioner.lab`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.credentials import HostCredentials
from provisioner.errors import Fault, Unreachable
from provisioner.model.cluster import Cluster
from provisioner.model.redaction import hide
from provisioner.ports import Endpoint

if TYPE_CHECKING:
    from provisioner.lab.descriptor import Descriptor


class LabDialer:
    """`ports.Dialer` of a lab: its LAN is virtual, its descriptor tells where each place is reached. Read again whenever it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, Mapping[str, str]] = (-1, {})
        """When the descriptor was last written, and its routes: replaced as one, since threads ask too."""

    def resolve(self, address: str, port: int) -> Endpoint:
        if address in ("127.0.0.1", "localhost"):
            return Endpoint(host=address, port=port, server_name=address)
        place = self._routes().get(f"{address}:{port}")
        if place is None:
            raise Unreachable(f"{address}:{port}: nothing answers there in the lab's LAN")
        host, _, number = place.rpartition(":")
        return Endpoint(host=host, port=int(number), server_name=address)

    def _routes(self) -> Mapping[str, str]:
        stamp, routes = self._seen
        try:
            written = self._path.stat().st_mtime_ns
            if written != stamp:
                routes = json.loads(self._path.read_bytes())["routes"]
                self._seen = (written, routes)
        except (OSError, ValueError, KeyError) as error:
            raise Unreachable("the lab is not running") from error
        return routes


@dataclass(frozen=True, kw_only=True)
class LabAccess:
    """What a client needs of a lab that runs."""

    descriptor: Descriptor
    credentials: HostCredentials
    dialer: LabDialer

    def located(self, cluster: Cluster) -> Cluster:
        """The cluster with the lab's address and user in its hosts, where the file gives none: `--host` may name another place of the LAN."""
        descriptor = self.descriptor
        hosts = {
            name: replace(
                spec,
                user=spec.user or descriptor.user,
                address=descriptor.host if spec.address == spec.name else spec.address,
            )
            for name, spec in cluster.hosts.items()
        }
        return replace(cluster, hosts=hosts)


def lab_folder(home: Path, cluster: Cluster) -> Path:
    """Where a lab keeps its state: `$PROVISION_HOME/.labs/<name>`."""
    return home / ".labs" / cluster.name


def open_lab(folder: Path, cluster: Cluster, *, start: bool) -> LabAccess:
    """Access to the lab of the cluster, started if asked. Raises P-LAB-START, also where it does not run and is not started, P-LAB-FROZEN, P-LAB-LIBRARIES.

    A lab has a password of its own: what the environment says is meant for a real host, and never sent to another.
    """
    from provisioner.lab.descriptor import DESCRIPTOR, read_password

    descriptor = find_lab(folder, cluster, start=start)
    password = read_password(folder)
    if descriptor is None or password is None:
        raise Fault(
            "P-LAB-START",
            f"lab {cluster.name} is not running",
            expected="a lab started by provision up or provision lab start",
            next_steps=(f"provision lab start {cluster.name}",),
        )
    return LabAccess(
        descriptor=descriptor,
        credentials=HostCredentials(user=descriptor.user, password=password, ca_path=Path(descriptor.ca)),
        dialer=LabDialer(folder / DESCRIPTOR),
    )


def find_lab(folder: Path, cluster: Cluster, *, start: bool) -> Descriptor | None:
    """The descriptor of the cluster's lab if it runs, started if asked. A third-party machine in its LAN has the MAC address of the last
    machine of the cluster. Raises P-LAB-START, P-LAB-FROZEN, P-LAB-LIBRARIES.
    """
    from provisioner.lab import control

    lab = cluster.lab
    assert lab is not None, "callers ask for the lab of a cluster that has one"
    with _faults("the lab did not start", "a lab on loopback"):
        if start:
            twin = cluster.machines[-1].mac
            found: Descriptor | None = control.start(folder, speed=lab.speed, seed=lab.seed, twin_mac=twin)
        else:
            found = control.running(folder)
    hide([found.control_token] if found else [])
    return found


def ask_lab(descriptor: Descriptor, do: str, **more: Any) -> dict[str, Any]:
    """A request to the lab's own control port. Raises P-LAB-START when it does not answer, P-LAB-REFUSED, P-LAB-FROZEN."""
    from provisioner.lab import control

    with _faults("the lab does not answer", "a lab that answers"):
        return control.ask(descriptor, do, **more)


def stop_lab(folder: Path, *, forget: bool = False) -> bool:
    """Stops the lab of that folder; with `forget` deletes what it keeps. False when there is none. Raises P-LAB-START, P-LAB-FROZEN."""
    from provisioner.lab import control

    with _faults("the lab does not stop", "its process to end"):
        return control.reset(folder) if forget else control.stop(folder)


@contextmanager
def _faults(message: str, expected: str) -> Iterator[None]:
    """What the lab's own client raises, as a Fault; `message` and `expected` where the lab says no more."""
    from provisioner.lab.control import LabError, LabFrozenError, LabLibrariesMissingError, LabRefusedError

    try:
        yield
    except LabFrozenError as error:
        raise Fault(
            "P-LAB-FROZEN",
            f"the lab's process {error.pid} is there and does not answer",
            expected=f"an answer within {error.waited_s:g} s",
            probable_cause="it was stopped, by a signal or a debugger",
            next_steps=(f"kill -CONT {error.pid}", f"or end it, its disks and VMs are kept: kill -KILL {error.pid}"),
        ) from error
    except LabLibrariesMissingError as error:
        raise Fault(
            "P-LAB-LIBRARIES",
            "the lab's own libraries are not installed",
            expected=f"the extra lab of {_distribution()}",
            seen=(str(error),),
            next_steps=(f"pip install '{_distribution()}[lab]'",),
        ) from error
    except LabRefusedError as error:
        raise Fault(
            "P-LAB-REFUSED", str(error), expected="what provision lab fault lists", next_steps=("provision lab fault",)
        ) from error
    except LabError as error:
        raise Fault("P-LAB-START", message, expected=expected, seen=(str(error),)) from error


def _distribution() -> str:
    """By which name pip knows this program."""
    from importlib.metadata import entry_points

    ours = (
        each
        for each in entry_points(group="console_scripts", name="provision")
        if each.module.startswith("provisioner")
    )
    return next((each.dist.name for each in ours if each.dist), "provision")
