"""What the fields of a cluster file say together: the findings and warnings that no single field can give.

Sources of the limits: Talos' own checks of memory and disk size at boot (1.11), Talos' compatibility tables, and what Hyper-V
does with addresses, switches and memory.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
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

ALLOWANCE_MIB = 150
"""What Talos forgives: firmware and kernel take a part of a VM's memory before anybody can count it."""
LEAST_MEMORY_MIB = {Role.CONTROL_PLANE: 1848 - ALLOWANCE_MIB, Role.WORKER: 1024 - ALLOWANCE_MIB}
GOOD_MEMORY_MIB = {Role.CONTROL_PLANE: 4096, Role.WORKER: 2048}
LEAST_DISK_GIB = 6
GOOD_DISK_GIB = 10
DEFAULT_SWITCH = "Default Switch"
RESERVED_NAMES = frozenset({"clusters", "bugs"})
"""Folders of the provision home that belong to no cluster."""
HYPERV_POOL = "00155D"
"""Hyper-V gives its dynamic MAC addresses from 00-15-5D."""


def check(checked: Checked, draft: Draft) -> list[Finding]:
    """All findings and warnings over several fields, in no particular order."""
    checks: Sequence[Callable[[Checked, Draft], Iterator[Finding]]] = (
        _name,
        _hosts,
        _switch,
        _versions,
        _image,
        _counts,
        _hardware,
        _machine_names,
        _macs,
        _addresses,
        _networks,
        _endpoint,
    )
    return [finding for each in checks for finding in each(checked, draft)]


def _finding(checked: Checked, at: KeyPath, problem: str, *, expected: str = "", meant: str = "") -> Finding:
    return Finding(
        place=checked.tree.place(at), path=dotted(at), problem=problem, expected=expected, did_you_mean=meant
    )


def _warning(checked: Checked, at: KeyPath, problem: str, *, expected: str = "") -> Finding:
    return Finding(
        place=checked.tree.place(at), path=dotted(at), problem=problem, expected=expected, severity="warning"
    )


def _name(checked: Checked, draft: Draft) -> Iterator[Finding]:
    name = draft.cluster.name
    if checked.fields.name is None and checked.intact("name"):
        lowered = name.lower()
        if not name.isascii() or not lowered.replace("-", "").isalnum() or lowered != name or len(name) > 63:
            yield _finding(
                checked, ("name",), f"the file name {name!r} is not a cluster name", expected="name: a DNS label"
            )
    if name in RESERVED_NAMES:
        problem = f"{name} is reserved for another folder of provision"
        yield _finding(checked, ("name",), problem, expected=f"another name, as {name}-1")
    longest = max((len(machine.name) for machine in draft.cluster.machines), default=0)
    if isinstance(checked.fields.machines, Counts) and longest > 63:
        yield _finding(
            checked, ("name",), "machine names made from it are longer than 63 characters", expected="a shorter name"
        )


def _hosts(checked: Checked, draft: Draft) -> Iterator[Finding]:
    fields = checked.fields
    if fields.host is not None and fields.hosts is not None:
        yield _finding(checked, ("host",), "host: and hosts: are both given", expected="one of them")
    if not draft.cluster.hosts and checked.intact("host") and checked.intact("hosts"):
        yield _finding(checked, ("hosts",), "there is no host", expected="host: hv01.lan, or hosts: with names")
    nameless = isinstance(fields.host, Host) and not fields.host.address and not fields.host.lab
    if nameless and checked.intact("host"):
        yield _finding(checked, ("host",), "the host has no address", expected="address: hv01.lan")
    seen: dict[str, str] = {}
    for name in fields.hosts or {}:
        if (first := seen.setdefault(name.lower(), name)) != name:
            yield _finding(
                checked, ("hosts", name), f"{first} and {name} are the same name", expected="different names"
            )
    if (override := draft.address_override) and len(draft.cluster.hosts) > 1:
        problem = f"{override.name} gives one address for {len(draft.cluster.hosts)} hosts"
        yield _finding(checked, ("hosts",), problem, expected=f"one host, or no {override.name}")
    for name, host in draft.cluster.hosts.items():
        at = draft.host_paths[name]
        if not host.user and not host.lab and checked.intact(*at):
            yield _finding(
                checked,
                at,
                "there is no user to sign in with",
                expected=r"user: hv01\provision, or --user, or PROVISION_USER",
            )
    with_lab = [name for name, host in draft.cluster.hosts.items() if host.lab]
    if with_lab and len(with_lab) < len(draft.cluster.hosts):
        yield _finding(
            checked,
            draft.host_paths[with_lab[0]],
            "the lab is mixed with real hosts",
            expected="all hosts in the lab, or none",
        )
    for name in with_lab[1:]:
        yield _finding(
            checked, draft.host_paths[name], "this is a second lab", expected="one host with lab:, or real hosts"
        )
    for at, given in _groups(checked):
        if given.host is not None and draft.cluster.hosts and given.host not in draft.cluster.hosts:
            known = ", ".join(draft.cluster.hosts)
            if checked.intact("host") and checked.intact("hosts"):
                yield _finding(
                    checked,
                    (*at, "host"),
                    f"there is no host {given.host!r}",
                    expected=f"one of {known}",
                    meant=did_you_mean(given.host, draft.cluster.hosts),
                )


