"""The composition root: settings and adapters put together for one cluster. The only place that knows of the lab, and starts it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.errors import Fault, Unreachable
from provisioner.model.cluster import Cluster, HostSpec
from provisioner.model.redaction import hide
from provisioner.ports import CallInfo, Clock, Configs, ContextFile, Dialer, Endpoint, Ports

if TYPE_CHECKING:
    from provisioner.clusterfile import Loaded, Settings
    from provisioner.lab.control import LabError
    from provisioner.lab.descriptor import Descriptor
    from provisioner.store.cluster_folder import FileStore

LOCK_WAIT_S = 0.0
"""A second run is refused at once, never queued: its plan would be stale when its turn came."""


# --- time and places ------------------------------------------------------------------------------------------------


class WorldClock:
    """`ports.Clock` at the pace of the world that the flow works on: 1 for a real host."""

    def __init__(self, rate: float = 1.0, epoch: float = 0.0, epoch_s: float = 0.0) -> None:
        self.rate = rate
        self._epoch = epoch
        self._epoch_s = epoch_s

    def now(self) -> float:
        return self._epoch_s + (time.monotonic() - self._epoch) * self.rate

    def wall(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.rate)


class DirectDialer:
    """`ports.Dialer` of a real LAN: every place is where it says."""

    def resolve(self, address: str, port: int) -> Endpoint:
        return Endpoint(host=address, port=port, server_name=address)


class LabDialer:
    """`ports.Dialer` of a lab: its LAN is virtual, its card tells where each place is reached. Read again whenever it has changed."""

    def __init__(self, card_path: Path) -> None:
        self._path = card_path
        self._seen: tuple[int, Mapping[str, str]] = (-1, {})
        """When the card was last written, and its routes: replaced as one, since threads ask too."""

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
            raise Unreachable("the lab does not run") from error
        return routes


# --- one cluster ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything a use case needs for one cluster; frozen."""

    settings: Settings
    loaded: Loaded
    clock: Clock
    dialer: Dialer
    store: FileStore
    passwords: Mapping[str, str] = field(repr=False)
    """By host."""
    ca_paths: Mapping[str, Path | None]

    @property
    def cluster(self) -> Cluster:
        return self.loaded.cluster


def open_context(
    settings: Settings,
    loaded: Loaded,
    *,
    ask: Callable[[str], str] | None,
    environment: Mapping[str, str],
    start_lab: bool,
) -> Context:
    """Puts the ports of a cluster together, and starts its lab if it has one. `ask` asks for a password in a terminal.

    Raises a Fault: P-LAB-START, P-LOCAL-PASSWORD, P-LOCAL-HOME.
    """
    cluster = loaded.cluster
    store = open_store(settings, cluster, environment)
    if cluster.lab is not None:
        return _lab_context(settings, loaded, store, start=start_lab)
    passwords = {name: find_password(host, ask, environment) for name, host in cluster.hosts.items()}
    hide(passwords.values())
    return Context(
        settings=settings,
        loaded=loaded,
        clock=WorldClock(),
        dialer=DirectDialer(),
        store=store,
        passwords=passwords,
        ca_paths=dict.fromkeys(cluster.hosts),
    )


def open_store(settings: Settings, cluster: Cluster, environment: Mapping[str, str]) -> FileStore:
    """What is kept on this computer about the cluster."""
    from provisioner.store.cluster_folder import FileStore

    return FileStore(settings.home, cluster.name, client_files, environment, talos_id=_talos_id)


def _talos_id(secrets: bytes) -> str:
    from provisioner.talos.secrets import cluster_id_in

    return cluster_id_in(secrets)


def client_files() -> Mapping[str, ContextFile]:
    """How the user's own talosconfig and kubeconfig are edited."""
    from provisioner.talos.contexts import KubeconfigFile, TalosconfigFile

    return {"talosconfig": TalosconfigFile(), "kubeconfig": KubeconfigFile()}


