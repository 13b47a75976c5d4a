"""How long things take on a Talos VM with two processors, in seconds of the world.

In sum: firmware to maintenance 20-60 s, install 30-120 s, a kexec reboot 10-40 s. Windows of Talos itself (boot, halt, install) are
its own, of v1alpha1_sequencer_tasks.go and pkg/machinery/constants.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.lab.world.kernel import Kernel


@dataclass(frozen=True)
class Span:
    low: float
    high: float

    def draw(self, kernel: Kernel) -> float:
        """A length by the world's own, repeatable chance."""
        return kernel.random.uniform(self.low, self.high)


FIRMWARE = Span(2, 4)
EMPTY_DEVICE = Span(1, 2)
NETWORK_BOOT = Span(55, 65)
"""PXE over IPv4, then over IPv6, both in vain."""
ISO_LOADER = Span(10, 11)
DISK_LOADER = Span(5, 6)
KERNEL = Span(4, 8)
INITIALIZE = Span(3, 7)
DHCP = Span(1, 4)
LINK_CHECK = Span(2, 3)
TIME_SYNC = Span(3, 9)
SERVICE = Span(0.5, 2)
KUBELET = Span(3, 8)
"""Its image is pulled and started."""
CONFIG_TAKEN = Span(0.2, 1)
INSTALL_PULL = Span(15, 55)
INSTALL_WRITE = Span(12, 45)
STOP_SERVICES = Span(2, 5)
KEXEC = Span(1, 3)
SHUTDOWN = Span(4, 10)
TRUSTD_RETRY = Span(0.5, 3)
CERTIFICATE = Span(0.5, 1.5)
ETCD_START = Span(5, 12)
"""Its image is pulled, the member starts and elects itself or catches up."""
ETCD_JOIN = Span(4, 10)
ETCD_PROMOTE = Span(5, 15)
OTHER_SYSTEM = Span(15, 40)

BOOT_TIMEOUT = 70 * 60.0
REBOOT_AFTER_FAILURE = 10.0
INSTALL_RETRY_WINDOW = 20 * 60.0
HALT_MESSAGE_EVERY = 30.0
KEY_RENEWAL = 12 * 3600.0
TRY_TIMEOUT = 60.0
LEAVE_WINDOW = 5 * 60.0