def _switch(checked: Checked, draft: Draft) -> Iterator[Finding]:
    switch = draft.cluster.switch
    if switch.name.lower() == DEFAULT_SWITCH.lower():
        yield _finding(
            checked,
            ("switch", "name"),
            "the Default Switch uses NAT: nothing outside the host reaches its machines, "
            "and its network changes whenever the host starts",
            expected="an External switch, with adapter: to make it",
        )
    if switch.adapter and not switch.allow_management_os:
        yield _warning(
            checked,
            ("switch", "allow_management_os"),
            f"Windows loses {switch.adapter} to the switch; on a host without another adapter that ends the connection",
        )
    if switch.vlan and not switch.allow_management_os:
        yield _finding(
            checked,
            ("switch", "vlan"),
            "the VLAN is for Windows' own traffic, but allow_management_os is false",
            expected="no vlan: here; machines have their own",
        )


def _versions(checked: Checked, draft: Draft) -> Iterator[Finding]:
    talos, kubernetes = draft.cluster.talos, draft.cluster.kubernetes
    contract = versions.contract_of(talos)
    if contract not in versions.CONTRACTS:
        known = ", ".join(f"{contract}.x" for contract in versions.CONTRACTS)
        yield _finding(
            checked,
            ("talos",),
            f"machine configs of Talos {contract} are not supported by this version of provision",
            expected=known,
            meant=versions.TALOS,
        )
        return
    oldest, newest = versions.KUBERNETES_RANGE[contract]
    if not _minor(oldest) <= _minor(kubernetes) <= _minor(newest):
        yield _finding(
            checked,
            ("kubernetes",),
            f"Talos {talos} does not run Kubernetes {kubernetes}",
            expected=f"{oldest} to {newest}",
            meant=versions.KUBERNETES if contract == versions.contract_of(versions.TALOS) else "",
        )


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("v").split(".")[:2])


def _image(checked: Checked, draft: Draft) -> Iterator[Finding]:
    image = checked.fields.image
    given = [key for key in ("release", "schematic", "url", "path") if getattr(image, key) is not None]
    for extra in given[1:]:
        yield _finding(
            checked,
            ("image", extra),
            f"{given[0]}: and {extra}: both say where the ISO comes from",
            expected="one of them",
        )
    if image.url and not image.sha256 and checked.intact("image"):
        yield _finding(checked, ("image", "url"), "an ISO from a URL needs a checksum", expected="sha256: beside url:")
    if image.release and versions.contract_of(image.release) != versions.contract_of(draft.cluster.talos):
        yield _warning(
            checked,
            ("image", "release"),
            f"machines start from {image.release}, but {draft.cluster.talos} is installed",
            expected="the same minor release",
        )
    for key in ("url", "path"):
        where = getattr(image, key)
        if where and not where.split("?")[0].lower().endswith(".iso"):
            yield _finding(
                checked, ("image", key), f"{where} does not end in .iso", expected="a DVD image, metal-amd64.iso"
            )


