"""What a machine's config says after all patches, as far as the program itself goes on with it.

The cluster file is only the beginning of a config: a patch may name another disk, a static address, another CNI. Whatever a step
needs of such a value it takes from here, never from the cluster file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EffectiveConfig:
    """One machine's values. Field paths are those of Talos' v1alpha1 config.

    Source: https://www.talos.dev/v1.11/reference/configuration/v1alpha1/config/
    """

    install_disk: str = ""
    """`machine.install.disk`; empty where `diskSelector` chooses, which wins over a path."""
    hostname: str = ""
    """The short name that Talos sets: the first label of `machine.network.hostname`."""
    node_name: str = ""
    """What Kubernetes will call the node: the host name, or the whole name with `kubelet.registerWithFQDN`."""
    addresses: tuple[str, ...] = ()
    """Static addresses without their prefix, in the order of the interfaces."""
    vip: str = ""
    endpoint: str = ""
    """`cluster.controlPlane.endpoint`; empty while it hangs on an address that is not known yet."""
    pod_subnets: tuple[str, ...] = ()
    service_subnets: tuple[str, ...] = ()
    cni: str = "flannel"
    """`flannel`, `custom` or `none`."""
    proxy: bool = True
    """False with `cluster.proxy.disabled`."""
    core_dns: bool = True
    """False with `cluster.coreDNS.disabled`."""
    controller_manager: bool = True
    """False with `machine.controlPlane.controllerManager.disabled`."""
    scheduler: bool = True
    """False with `machine.controlPlane.scheduler.disabled`."""
    registers_node: bool = True
    """False with `machine.kubelet.skipNodeRegistration`."""
    kubernetes: str = ""
    """Version of the kubelet's image, as `v1.34.1`; empty for an image without a version."""
    installer: str = ""
    """`machine.install.image`."""

    @property
    def brings_own_cni(self) -> bool:
        """Whether nodes stay NotReady until the user installs a CNI. `custom` brings one by its manifests."""
        return self.cni == "none"