def _lab_context(settings: Settings, loaded: Loaded, store: FileStore, *, start: bool) -> Context:
    """A lab has a password of its own: what the environment says is meant for a real host, and never sent to another."""
    from provisioner.lab import descriptor as descriptors

    folder = lab_folder(settings, loaded.cluster)
    card = lab_card(folder, loaded.cluster, start=start)
    password = descriptors.read_password(folder)
    hide(text for text in (password, card.control_token if card else "") if text)
    if card is None or password is None:
        raise Fault(
            "P-LAB-START",
            f"the lab of {loaded.cluster.name} does not run",
            expected="a lab started by provision up or provision lab start",
            next_steps=(f"provision lab start {loaded.cluster.name}",),
        )
    hosts = {
        name: replace(
            spec,
            user=spec.user or card.user,
            address=card.host
            if spec.address == spec.name
            else spec.address,  # --host may name another place of the LAN
        )
        for name, spec in loaded.cluster.hosts.items()
    }
    return Context(
        settings=settings,
        loaded=replace(loaded, cluster=replace(loaded.cluster, hosts=hosts)),
        clock=WorldClock(card.rate, card.epoch, card.epoch_s),
        dialer=LabDialer(folder / descriptors.DESCRIPTOR),
        store=store,
        passwords=dict.fromkeys(hosts, password),
        ca_paths=dict.fromkeys(hosts, Path(card.ca)),
    )


def lab_folder(settings: Settings, cluster: Cluster) -> Path:
    """Where a lab keeps its state: `$PROVISION_HOME/.labs/<name>`."""
    return settings.home / ".labs" / cluster.name


def lab_card(folder: Path, cluster: Cluster, *, start: bool) -> Descriptor | None:
    """The card of the cluster's lab if it runs, started if asked. A stranger in its LAN has the MAC address of the last machine.

    Raises P-LAB-START, P-LAB-FROZEN.
    """
    from provisioner.lab import control

    lab = cluster.lab
    assert lab is not None, "callers ask for the lab of a cluster that has one"
    try:
        if not start:
            return control.running(folder)
        twin = cluster.machines[-1].mac
        return control.start(folder, speed=lab.speed, seed=lab.seed, twin_mac=twin)
    except control.LabError as error:
        raise _lab_fault(error, "the lab did not start", "a lab on loopback") from error


def _lab_fault(error: LabError, message: str, expected: str) -> Fault:
    from provisioner.lab.control import LabFrozenError, LabRefusedError

    if isinstance(error, LabFrozenError):
        return Fault(
            "P-LAB-FROZEN",
            f"the lab's process {error.pid} is there and does not answer",
            expected=f"an answer within {error.waited_s:g} s",
            probable_cause="it was stopped, by a signal or a debugger",
            next_steps=(f"kill -CONT {error.pid}", f"or end it, its disks and VMs are kept: kill -KILL {error.pid}"),
        )
    if isinstance(error, LabRefusedError):
        return Fault(
            "P-LAB-REFUSED", str(error), expected="what provision lab fault lists", next_steps=("provision lab fault",)
        )
    return Fault("P-LAB-START", message, expected=expected, seen=(str(error),))


def find_password(host: HostSpec, ask: Callable[[str], str] | None, environment: Mapping[str, str]) -> str:
    """PROVISION_PASSWORD, else the keychain, else a question in the terminal. Never a file, never an argument."""
    given = environment.get("PROVISION_PASSWORD")
    if given:
        return given
    stored, problem = _from_keychain(host)
    if stored:
        return stored
    if ask is not None:
        said = f" ({problem})" if problem else ""
        return ask(f"Password of {host.user} on {host.name}{said}")
    raise Fault(
        "P-LOCAL-PASSWORD",
        f"no password for {host.user or 'the user'} on {host.name}",
        expected="PROVISION_PASSWORD, a keychain item, or a terminal to ask in",
        seen=(problem or "no such item in the keychain",),
        next_steps=(
            "set PROVISION_PASSWORD in the environment of this command",
            f"or put it into the keychain, which asks for it: {keychain_command(host)}",
        ),
    )


_KEYCHAINS = frozenset(
    f"keyring.backends.{name}" for name in ("macOS", "SecretService", "libsecret", "Windows", "kwallet")
)
"""Backends that keep a secret secret; others of keyring's write plain files, or are somebody else's programs."""


def keychain_command(host: HostSpec) -> str:
    """What to type to keep the password of a host."""
    service, user = shlex.quote(f"provision:{host.name}"), shlex.quote(host.user)
    if sys.platform == "darwin":
        return f"security add-generic-password -s {service} -a {user} -w"
    return f"keyring set {service} {user}"


def _from_keychain(host: HostSpec) -> tuple[str | None, str]:
    """The password, and why the keychain could not be asked; empty where it could be, or where there is none."""
    import keyring
    from keyring.errors import KeyringError

    backend = keyring.get_keyring()
    # With several at hand keyring's own choice is a chain of them, which may contain what is refused here.
    chain = getattr(backend, "backends", None) if type(backend).__module__ == "keyring.backends.chainer" else [backend]
    problem = ""
    for each in chain or ():
        if type(each).__module__ not in _KEYCHAINS:
            continue
        try:
            stored = each.get_password(f"provision:{host.name}", host.user)
        except KeyringError as error:
            problem = f"the keychain cannot be read: {error or type(error).__name__}"
            continue
        if stored:
            return stored, ""
    return None, problem


