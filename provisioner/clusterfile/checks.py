"""What the fields of a cluster file say together: the findings and warnings that no single field can give.

Sources of the limits: https://www.talos.dev/v1.11/introduction/system-requirements/ and Talos' own checks of memory and disk at boot
(https://github.com/siderolabs/talos/blob/v1.11.5/pkg/minimal/minimal.go), its compatibility tables, and what Hyper-V does with addresses,
switches and memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from provisioner.clusterfile.build import Draft, size
from provisioner.clusterfile.reading import Checked, did_you_mean
from provisioner.clusterfile.tree import KeyPath, dotted
from provisioner.clusterfile.version1 import Counts, Hardware, Host
from provisioner.errors import Finding
from provisioner.model import versions
from provisioner.model.cluster import Role
from provisioner.model.naming import is_windows_device, spaced_mac
from provisioner.model.networks import IpAddress, network_of, network_problems, parsed_address
from provisioner.model.units import LEAST_DISK_GIB

ALLOWANCE_MIB = 150
"""What Talos tolerates: firmware and kernel take a part of a VM's memory before it can be counted."""
LEAST_MEMORY_MIB = {Role.CONTROL_PLANE: 1848 - ALLOWANCE_MIB, Role.WORKER: 1024 - ALLOWANCE_MIB}
GOOD_MEMORY_MIB = {Role.CONTROL_PLANE: 4096, Role.WORKER: 2048}
GOOD_DISK_GIB = 10
DEFAULT_SWITCH = "Default Switch"
RESERVED_NAMES = frozenset({"clusters", "bugs"})
"""Folders of the provision home that belong to no cluster."""
HYPERV_POOL = "00155D"
"""Hyper-V gives its dynamic MAC addresses from 00-15-5D."""


def check(checked: Checked, draft: Draft) -> list[Finding]:
    """All findings and warnings over several fields, in no particular order."""
    checks = _Checks(checked, draft)
    for each in (
        checks.name,
        checks.host_fields,
        checks.hosts,
        checks.lab,
        checks.hosts_of_machines,
        checks.switch,
        checks.versions,
        checks.image,
        checks.counts,
        checks.hardware,
        checks.machine_names,
        checks.macs,
        checks.addresses,
        checks.networks,
        checks.endpoint,
    ):
        each()
    return checks.found


