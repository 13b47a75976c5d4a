"""Talos' API of the lab's machines, by the real protocol: gRPC over TLS on loopback, one server for each machine that listens."""

from provisioner.lab.machines.servers import MachineServers

__all__ = ["MachineServers"]
