"""Services of a configured machine, in the order in which Talos brings them up (task startAllServices of v1alpha1_sequencer_tasks.go)."""

from __future__ import annotations

from provisioner.lab.world.guests import clusters, times
from provisioner.lab.world.guests.machine import Machine
from provisioner.lab.world.guests.process import Steps, UntilWoken


def start(machine: Machine) -> Steps:
    """The phase startEverything. Each service then goes its own way."""
    kernel = machine.kernel
    for name in ("machined", "udevd", "syslogd", "auditd", "dashboard", "containerd", "cri"):
        if name in ("containerd", "cri"):
            yield times.SERVICE.draw(kernel)
        machine.service(name, "Running", "Service started", healthy=True)
        if name == "containerd":
            machine.service("apid", "Waiting", "Waiting for API certificates")
            machine.run("apid", _apid(machine))
    machine.run("kubelet", _kubelet(machine))
    if machine.control_plane:
        machine.service("trustd", "Running", "Service started", healthy=True)
        machine.run("etcd", clusters.run_etcd(machine))


def _apid(machine: Machine) -> Steps:
    """Opens once it has a certificate: the control plane signs its own, the worker asks a trustd (controllers/secrets/api.go)."""
    talos, kernel = machine.talos, machine.kernel
    before = machine.last_cause
    while not (talos.address and talos.hostname):
        yield UntilWoken()
    causes = [before]
    if not machine.control_plane:
        while (signer := clusters.trustd_for(machine)) is None:
            yield UntilWoken()
        causes.append(signer.etcd_cause)
        yield times.TRUSTD_RETRY.draw(kernel)
        clusters.report_kubelet(machine)
    yield times.CERTIFICATE.draw(kernel)
    machine.service("apid", "Running", "Health check successful", healthy=True)
    talos.api = "apid"
    machine.note("apid_open", *causes)
    machine.changed()


def _kubelet(machine: Machine) -> Steps:
    machine.service("kubelet", "Preparing", "Running pre state")
    yield times.KUBELET.draw(machine.kernel)
    machine.service("kubelet", "Running", "Health check successful", healthy=True)
    clusters.report_kubelet(machine)