@contextmanager
def locked(folder: Path, cluster: str) -> Iterator[None]:
    """One run at a time per cluster. The lock is the system's and goes with its process, however that ends; the file of it stays.

    Raises P-RUN-LOCKED with the process that holds it, P-LOCAL-HOME where nothing can be locked.
    """
    from filelock import FileLock, Timeout

    from provisioner.store.files import read_plain, refuse_links, write_in_place

    lock, holder = FileLock(folder / "lock", timeout=LOCK_WAIT_S), folder / "lock.pid"
    try:
        refuse_links(folder / "lock")
        lock.acquire()
    except Timeout as error:
        pid = "unknown"
        with suppress(OSError):  # it begins, or ends, at this moment
            pid = (read_plain(holder) or b"").decode(errors="replace").strip() or pid
        raise Fault(
            "P-RUN-LOCKED",
            f"another run is at work on {cluster}",
            expected="one run at a time",
            seen=(f"process {pid} holds {folder / 'lock'}",),
            next_steps=("wait for it to end, or stop it with Ctrl-C in its terminal",),
        ) from error
    except (OSError, NotImplementedError) as error:
        raise Fault(
            "P-LOCAL-HOME",
            f"{folder / 'lock'} cannot be locked",
            expected="a folder of yours, on a disk that knows locks",
            seen=(getattr(error, "strerror", "") or str(error),),
            next_steps=("make it writable for you, or set PROVISION_HOME",),
        ) from error
    try:
        with suppress(OSError):  # told to others alone
            write_in_place(holder, f"{os.getpid()}\n".encode())
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def open_ports(
    context: Context, *, on_call: Callable[[CallInfo], None], on_away: Callable[[str, str | None], None]
) -> Ports:
    """The adapters of one run. To be called inside the loop that will use them; `close_ports` ends them.

    `on_call` hears of every call to a host; `on_away(host, reason)` that a host does not answer, and with None that it does again.
    """
    from provisioner.hyperv.client import HyperVHost

    logging.getLogger().addHandler(
        logging.NullHandler()
    )  # what libraries log, of peers at that, must not break into the screen
    hosts = {
        name: HyperVHost(
            spec,
            password=context.passwords[name],
            dialer=context.dialer,
            clock=context.clock,
            on_call=on_call,
            on_away=lambda reason, name=name: on_away(name, reason),  # type: ignore[misc]  # mypy cannot infer the default
            ca_path=context.ca_paths[name],
        )
        for name, spec in context.cluster.hosts.items()
    }
    for host in hosts.values():
        host.begin()
    # While the hosts sign us in:
    from provisioner.kubernetes.client import KubeClient
    from provisioner.talos.api.client import TalosMachines

    return Ports(
        hosts=hosts,
        machines=TalosMachines(context.dialer, context.clock),
        kubernetes=KubeClient(context.dialer, context.clock),
        configs=new_configs(context.clock),
        store=context.store,
        clock=context.clock,
        dialer=context.dialer,
    )


async def close_ports(ports: Ports) -> None:
    """Ends all sessions; what does not end by itself is left to its time-out."""
    closing = [host.close() for host in ports.hosts.values()] + [ports.machines.close(), ports.kubernetes.close()]
    await asyncio.gather(*closing, return_exceptions=True)


def ask_lab(card: Descriptor, do: str, **more: Any) -> dict[str, Any]:
    """A request to the lab's own control port. Raises P-LAB-START when it does not answer, P-LAB-REFUSED, P-LAB-FROZEN."""
    from provisioner.lab import control

    try:
        return control.ask(card, do, **more)
    except control.LabError as error:
        raise _lab_fault(error, "the lab does not answer", "a lab that answers") from error


def stop_lab(folder: Path, *, forget: bool = False) -> bool:
    """Stops the lab of that folder; with `forget` deletes what it keeps. False when there is none. Raises P-LAB-START, P-LAB-FROZEN."""
    from provisioner.lab import control

    try:
        return control.reset(folder) if forget else control.stop(folder)
    except control.LabError as error:
        raise _lab_fault(error, "the lab does not stop", "its process to end") from error


def new_configs(clock: Clock) -> Configs:
    """What makes secrets bundles and machine configs."""
    from provisioner.talos.configs import TalosConfigs

    return TalosConfigs(clock)
