"""The world: state, clock, the host's rules, what runs in the VMs, and the ways to all of it. `build.new_world` makes one."""

from __future__ import annotations

from provisioner.lab.world.downloads import Downloads
from provisioner.lab.world.hyperv import Caller, HyperV
from provisioner.lab.world.hyperv.service import ManagementService
from provisioner.lab.world.interfaces import Guests
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.kube.rules import LabKube
from provisioner.lab.world.network import Network
from provisioner.lab.world.routes import LoopbackRoutes
from provisioner.lab.world.state import HostFile, State
from provisioner.lab.world.storage import Storage
from provisioner.lab.world.tasks import Tasks


class World:
    """Everything of the lab that is not a protocol. Protocols hold one of these and ask its parts."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.kube: LabKube | None = None
        self.storage = Storage(kernel)
        self.storage.disk_deleted = self._disk_deleted
        self.network = Network(kernel)
        self.hyperv = HyperV(ManagementService(kernel, self.storage, self.network))
        self.downloads = Downloads(kernel, self.network, self.storage)
        self.tasks = Tasks(kernel)
        self.routes = LoopbackRoutes(kernel)
        self.session = 0
        """Counts up whenever the host goes down or comes up: what ran on it in an earlier session is gone."""

    @property
    def state(self) -> State:
        return self.kernel.state

    @property
    def guests(self) -> Guests:
        return self.kernel.guests

    def use_guests(self, guests: Guests) -> None:
        """What runs inside VMs from now on; to be called before `boot`."""
        self.kernel.guests = guests

    def caller(self, user: str) -> Caller:
        """The rights of a user by the groups of the account."""
        with self.kernel.lock:
            name = user.rsplit("\\", 1)[-1].lower()
            account = next((a for a in self.state.accounts if a.user.lower() == name), None)
            groups = {group.lower() for group in account.groups} if account else set()
            return Caller(user, "administrators" in groups, "hyper-v administrators" in groups)

    # -- life

    def start(self) -> None:
        """Time begins to run."""
        self.kernel.start()

    def stop(self) -> None:
        """This process is done with the world; nothing in it is told of that."""
        self.kernel.stop()
        self.routes.close()

    # -- the host's own power

    def boot(self) -> None:
        """The host comes up: its services, its network, then VMs by their start actions."""
        with self.kernel.lock:
            host = self.state.host
            self.session += 1
            host.booted, host.booted_utc = self.kernel.now(), self.kernel.clock.wall().timestamp()
            host.vmms = "Running"
            host.neighbors.clear()
            self.network.power(on=True)
            self.kernel.note("host_booted", host.name)
            self.hyperv.power.start_automatically()

    def reboot_host(self, seconds: float = 60.0) -> None:
        """The host goes down now and comes up after that many seconds. VMs lose their power, tasks end."""
        with self.kernel.lock:
            self.session += 1
            self.kernel.note("host_down", self.state.host.name, seconds=seconds)
            self.hyperv.power.cut_all()
            self.tasks.end_all()
            self.network.power(on=False)
            self.kernel.after(seconds, "host boots", self.boot)

    def _disk_deleted(self, file: HostFile) -> None:
        """Etcd's data on a deleted disk is gone: the cluster it was of is told."""
        etcd = file.vhd.system.etcd if file.vhd and file.vhd.system else None
        cluster = self.state.clusters.get(etcd.cluster_id) if etcd else None
        if etcd is None or cluster is None or self.kube is None:
            return
        for vm_id in [vm_id for vm_id, member in cluster.members.items() if member == etcd.member_id]:
            self.kube.forget_disk(vm_id)
