"""Which keys and documents a machine config may have by contract 1.11: decoding is strict, so any other key refuses the config.

A table of the shape of the documents: a mapping is a structure with exactly these keys, a list holds elements of its one shape,
`Map` has keys of the user's choice, and `ANY` is not looked into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

Shape = Union[None, "Map", Mapping[str, "Shape"], Sequence["Shape"]]
ANY = None


@dataclass(frozen=True)
class Map:
    values: Shape


def _keys(names: str) -> dict[str, Shape]:
    return dict.fromkeys(names.split())


_PAIR = _keys("crt key")
_RESOURCES = _keys("requests limits")
_VOLUMES: list[Shape] = [_keys("hostPath mountPath readonly name")]
_ROUTES: list[Shape] = [_keys("network gateway source metric mtu")]
_DHCP = _keys("routeMetric ipv4 ipv6 duidv6")
_VIP: dict[str, Shape] = {"ip": ANY, "equinixMetal": _keys("apiToken"), "hcloud": _keys("apiToken")}
_SELECTOR = _keys("busPath hardwareAddr permanentAddr pciID driver physical")

_BOND = _keys(
    "interfaces arpIPTarget mode xmitHashPolicy lacpRate adActorSystem arpValidate arpAllTargets primary primaryReselect "
    "failOverMac adSelect miimon updelay downdelay arpInterval resendIgmp minLinks lpInterval packetsPerSlave numPeerNotif "
    "tlbDynamicLb allSlavesActive useCarrier adActorSysPrio adUserPortKey peerNotifyDelay"
) | {"deviceSelectors": [_SELECTOR]}

_VLAN = _keys("addresses cidr dhcp vlanId mtu") | {"routes": _ROUTES, "vip": _VIP, "dhcpOptions": _DHCP}

_INTERFACE: dict[str, Shape] = {
    **_keys("interface addresses cidr mtu dhcp ignore dummy"),
    "deviceSelector": _SELECTOR,
    "routes": _ROUTES,
    "bond": _BOND,
    "bridge": {"interfaces": ANY, "stp": _keys("enabled"), "vlan": _keys("vlanFiltering")},
    "bridgePort": _keys("master"),
    "vlans": [_VLAN],
    "dhcpOptions": _DHCP,
    "wireguard": {
        **_keys("privateKey listenPort firewallMark"),
        "peers": [_keys("publicKey endpoint persistentKeepaliveInterval allowedIPs")],
    },
    "vip": _VIP,
}

_ENCRYPTION: dict[str, Shape] = {
    **_keys("provider cipher keySize blockSize options"),
    "keys": [
        {
            "slot": ANY,
            "static": _keys("passphrase"),
            "nodeID": {},
            "kms": _keys("endpoint"),
            "tpm": _keys("checkSecurebootStatusOnEnroll"),
        }
    ],
}

_MACHINE: dict[str, Shape] = {
    **_keys(
        "type token certSANs pods env sysctls sysfs baseRuntimeSpecOverrides nodeLabels nodeAnnotations nodeTaints"
    ),
    "ca": _PAIR,
    "acceptedCAs": [_keys("crt")],
    "controlPlane": {"controllerManager": _keys("disabled"), "scheduler": _keys("disabled")},
    "kubelet": {
        **_keys(
            "image clusterDNS extraArgs extraMounts extraConfig credentialProviderConfig "
            "defaultRuntimeSeccompProfileEnabled registerWithFQDN skipNodeRegistration disableManifestsDirectory"
        ),
        "nodeIP": _keys("validSubnets"),
    },
    "network": {
        **_keys("hostname nameservers searchDomains disableSearchDomain"),
        "interfaces": [_INTERFACE],
        "extraHostEntries": [_keys("ip aliases")],
        "kubespan": {
            **_keys("enabled advertiseKubernetesNetworks allowDownPeerBypass harvestExtraEndpoints mtu"),
            "filters": _keys("endpoints"),
        },
    },
    "disks": [{"device": ANY, "partitions": [_keys("size mountpoint")]}],
    "install": {
        **_keys("disk extraKernelArgs image bootloader wipe legacyBIOSSupport"),
        "diskSelector": _keys("size name model serial modalias uuid wwid type busPath"),
        "extensions": [_keys("image")],
    },
    "files": [_keys("content permissions path op")],
    "time": _keys("disabled servers bootTimeout"),
    "registries": {
        "mirrors": Map(_keys("endpoints overridePath skipFallback")),
        "config": Map(
            {
                "tls": {"clientIdentity": _PAIR, "ca": ANY, "insecureSkipVerify": ANY},
                "auth": _keys("username password auth identityToken"),
            }
        ),
    },
    "systemDiskEncryption": {"state": _ENCRYPTION, "ephemeral": _ENCRYPTION},
    "features": {
        **_keys("rbac stableHostname apidCheckExtKeyUsage diskQuotaSupport nodeAddressSortAlgorithm"),
        "kubernetesTalosAPIAccess": _keys("enabled allowedRoles allowedKubernetesNamespaces"),
        "kubePrism": _keys("enabled port"),
        "hostDNS": _keys("enabled forwardKubeDNSToHost resolveMemberNames"),
        "imageCache": _keys("localEnabled"),
    },
    "udev": _keys("rules"),
    "logging": {"destinations": [_keys("endpoint extraTags format")]},
    "kernel": {"modules": [_keys("name parameters")]},
    "seccompProfiles": [_keys("name value")],
}

_CLUSTER: dict[str, Shape] = {
    **_keys(
        "id secret clusterName token aescbcEncryptionSecret secretboxEncryptionSecret extraManifests extraManifestHeaders "
        "allowSchedulingOnMasters allowSchedulingOnControlPlanes"
    ),
    "controlPlane": _keys("endpoint localAPIServerPort"),
    "network": {
        **_keys("dnsDomain podSubnets serviceSubnets"),
        "cni": {"name": ANY, "urls": ANY, "flannel": _keys("extraArgs")},
    },
    "ca": _PAIR,
    "acceptedCAs": [_keys("crt")],
    "aggregatorCA": _PAIR,
    "serviceAccount": _keys("key"),
    "apiServer": {
        **_keys("image extraArgs env certSANs disablePodSecurityPolicy auditPolicy"),
        "extraVolumes": _VOLUMES,
        "admissionControl": [_keys("name configuration")],
        "resources": _RESOURCES,
        "authorizationConfig": [_keys("type name webhook")],
    },
    "controllerManager": {**_keys("image extraArgs env"), "extraVolumes": _VOLUMES, "resources": _RESOURCES},
    "proxy": _keys("disabled image mode extraArgs"),
    "scheduler": {**_keys("image extraArgs env config"), "extraVolumes": _VOLUMES, "resources": _RESOURCES},
    "discovery": {
        "enabled": ANY,
        "registries": {"kubernetes": _keys("disabled"), "service": _keys("disabled endpoint")},
    },
    "etcd": {**_keys("image extraArgs subnet advertisedSubnets listenSubnets"), "ca": _PAIR},
    "coreDNS": _keys("disabled image"),
    "externalCloudProvider": _keys("enabled manifests"),
    "inlineManifests": [_keys("name contents")],
    "adminKubeconfig": _keys("certLifetime"),
}

V1ALPHA1: Mapping[str, Shape] = {**_keys("version debug persist"), "machine": _MACHINE, "cluster": _CLUSTER}

_DOCUMENTS_1_11 = (
    "EthernetConfig EventSinkConfig ExistingVolumeConfig ExtensionServiceConfig KmsgLogConfig KubeSpanEndpointsConfig "
    "NetworkDefaultActionConfig NetworkRuleConfig PCIDriverRebindConfig RawVolumeConfig SideroLinkConfig SwapVolumeConfig "
    "TrustedRootsConfig UserVolumeConfig VolumeConfig WatchdogTimerConfig ZswapConfig"
)
_ADDED_IN_1_12 = (
    "BondConfig BridgeConfig DHCPv4Config DHCPv6Config DummyLinkConfig HCloudVIPConfig HostnameConfig Layer2VIPConfig "
    "LinkAliasConfig LinkConfig OOMConfig RegistryMirrorConfig RegistryAuthConfig RegistryTLSConfig ResolverConfig "
    "StaticHostConfig TimeSyncConfig VLANConfig WireguardConfig"
)
_ADDED_IN_1_13 = (
    "BlackholeRouteConfig EnvironmentConfig ExternalVolumeConfig ImageVerificationConfig KubeSpanConfig RoutingRuleConfig "
    "TCPProbeConfig VRFConfig"
)


def document_kinds(minor: int) -> frozenset[str]:
    """Kinds of extra documents that Talos 1.<minor> knows (facts/talos.md 6.4)."""
    known = (
        _DOCUMENTS_1_11 + (f" {_ADDED_IN_1_12}" if minor >= 12 else "") + (f" {_ADDED_IN_1_13}" if minor >= 13 else "")
    )
    return frozenset(known.split())


def unknown_keys(value: Any, shape: Shape) -> Any:
    """The part of a document that the shape does not know, in the document's own nesting; None when all is known."""
    if isinstance(shape, Map) and isinstance(value, Mapping):
        return _some({key: unknown_keys(item, shape.values) for key, item in value.items()})
    if isinstance(shape, Mapping) and isinstance(value, Mapping):
        return _some(
            {key: unknown_keys(item, shape[key]) if key in shape else item for key, item in _paired(value, shape)}
        )
    if isinstance(shape, Sequence) and isinstance(value, Sequence) and not isinstance(value, str):
        found = [part for item in value if (part := unknown_keys(item, shape[0])) is not None]
        return found or None
    return None


def _paired(value: Mapping[str, Any], shape: Mapping[str, Shape]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        yield key, item if key in shape or item is not None else "null"


def _some(parts: dict[str, Any]) -> dict[str, Any] | None:
    return {key: part for key, part in parts.items() if part is not None} or None
