"""Which networks a cluster can have: what pods and services may be given, beside each other and beside the LAN.

Sources: Talos' and Kubernetes' defaults for the addresses of a node's pods (/24 and /64), Kubernetes' limit of 2^16 nodes in an IPv6
network, and Talos' tenth address of the services for DNS.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

NODE_PREFIX: Mapping[int, int] = {4: 24, 6: 64}
"""Length of the network that each node gets for its pods, by IP version."""
_MOST_DIFFERENCE_6 = 16
_DNS_ADDRESS = 10
_KINDS = (("pods", "pod_subnets"), ("services", "service_subnets"))


@dataclass(frozen=True, kw_only=True)
class NetworkProblem:
    """What is wrong with one network of a cluster."""

    key: str
    """`pod_subnets` or `service_subnets`."""
    index: int
    problem: str
    expected: str
    other: tuple[str, int] | None = None
    """Key and index of the network that it collides with."""


def network_problems(
    pods: Sequence[str], services: Sequence[str], *, nodes: int, node_prefix: Mapping[int, int] = NODE_PREFIX
) -> Iterator[NetworkProblem]:
    """Everything that is wrong with a cluster's networks by themselves. Texts that are no networks are left to others."""
    inside: list[tuple[str, str, int, IpNetwork]] = []
    for words, key in _KINDS:
        families: dict[int, str] = {}
        for index, text in enumerate(pods if key == "pod_subnets" else services):
            network = parsed(text)
            if network is None:
                continue
            if (first := families.setdefault(network.version, text)) != text:
                problem = f"a second network of IPv{network.version} for {words}, beside {first}"
                expected = "at most one IPv4 and one IPv6 network"
                yield NetworkProblem(key=key, index=index, problem=problem, expected=expected)
            for other_words, other_key, other_index, other in inside:
                if network.version == other.version and network.overlaps(other):
                    yield NetworkProblem(
                        key=key,
                        index=index,
                        problem=f"{network} overlaps {other} of the {other_words}",
                        expected="networks that do not overlap",
                        other=(other_key, other_index),
                    )
            size = (
                _pods_size(network, nodes, node_prefix[network.version])
                if key == "pod_subnets"
                else _services_size(network)
            )
            if size:
                yield NetworkProblem(key=key, index=index, problem=size[0], expected=size[1])
            inside.append((words, key, index, network))


def network_of(address: IpAddress, pods: Sequence[str], services: Sequence[str]) -> tuple[IpNetwork, str] | None:
    """The network of the cluster that an address of the LAN lies in, and whose it is: `pods` or `services`."""
    for words, texts in (("pods", pods), ("services", services)):
        for text in texts:
            network = parsed(text)
            if network is not None and network.version == address.version and address in network:
                return network, words
    return None


def parsed(text: str) -> IpNetwork | None:
    """The network that a text names, bits behind the prefix ignored; None for what is none."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def parsed_address(text: str) -> IpAddress | None:
    """The address that a text names; None for a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _pods_size(network: IpNetwork, nodes: int, node_prefix: int) -> tuple[str, str] | None:
    each = f"each node gets a /{node_prefix}"
    if network.version == 6 and node_prefix - network.prefixlen > _MOST_DIFFERENCE_6:
        return f"{network} is larger than Kubernetes takes: {each}", f"/{node_prefix - _MOST_DIFFERENCE_6} or longer"
    room = 2 ** max(node_prefix - network.prefixlen, 0) if network.prefixlen <= node_prefix else 0
    if room >= nodes:
        return None
    fits = max(node_prefix - max(nodes - 1, 0).bit_length(), 0)
    many = "1 machine" if nodes == 1 else f"{nodes} machines"
    return f"{network} has pods for {room} of {many}: {each}", f"/{fits} or shorter"


def _services_size(network: IpNetwork) -> tuple[str, str] | None:
    if network.num_addresses > _DNS_ADDRESS + 1:
        return None
    return f"{network} is too small for services: DNS has the tenth address", f"/{network.max_prefixlen - 4} or shorter"
