"""A world of machines whose Talos is played by the test: it says when etcd and kubelets start and stop."""

from __future__ import annotations

import json
import uuid
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from provisioner.lab.kubernetes.servers import KubeServers
from provisioner.lab.world.clock import WorldClock
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.kube import pods
from provisioner.lab.world.kube.cluster import RunningCluster
from provisioner.lab.world.kube.rules import LabKube
from provisioner.lab.world.routes import LoopbackRoutes
from provisioner.lab.world.state import EtcdMember, Guest, KubeCluster, State, WindowsHost
from provisioner.model.cluster import Role
from provisioner.talos import pki
from tests.lab.world.hand import HandClock
from tests.unit.talos.helpers import CONFIGS, bundle, cluster, machine

CLUSTER = "c1"
SERVER = "192.0.2.100"


class Machines:
    """Control planes cp1, cp2 ..., workers w1, w2 ..., each with a config of the product's own."""

    def __init__(
        self, control_planes: int = 1, workers: int = 3, clock: WorldClock | None = None, **changes: Any
    ) -> None:
        names = [f"cp{i + 1}" for i in range(control_planes)] + [f"w{i + 1}" for i in range(workers)]
        self.spec = cluster(
            machines=tuple(machine(n, Role.CONTROL_PLANE if n.startswith("cp") else Role.WORKER) for n in names),
            **{"cert_sans": ("127.0.0.1",), **changes},
        )
        self.kernel = Kernel(State(host=WindowsHost(name="hv", address="192.0.2.2")), clock or HandClock(), seed=7)
        self.kube = LabKube(self.kernel)
        self.guests = {name: self._guest(name, i) for i, name in enumerate(names)}
        self.kernel.state.clusters[CLUSTER] = KubeCluster(id=CLUSTER, name="home", bootstrapped=0.0)

    def _guest(self, name: str, number: int) -> Guest:
        config = CONFIGS.machine_config(self.spec, self.spec.machine(name), bundle(), endpoint=f"https://{SERVER}:6443")
        return Guest(
            owner=name,
            booted_from="disk",
            version="v1.11.5",
            boot_id=f"boot-{name}-1",
            booted=0.0,
            mac=f"02000000{number:04X}",
            uuid=str(uuid.UUID(int=number + 1)),
            hostname=name,
            address=f"192.0.2.{100 + number}",
            config=config,
            disk_bytes=20 * 1024**3,
            memory_bytes=4 * 1024**3,
        )

    @property
    def running(self) -> RunningCluster:
        found = self.kube.of(CLUSTER)
        assert found is not None
        return found

    def api_is_up(self) -> bool:
        running = self.kube.of(CLUSTER)
        return running is not None and running.api_up

    def etcd_starts(self, name: str) -> None:
        with self.kernel.lock:
            state = self.kernel.state.clusters[CLUSTER]
            if name not in state.members:
                number = len(state.members) + 1
                state.members[name] = number
                state.roster[number] = EtcdMember(number, name, self.guests[name].address)
            self.kube.etcd_started(self.guests[name], CLUSTER)

    def kubelet_starts(self, name: str) -> None:
        with self.kernel.lock:
            self.kube.kubelet_started(self.guests[name], CLUSTER)

    def start_all(self) -> None:
        for name in self.guests:
            if name.startswith("cp"):
                self.etcd_starts(name)
            self.kubelet_starts(name)

    def power_off(self, name: str) -> None:
        with self.kernel.lock:
            self.kube.kubelet_stopped(self.guests[name])
            self.kube.etcd_stopped(self.guests[name])

    def boot(self, name: str) -> None:
        """A new boot: etcd and kubelet start again."""
        self.guests[name].boot_id += "1"
        if name.startswith("cp"):
            self.etcd_starts(name)
        self.kubelet_starts(name)

    # -- what one sees

    def node(self, name: str) -> dict[str, Any] | None:
        return self.running.store.find("nodes", "", name)

    def ready(self, name: str) -> str:
        node = self.node(name)
        conditions = node["status"].get("conditions", []) if node else []
        return next((c["status"] for c in conditions if c["type"] == "Ready"), "absent")

    def all_ready(self) -> bool:
        return all(self.ready(name) == "True" for name in self.guests)

    def healthy(self) -> bool:
        """Nodes Ready and every pod running."""
        found = self.running.store.all("pods")
        return self.all_ready() and bool(found) and all(map(pods.is_ready, found)) and len(self.apps("kube-dns")) == 2

    def apps(self, app: str) -> list[dict[str, Any]]:
        return [
            pod for pod in self.running.store.all("pods") if pod["metadata"].get("labels", {}).get("k8s-app") == app
        ]

    def wait(self, condition: Any, seconds: float = 600.0) -> None:
        """Lets the world go on until it holds."""
        assert self.kernel.wait_for(condition, seconds), "it did not happen"


class Served:
    """The machines, and where their API is reached."""

    def __init__(self, machines: Machines, routes: LoopbackRoutes, servers: KubeServers, folder: Path) -> None:
        self.machines = machines
        self.routes = routes
        self.servers = servers
        self.folder = folder
        self.url = f"https://127.0.0.1:{routes.loopback_port(SERVER, 6443)}"
        self.ca = self._write("ca.crt", bundle().kubernetes.crt)
        self.admin = self.certificate("system:masters", "admin")
        self.kubeconfig = self._write("kubeconfig", CONFIGS.kubeconfig(machines.spec, bundle(), server=self.url))

    def certificate(self, group: str, name: str, ca: pki.CertificateAndKey | None = None) -> tuple[str, str]:
        """Files of a client certificate and its key."""
        pair = pki.new_client_certificate(
            ca or bundle().kubernetes, datetime.now(UTC), organizations=[group], common_name=name
        )
        stem = f"{name}-{len(list(self.folder.iterdir()))}"
        return str(self._write(f"{stem}.crt", pair.crt)), str(self._write(f"{stem}.key", pair.key))

    def _write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path


class Client:
    """Plain HTTPS with or without a client certificate."""

    def __init__(self, session: requests.Session, served: Served, certificate: tuple[str, str] | None) -> None:
        self._session = session
        self._served = served
        self._certificate = certificate

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(
            method, self._served.url + path, verify=str(self._served.ca), cert=self._certificate, timeout=120, **options
        )

    def get(self, path: str, **options: Any) -> Any:
        answer = self.ask("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def watch(self, path: str, **query: Any) -> Generator[dict[str, Any], None, None]:
        """Events, until the server ends the watch."""
        with self.ask("GET", path, params={"watch": "true", **query}, stream=True) as answer:
            assert answer.status_code == 200, answer.text
            for line in answer.iter_lines():
                yield json.loads(line)