class _Checks:
    """One check each; what it finds is added to `found`."""

    def __init__(self, checked: Checked, draft: Draft) -> None:
        self.found: list[Finding] = []
        self._checked = checked
        self._fields = checked.fields
        self._draft = draft
        self._cluster = draft.cluster

    def _error(
        self, at: KeyPath, problem: str, expected: str = "", meant: str = "", *, severity: str = "error"
    ) -> None:
        place = self._checked.tree.place(at)
        self.found.append(
            Finding(
                place=place,
                path=dotted(at),
                problem=problem,
                expected=expected,
                did_you_mean=meant,
                severity=severity,
            )
        )

    def _warn(self, at: KeyPath, problem: str, expected: str = "") -> None:
        self._error(at, problem, expected, severity="warning")

    def name(self) -> None:
        name = self._cluster.name
        if self._fields.name is None and self._checked.intact("name"):
            plain = name.replace("-", "")
            if not (name.isascii() and plain.isalnum() and name == name.lower() and len(name) <= 63):
                self._error(("name",), f"the file name {name!r} is not a cluster name", "name: a DNS label")
        if name in RESERVED_NAMES:
            problem = f"{name} is reserved for another folder of provision"
            self._error(("name",), problem, f"another name, as {name}-1")
        longest = max((len(machine.name) for machine in self._cluster.machines), default=0)
        if isinstance(self._fields.machines, Counts) and longest > 63:
            problem = "machine names made from it are longer than 63 characters"
            self._error(("name",), problem, "a shorter name")

    def host_fields(self) -> None:
        fields, intact = self._fields, self._checked.intact
        if fields.host is not None and fields.hosts is not None:
            self._error(("host",), "host: and hosts: are both given", "one of them")
        if not self._cluster.hosts and intact("host") and intact("hosts"):
            self._error(("hosts",), "there is no host", "host: hv01.lan, or hosts: with names")
        if isinstance(fields.host, Host) and not fields.host.address and not fields.host.lab and intact("host"):
            self._error(("host",), "the host has no address", "address: hv01.lan")

    def hosts(self) -> None:
        hosts = self._cluster.hosts
        seen: dict[str, str] = {}
        for name in self._fields.hosts or {}:
            if (first := seen.setdefault(name.lower(), name)) != name:
                self._error(("hosts", name), f"{first} and {name} are the same name", "different names")
        if (override := self._draft.address_override) and len(hosts) > 1:
            problem = f"{override.name} gives one address for {len(hosts)} hosts"
            self._error(("hosts",), problem, f"one host, or no {override.name}")
        for name, host in hosts.items():
            at = self._draft.host_paths[name]
            if not host.user and not host.lab and self._checked.intact(*at):
                expected = r"user: hv01\provision, or --user, or PROVISION_USER"
                self._error(at, "there is no user to sign in with", expected)

    def lab(self) -> None:
        with_lab = [self._draft.host_paths[name] for name, host in self._cluster.hosts.items() if host.lab]
        if with_lab and len(with_lab) < len(self._cluster.hosts):
            self._error(with_lab[0], "the lab is mixed with real hosts", "all hosts in the lab, or none")
        for at in with_lab[1:]:
            self._error(at, "this is a second lab", "one host with lab:, or real hosts")

    def hosts_of_machines(self) -> None:
        hosts = self._cluster.hosts
        if not hosts or not self._checked.intact("host") or not self._checked.intact("hosts"):
            return
        for at, given in self._groups():
            if given.host is not None and given.host not in hosts:
                problem, expected = f"there is no host {given.host!r}", f"one of {', '.join(hosts)}"
                self._error((*at, "host"), problem, expected, did_you_mean(given.host, hosts))

    def switch(self) -> None:
        switch = self._cluster.switch
        if switch.name.lower() == DEFAULT_SWITCH.lower():
            self._error(
                ("switch", "name"),
                "the Default Switch uses NAT: nothing outside the host reaches its machines, and its network changes whenever the host starts",
                "an External switch, with adapter: to make it",
            )
        if switch.adapter and not switch.allow_management_os:
            self._warn(
                ("switch", "allow_management_os"),
                f"Windows loses {switch.adapter} to the switch; on a host without another adapter that ends the connection",
            )
        if switch.vlan and not switch.allow_management_os:
            problem = "the VLAN is for Windows' own traffic, but allow_management_os is false"
            self._error(("switch", "vlan"), problem, "no vlan: here; machines have their own")

    def versions(self) -> None:
        talos, kubernetes = self._cluster.talos, self._cluster.kubernetes
        contract = versions.contract_of(talos)
        if contract not in versions.CONTRACTS:
            known = ", ".join(f"{contract}.x" for contract in versions.CONTRACTS)
            problem = f"machine configs of Talos {contract} are not supported by this version of provision"
            self._error(("talos",), problem, known, versions.TALOS)
            return
        oldest, newest = versions.KUBERNETES_RANGE[contract]
        if not versions.runs_kubernetes(contract, kubernetes):
            meant = versions.KUBERNETES if contract == versions.contract_of(versions.TALOS) else ""
            problem = f"Talos {talos} does not run Kubernetes {kubernetes}"
            self._error(("kubernetes",), problem, f"{oldest} to {newest}", meant)

    def image(self) -> None:
        image, talos = self._fields.image, self._cluster.talos
        given = [key for key in ("release", "schematic", "url", "path") if getattr(image, key) is not None]
        for other in given[1:]:
            problem = f"{given[0]}: and {other}: both say where the ISO comes from"
            self._error(("image", other), problem, "one of them")
        if image.url and not image.sha256 and self._checked.intact("image"):
            self._error(("image", "url"), "an ISO from a URL needs a checksum", "sha256: beside url:")
        if image.release and versions.contract_of(image.release) != versions.contract_of(talos):
            problem = f"machines start from {image.release}, but {talos} is installed"
            self._warn(("image", "release"), problem, "the same minor release")
        for key, where in (("url", image.url), ("path", image.path)):
            if where and not where.split("?")[0].lower().endswith(".iso"):
                self._error(("image", key), f"{where} does not end in .iso", "a DVD image, metal-amd64.iso")

    def counts(self) -> None:
        if self._some_machine_is_unknown():
            return
        control_planes, workers = len(self._cluster.control_planes), len(self._cluster.workers)
        by_count = isinstance(self._fields.machines, Counts)
        at: KeyPath = ("machines", "control_planes") if by_count else ("machines",)
        if control_planes == 0:
            expected = "control_planes: 1 or more" if by_count else "at least one machine with role: controlplane"
            self._error(at, "there is no control plane machine", expected)
        elif control_planes % 2 == 0:
            problem = f"{control_planes} control planes tolerate no more failures than {control_planes - 1}"
            self._warn(at, f"{problem}: etcd needs a majority", "an odd number")
        if control_planes and not workers and not self._cluster.schedule_on_control_planes:
            at = ("machines", "workers") if by_count else ("machines",)
            problem = "there is no worker, so ordinary pods have nowhere to run"
            self._warn(at, problem, "a worker, or schedule_on_control_planes: true")

    def _some_machine_is_unknown(self) -> bool:
        deciding = {"role", "count", "control_planes", "workers"}
        return any(gone[0] == "machines" and (gone[-1] in deciding or len(gone) < 3) for gone in self._checked.dropped)

    def _groups(self) -> Iterator[tuple[KeyPath, Hardware]]:
        """Each place in the file that says what a VM gets, once."""
        machines = self._fields.machines
        if isinstance(machines, Counts):
            for key in ("control_planes", "workers"):
                group = getattr(machines, key)
                yield ("machines", key), Hardware() if isinstance(group, int) else group
            return
        for index, machine in zip(self._checked.indices(("machines",), len(machines)), machines, strict=True):
            yield ("machines", index), machine

    def hardware(self) -> None:
        for at, given in self._groups():
            role = Role(getattr(given, "role", "controlplane" if at[-1] == "control_planes" else "worker"))
            least, good = LEAST_MEMORY_MIB[role], GOOD_MEMORY_MIB[role]
            if given.memory < least:
                problem = f"{size(given.memory)} is too little for a {role.words}"
                self._error((*at, "memory"), problem, f"at least {least} MiB, better {size(good)}")
            elif given.memory < good:
                problem = f"{size(given.memory)} is less than Talos recommends for a {role.words}"
                self._warn((*at, "memory"), problem, size(good))
            if given.disk < LEAST_DISK_GIB:
                expected = f"at least {LEAST_DISK_GIB} GiB, better {GOOD_DISK_GIB} GiB or more"
                self._error((*at, "disk"), f"Talos does not fit on {given.disk} GiB", expected)
            elif given.disk < GOOD_DISK_GIB:
                problem = f"{given.disk} GiB leaves little room for images"
                self._warn((*at, "disk"), problem, f"{GOOD_DISK_GIB} GiB or more")
            if role is Role.CONTROL_PLANE and given.cpus < 2:
                self._warn((*at, "cpus"), "1 CPU is less than Talos recommends for a control plane", "2")

    def machine_names(self) -> None:
        seen: dict[str, KeyPath] = {}
        for at, machine in zip(self._draft.machine_paths, self._cluster.machines, strict=True):
            if (*at, "name") in self._checked.dropped:
                continue
            if is_windows_device(machine.name):
                problem = f"{machine.name} is a device name in Windows, so no folder can be called so"
                self._error((*at, "name"), problem, "another name", f"{machine.name}-1")
            if (first := seen.setdefault(machine.name, at)) != at:
                line = self._checked.tree.place((*first, "name")).line
                problem = f"{machine.name} is also the name of the machine in line {line}"
                self._error((*at, "name"), problem, "a unique name")

    def macs(self) -> None:
        seen: dict[str, str] = {}
        for at, machine in zip(self._draft.machine_paths, self._cluster.machines, strict=True):
            if not self._checked.intact(*at, "mac") or not self._checked.intact(*at, "name"):
                continue
            mac = spaced_mac(machine.mac)
            if (first := seen.setdefault(machine.mac, machine.name)) != machine.name:
                self._error((*at, "mac"), f"{mac} is also the MAC address of {first}", "a unique address")
            elif machine.mac.startswith(HYPERV_POOL):
                problem = f"{mac} is in Hyper-V's dynamic pool, which may assign it to another VM"
                self._warn((*at, "mac"), problem, "an address outside 00-15-5D")

    def addresses(self) -> None:
        vip = self._cluster.vip
        hosts = {host.address: name for name, host in self._cluster.hosts.items() if not host.lab and host.address}
        if vip in hosts:
            self._error(("vip",), f"{vip} is the address of host {hosts[vip]}", "a free address")
        seen = {address: f"the address of host {name}" for address, name in hosts.items()}
        seen |= {vip: "the virtual address vip:"} if vip else {}
        for at, machine in zip(self._draft.machine_paths, self._cluster.machines, strict=True):
            if owner := seen.get(machine.address):
                self._error((*at, "address"), f"{machine.address} is also {owner}", "a unique address")
            elif machine.address:
                seen[machine.address] = f"the address of {machine.name}"

    def networks(self) -> None:
        given = {key: getattr(self._fields.network, key) for key in ("pod_subnets", "service_subnets")}
        places = {key: self._checked.indices(("network", key), len(texts)) for key, texts in given.items()}
        # How large the pods' network must be depends on the whole config: with patches, it is judged there.
        nodes = 0 if self._cluster.has_patches else len(self._cluster.machines)
        for found in network_problems(given["pod_subnets"], given["service_subnets"], nodes=nodes):
            beside = ""
            if found.other:
                key, index = found.other
                beside = f", line {self._checked.tree.place(('network', key, places[key][index])).line}"
            at = ("network", found.key, places[found.key][found.index])
            self._error(at, found.problem + beside, found.expected)
        for path, words, address in self._on_the_lan():
            if inside := network_of(address, given["pod_subnets"], given["service_subnets"]):
                problem = f"{words} {address} is inside {inside[0]}, the network of the {inside[1]}"
                self._error(path, problem, "networks that do not overlap the LAN")

    def _on_the_lan(self) -> Iterator[tuple[KeyPath, str, IpAddress]]:
        """Every address of the LAN that the file names."""
        cluster = self._cluster
        given: list[tuple[KeyPath, str, str]] = [
            ((*at, "address"), "the machine's address", machine.address)
            for at, machine in zip(self._draft.machine_paths, cluster.machines, strict=True)
        ]
        given.append((("vip",), "the virtual address", cluster.vip))
        given.append((("endpoint",), "the endpoint's address", urlsplit(cluster.endpoint).hostname or ""))
        for name, host in cluster.hosts.items():
            path = (*self._draft.host_paths[name], "address")
            given.append((path, "the host's address", "" if host.lab else host.address))
        for path, words, text in given:
            if (address := parsed_address(text)) is not None:
                yield path, words, address

    def endpoint(self) -> None:
        """An endpoint that no machine of ours answers is right only where something forwards it."""
        cluster = self._cluster
        known = {machine.address for machine in cluster.control_planes if machine.address}
        parsed = parsed_address(urlsplit(cluster.endpoint).hostname or "")
        if not known or parsed is None or str(parsed) in known | {cluster.vip, *cluster.cert_sans}:
            return
        worker = next((machine.name for machine in cluster.workers if machine.address == str(parsed)), "")
        if worker:
            problem = f"{parsed} is {worker}, a worker: the Kubernetes API runs on control planes"
            self._error(("endpoint",), problem, f"one of {', '.join(sorted(known))}")
            return
        problem = f"{parsed} is neither vip: nor the address of a control plane"
        self._warn(("endpoint",), problem, "an address that a load balancer forwards")