def _counts(checked: Checked, draft: Draft) -> Iterator[Finding]:
    control_planes, workers = len(draft.cluster.control_planes), len(draft.cluster.workers)
    deciding = {"role", "count", "control_planes", "workers"}
    if any(gone[0] == "machines" and (gone[-1] in deciding or len(gone) < 3) for gone in checked.dropped):
        return
    at: KeyPath = ("machines",)
    by_count = isinstance(checked.fields.machines, Counts)
    if control_planes == 0:
        expected = "control_planes: 1 or more" if by_count else "at least one machine with role: controlplane"
        yield _finding(
            checked, (*at, "control_planes") if by_count else at, "there is no control plane machine", expected=expected
        )
    elif control_planes % 2 == 0:
        yield _warning(
            checked,
            (*at, "control_planes") if by_count else at,
            f"{control_planes} control planes tolerate no more failures than {control_planes - 1}: etcd needs a majority",
            expected="an odd number",
        )
    if control_planes and not workers and not draft.cluster.schedule_on_control_planes:
        yield _warning(
            checked,
            (*at, "workers") if by_count else at,
            "there is no worker, so ordinary pods have nowhere to run",
            expected="a worker, or schedule_on_control_planes: true",
        )


def _groups(checked: Checked) -> Iterator[tuple[KeyPath, Hardware]]:
    """Each place in the file that says what a VM gets, once."""
    machines = checked.fields.machines
    if isinstance(machines, Counts):
        for key in ("control_planes", "workers"):
            group = getattr(machines, key)
            yield ("machines", key), Hardware() if isinstance(group, int) else group
        return
    for index, machine in zip(checked.indices(("machines",), len(machines)), machines, strict=True):
        yield ("machines", index), machine


def _role_of(at: KeyPath, given: Hardware) -> Role:
    role = getattr(given, "role", "controlplane" if at[-1] == "control_planes" else "worker")
    return Role(role)


def _hardware(checked: Checked, _draft: Draft) -> Iterator[Finding]:
    for at, given in _groups(checked):
        role = _role_of(at, given)
        least, good = LEAST_MEMORY_MIB[role], GOOD_MEMORY_MIB[role]
        if given.memory < least:
            problem = f"{size(given.memory)} is too little for a {role.words}"
            yield _finding(checked, (*at, "memory"), problem, expected=f"at least {least} MiB, better {size(good)}")
        elif given.memory < good:
            problem = f"{size(given.memory)} is less than Talos recommends for a {role.words}"
            yield _warning(checked, (*at, "memory"), problem, expected=size(good))
        if given.disk < LEAST_DISK_GIB:
            problem = f"Talos does not fit on {given.disk} GiB"
            expected = f"at least {LEAST_DISK_GIB} GiB, better {GOOD_DISK_GIB} GiB or more"
            yield _finding(checked, (*at, "disk"), problem, expected=expected)
        elif given.disk < GOOD_DISK_GIB:
            problem = f"{given.disk} GiB leaves little room for images"
            yield _warning(checked, (*at, "disk"), problem, expected=f"{GOOD_DISK_GIB} GiB or more")
        if role is Role.CONTROL_PLANE and given.cpus < 2:
            problem = "1 CPU is less than Talos recommends for a control plane"
            yield _warning(checked, (*at, "cpus"), problem, expected="2")


def _machine_names(checked: Checked, draft: Draft) -> Iterator[Finding]:
    seen: dict[str, KeyPath] = {}
    for at, machine in zip(draft.machine_paths, draft.cluster.machines, strict=True):
        if (*at, "name") in checked.dropped:
            continue
        if is_windows_device(machine.name):
            problem = f"{machine.name} is a device name in Windows, so no folder can be called so"
            yield _finding(checked, (*at, "name"), problem, expected="another name", meant=f"{machine.name}-1")
        first = seen.setdefault(machine.name, at)
        if first != at:
            line = checked.tree.place((*first, "name")).line
            yield _finding(
                checked,
                (*at, "name"),
                f"{machine.name} is also the name of the machine in line {line}",
                expected="a unique name",
            )


