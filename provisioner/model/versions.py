"""Which releases this version of the product is pinned to, in one place."""

from __future__ import annotations

TALOS = "v1.11.5"
"""Default Talos release."""

KUBERNETES = "v1.34.1"
"""Default Kubernetes version: the one that Talos 1.11.5 itself defaults to."""

INSTALLER = "ghcr.io/siderolabs/installer"
"""Talos' own installer image; a schematic of the Image Factory has one of its own."""

CONTRACTS: tuple[str, ...] = ("v1.11",)
"""Version contracts whose machine configs we can generate; see `talos/machineconfig.py`."""

KUBERNETES_RANGE: dict[str, tuple[str, str]] = {"v1.11": ("v1.29", "v1.34")}
"""Kubernetes minors that a Talos contract accepts, both ends included. Source: Talos' compatibility tables."""


def contract_of(talos: str) -> str:
    """`v1.11.5` -> `v1.11`."""
    return ".".join(talos.split(".")[:2])


def runs_kubernetes(contract: str, kubernetes: str) -> bool:
    """Whether Talos of that contract runs a Kubernetes version, as `v1.34.1`; only its minor counts."""
    oldest, newest = KUBERNETES_RANGE[contract]
    return _minor(oldest) <= _minor(kubernetes) <= _minor(newest)


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("v").split(".")[:2])