def _macs(checked: Checked, draft: Draft) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for at, machine in zip(draft.machine_paths, draft.cluster.machines, strict=True):
        if not checked.intact(*at, "mac") or not checked.intact(*at, "name"):
            continue
        first = seen.setdefault(machine.mac, machine.name)
        if first != machine.name:
            yield _finding(
                checked,
                (*at, "mac"),
                f"{spaced_mac(machine.mac)} is also the MAC address of {first}",
                expected="a unique address",
            )
        elif machine.mac.startswith(HYPERV_POOL):
            yield _warning(
                checked,
                (*at, "mac"),
                f"{spaced_mac(machine.mac)} is in Hyper-V's dynamic pool, which may assign it to another VM",
                expected="an address outside 00-15-5D",
            )


def _addresses(checked: Checked, draft: Draft) -> Iterator[Finding]:
    vip = draft.cluster.vip
    hosts = {host.address: name for name, host in draft.cluster.hosts.items() if not host.lab and host.address}
    if vip and vip in hosts:
        yield _finding(checked, ("vip",), f"{vip} is the address of host {hosts[vip]}", expected="a free address")
    seen = {address: f"the address of host {name}" for address, name in hosts.items()}
    if vip:
        seen[vip] = "the virtual address vip:"
    for at, machine in zip(draft.machine_paths, draft.cluster.machines, strict=True):
        if not machine.address:
            continue
        if owner := seen.get(machine.address):
            yield _finding(checked, (*at, "address"), f"{machine.address} is also {owner}", expected="a unique address")
        seen.setdefault(machine.address, f"the address of {machine.name}")


def _networks(checked: Checked, draft: Draft) -> Iterator[Finding]:
    given = {key: getattr(checked.fields.network, key) for key in ("pod_subnets", "service_subnets")}
    places = {key: checked.indices(("network", key), len(texts)) for key, texts in given.items()}
    # How large the pods' network must be hangs on the whole config: where patches are, it is asked about that.
    nodes = 0 if draft.cluster.has_patches else len(draft.cluster.machines)
    for found in network_problems(given["pod_subnets"], given["service_subnets"], nodes=nodes):
        beside = ""
        if found.other:
            key, index = found.other
            beside = f", line {checked.tree.place(('network', key, places[key][index])).line}"
        at = ("network", found.key, places[found.key][found.index])
        yield _finding(checked, at, found.problem + beside, expected=found.expected)
    for path, words, address in _on_the_lan(draft):
        if inside := network_of(address, given["pod_subnets"], given["service_subnets"]):
            problem = f"{words} {address} is inside {inside[0]}, the network of the {inside[1]}"
            yield _finding(checked, path, problem, expected="networks that do not overlap the LAN")


def _on_the_lan(draft: Draft) -> Iterator[tuple[KeyPath, str, IpAddress]]:
    """Every address of the LAN that the file names."""
    given: list[tuple[KeyPath, str, str]] = [
        ((*at, "address"), "the machine's address", machine.address)
        for at, machine in zip(draft.machine_paths, draft.cluster.machines, strict=True)
    ]
    given.append((("vip",), "the virtual address", draft.cluster.vip))
    given.append((("endpoint",), "the endpoint's address", urlsplit(draft.cluster.endpoint).hostname or ""))
    for name, host in draft.cluster.hosts.items():
        path = draft.host_paths[name]
        given.append(((*path, "address"), "the host's address", "" if host.lab else host.address))
    for path, words, text in given:
        if (address := parsed_address(text)) is not None:
            yield path, words, address


def _endpoint(checked: Checked, draft: Draft) -> Iterator[Finding]:
    """A warning for an endpoint that no machine of ours answers: right only where something forwards it."""
    cluster = draft.cluster
    host = urlsplit(cluster.endpoint).hostname or ""
    known = {machine.address for machine in cluster.control_planes if machine.address}
    if not known or not host:
        return
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        return
    if address in known | {cluster.vip, *cluster.cert_sans}:
        return
    workers = {machine.address: machine.name for machine in cluster.workers if machine.address}
    if address in workers:
        yield _finding(
            checked,
            ("endpoint",),
            f"{address} is {workers[address]}, a worker: the Kubernetes API runs on control planes",
            expected=f"one of {', '.join(sorted(known))}",
        )
        return
    yield _warning(
        checked,
        ("endpoint",),
        f"{address} is neither vip: nor the address of a control plane",
        expected="an address that a load balancer forwards",
    )
