"""The kinds of COSI resources that the lab's machines serve: names, columns, fields, and who may read them (facts/talos.md 2.3, 2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from provisioner.lab.machines.wire import Field

STAGES = {
    "unknown": 0,
    "booting": 1,
    "installing": 2,
    "maintenance": 3,
    "running": 4,
    "rebooting": 5,
    "shutting down": 6,
    "resetting": 7,
    "upgrading": 8,
}
MACHINE_TYPES = {"unknown": 0, "init": 1, "controlplane": 2, "worker": 3}
_LINK_TYPES = {"ether": 1, "loopback": 772}
_OPERATIONAL = {"unknown": 0, "notPresent": 1, "down": 2, "lowerLayerDown": 3, "testing": 4, "dormant": 5, "up": 6}
_FAMILIES = {"inet4": 2, "inet6": 10}
_SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}
_LINK_FLAGS = {"UP": 1, "BROADCAST": 2, "LOOPBACK": 8, "RUNNING": 64, "MULTICAST": 4096, "LOWER_UP": 0x10000}
_SELINUX = {"disabled": 0, "enabled, permissive": 1, "enabled, enforcing": 2}


@dataclass(frozen=True)
class Kind:
    """One resource type."""

    type: str
    namespace: str
    fields: Sequence[Field] = ()
    columns: Sequence[tuple[str, str]] = ()
    """(name, JSONPath)."""
    aliases: Sequence[str] = ()
    sensitive: bool = False
    scalar: str = ""
    """The YAML form is that field's value alone."""
    raw: bool = field(default=False)
    """The YAML form is the bytes of its only field, as they are."""

    @property
    def id(self) -> str:
        """Of its definition."""
        return self.type.lower()

    @property
    def plural(self) -> str:
        return self.type.partition(".")[0]

    @property
    def singular(self) -> str:
        if self.plural.endswith(("sses", "uses")):
            return self.plural[:-2]
        return self.plural[:-3] + "y" if self.plural.endswith("ies") else self.plural.removesuffix("s")

    def all_aliases(self) -> list[str]:
        """Lower-case plural, the plural with each longer prefix of the group, then the aliases (facts/talos.md 2.2)."""
        plural, group = self.plural.lower(), self.type.split(".")[1:]
        longer = [".".join([plural, *group[:count]]) for count in range(1, len(group))]
        return [plural, *longer, *self.short_aliases()]

    def short_aliases(self) -> list[str]:
        capitals = "".join(letter for letter in self.plural if letter.isupper()).lower()
        initials = [capitals] if len(capitals) > 1 else []
        return list(dict.fromkeys([*self.aliases, self.singular.lower(), *initials]))


def _fields(*names: str) -> tuple[Field, ...]:
    """`key`, `key:kind`, `key:kind*` for a list, numbered from 1."""
    out = []
    for number, name in enumerate(names, 1):
        key, _, kind = name.partition(":")
        out.append(Field(number, key, kind.rstrip("*") or "string", repeated=kind.endswith("*")))
    return tuple(out)


_UNMET = Field(2, "unmetConditions", "message", repeated=True, fields=_fields("name", "reason"))
_STATUS = Field(2, "status", "message", fields=(Field(1, "ready", "bool"), _UNMET))
_PORT = Field(6, "controlPlane", "message", fields=(Field(1, "port", "uint"),))

_LINK = (
    Field(1, "index", "uint"),
    Field(2, "type", "enum", words=_LINK_TYPES),
    Field(4, "flags", "flags", words=_LINK_FLAGS),
    Field(5, "hardwareAddr", "mac"),
    Field(6, "broadcastAddr", "mac"),
    Field(7, "mtu", "uint"),
    Field(8, "queueDisc"),
    Field(10, "operationalState", "enum", words=_OPERATIONAL),
    Field(11, "kind"),
    Field(15, "driver"),
    Field(22, "linkState", "bool"),
    Field(23, "speedMbit", "uint"),
    Field(30, "permanentAddr", "mac"),
)
_ADDRESS = (
    Field(1, "address", "cidr"),
    Field(2, "local", "ip"),
    Field(3, "broadcast", "ip"),
    Field(6, "linkIndex", "uint"),
    Field(7, "linkName"),
    Field(8, "family", "enum", words=_FAMILIES),
    Field(9, "scope", "enum", words=_SCOPES),
    Field(10, "flags", "flags", words={"permanent": 0x80}),
)
_DISK = (
    *_fields("size:uint", "io_size:uint", "sector_size:uint", "readonly:bool", "model", "serial", "modalias", "wwid"),
    Field(9, "bus_path"),
    Field(10, "sub_system"),
    Field(11, "transport"),
    Field(12, "rotational", "bool"),
    Field(13, "cdrom", "bool"),
    Field(14, "dev_path"),
    Field(15, "pretty_size"),
    Field(18, "symlinks", repeated=True),
)
_MEMBER = (
    Field(1, "nodeId"),
    Field(2, "addresses", "ip", repeated=True),
    Field(3, "hostname"),
    Field(4, "machineType", "enum", words=MACHINE_TYPES),
    Field(5, "operatingSystem"),
    _PORT,
)
_DEFINITION = (
    *_fields("type", "displayType", "defaultNamespace", "aliases:string*", "allAliases:string*"),
    Field(6, "printColumns", "message", repeated=True, fields=_fields("name", "jsonPath")),
    Field(7, "sensitivity", "enum", words={"": 0, "sensitive": 1}),
)

META = (
    Kind("ResourceDefinitions.meta.cosi.dev", "meta", _DEFINITION, [("Aliases", "{.aliases[:]}")], ["api-resources"]),
    Kind("Namespaces.meta.cosi.dev", "meta", _fields("description"), [], ["ns"]),
)

_RUNTIME = (
    Kind(
        "MachineStatuses.runtime.talos.dev",
        "runtime",
        (Field(1, "stage", "enum", words=STAGES), _STATUS),
        [("Stage", "{.stage}"), ("Ready", "{.status.ready}")],
    ),
    Kind("Versions.runtime.talos.dev", "runtime", _fields("version"), [("Version", "{.version}")]),
    Kind("KernelCmdlines.runtime.talos.dev", "runtime", _fields("cmdline"), [], ["cmdline"]),
    Kind(
        "Diagnostics.runtime.talos.dev", "runtime", _fields("message", "details:string*"), [("Message", "{.message}")]
    ),
    Kind(
        "SecurityStates.talos.dev",
        "runtime",
        (
            Field(1, "secureBoot", "bool"),
            Field(2, "ukiSigningKeyFingerprint"),
            Field(3, "pcrSigningKeyFingerprint"),
            Field(4, "selinuxState", "enum", words=_SELINUX),
            Field(5, "bootedWithUKI", "bool"),
        ),
        [("SecureBoot", "{.secureBoot}"), ("SELinuxState", "{.selinuxState}")],
    ),
    Kind("PlatformMetadatas.talos.dev", "runtime", _fields("platform", "hostname"), [("Platform", "{.platform}")]),
    Kind(
        "Services.v1alpha1.talos.dev",
        "runtime",
        _fields("running:bool", "healthy:bool", "unknown:bool"),
        [("Running", "{.running}"), ("Healthy", "{.healthy}"), ("Health Unknown", "{.unknown}")],
        ["svc"],
    ),
    Kind(
        "TimeStatuses.v1alpha1.talos.dev",
        "runtime",
        _fields("synced:bool", "epoch:uint", "syncDisabled:bool"),
        [("Synced", "{.synced}")],
    ),
    Kind(
        "Disks.block.talos.dev",
        "runtime",
        _DISK,
        [
            ("Size", "{.pretty_size}"),
            ("Read Only", "{.readonly}"),
            ("Transport", "{.transport}"),
            ("Rotational", "{.rotational}"),
            ("WWID", "{.wwid}"),
            ("Model", "{.model}"),
            ("Serial", "{.serial}"),
        ],
    ),
    Kind("SystemDisks.block.talos.dev", "runtime", _fields("diskID", "devPath"), [("Disk", "{.diskID}")]),
    Kind("ExtensionStatuses.runtime.talos.dev", "runtime", (), [("Name", "{.metadata.name}")], ["extensions"]),
    Kind("MetaKeys.runtime.talos.dev", "runtime", _fields("value"), [], ["meta"]),
)

_NETWORK = (
    Kind(
        "LinkStatuses.net.talos.dev",
        "network",
        _LINK,
        [
            ("Type", "{.type}"),
            ("Kind", "{.kind}"),
            ("Hw Addr", "{.hardwareAddr}"),
            ("Oper State", "{.operationalState}"),
            ("Link State", "{.linkState}"),
        ],
        ["link", "links"],
    ),
    Kind(
        "AddressStatuses.net.talos.dev",
        "network",
        _ADDRESS,
        [("Address", "{.address}"), ("Link", "{.linkName}")],
        ["address", "addresses"],
    ),
    Kind(
        "NodeAddresses.net.talos.dev",
        "network",
        _fields("addresses:cidr*"),
        [("Addresses", "{.addresses}")],
    ),
    Kind("HardwareAddresses.net.talos.dev", "network", _fields("name", "hardwareAddr:mac")),
    Kind(
        "HostnameStatuses.net.talos.dev",
        "network",
        _fields("hostname", "domainname"),
        [("Hostname", "{.hostname}"), ("Domainname", "{.domainname}")],
        ["hostname"],
    ),
    Kind(
        "NetworkStatuses.net.talos.dev",
        "network",
        _fields("addressReady:bool", "connectivityReady:bool", "hostnameReady:bool", "etcFilesReady:bool"),
        [
            ("Address", "{.addressReady}"),
            ("Connectivity", "{.connectivityReady}"),
            ("Hostname", "{.hostnameReady}"),
            ("Etc", "{.etcFilesReady}"),
        ],
        ["netstatus"],
    ),
    Kind(
        "ResolverStatuses.net.talos.dev",
        "network",
        _fields("dnsServers:ip*"),
        [("Resolvers", "{.dnsServers}")],
        ["resolvers"],
    ),
    Kind("TimeServerStatuses.net.talos.dev", "network", _fields("timeServers:string*"), [], ["timeservers"]),
)

_OTHERS = (
    Kind(
        "SystemInformations.hardware.talos.dev",
        "hardware",
        _fields("manufacturer", "productName", "version", "serialnumber", "uuid", "wakeUpType", "skuNumber"),
        [
            ("Manufacturer", "{.manufacturer}"),
            ("ProductName", "{.productName}"),
            ("SerialNumber", "{.serialnumber}"),
            ("UUID", "{.uuid}"),
        ],
    ),
    Kind(
        "MachineConfigs.config.talos.dev", "config", (Field(1, "data", "bytes"),), [], ["mc"], sensitive=True, raw=True
    ),
    Kind(
        "MachineTypes.config.talos.dev",
        "config",
        (Field(1, "type", "enum", words=MACHINE_TYPES),),
        [("Type", "{@}")],
        scalar="type",
    ),
    Kind(
        "Members.cluster.talos.dev",
        "cluster",
        _MEMBER,
        [
            ("Hostname", "{.hostname}"),
            ("Machine Type", "{.machineType}"),
            ("OS", "{.operatingSystem}"),
            ("Addresses", "{.addresses}"),
        ],
    ),
    Kind("Identities.cluster.talos.dev", "cluster", _fields("nodeId"), [("ID", "{.nodeId}")]),
    Kind(
        "Infos.cluster.talos.dev",
        "cluster",
        _fields("clusterId", "clusterName"),
        [("Cluster ID", "{.clusterId}"), ("Cluster Name", "{.clusterName}")],
    ),
    Kind("Nodenames.kubernetes.talos.dev", "k8s", _fields("nodename"), [("Nodename", "{.nodename}")]),
    Kind(
        "NodeStatuses.kubernetes.talos.dev",
        "k8s",
        _fields("nodename", "nodeReady:bool", "unschedulable:bool"),
        [("Ready", "{.nodeReady}"), ("Unschedulable", "{.unschedulable}")],
    ),
    Kind("NodeIPs.kubernetes.talos.dev", "k8s", _fields("addresses:ip*")),
    Kind(
        "StaticPodStatuses.kubernetes.talos.dev",
        "k8s",
        (Field(1, "", "struct"),),
        [("Ready", '{.conditions[?(@.type=="Ready")].status}')],
        ["podstatus"],
    ),
    Kind("EtcdMembers.etcd.talos.dev", "etcd", _fields("memberID"), [("Member ID", "{.memberID}")]),
)

_NODE = (
    Kind("NodeLabelSpecs.k8s.talos.dev", "k8s", _fields("key", "value"), [("Value", "{.value}")], sensitive=True),
    Kind("NodeAnnotationSpecs.k8s.talos.dev", "k8s", _fields("key", "value"), [("Value", "{.value}")], sensitive=True),
    Kind(
        "NodeTaintSpecs.k8s.talos.dev",
        "k8s",
        _fields("key", "effect", "value"),
        [("Value", "{.value}")],
        sensitive=True,
    ),
)

ALL: dict[str, Kind] = {
    kind.type: kind
    for kind in (
        *META,
        *_RUNTIME,
        *_NETWORK,
        *_OTHERS,
        *_NODE,
    )
}

NAMESPACES = (
    "meta",
    "runtime",
    "network",
    "hardware",
    "config",
    "cluster",
    "k8s",
    "controlplane",
    "etcd",
    "cri",
    "files",
    "kubespan",
    "perf",
    "secrets",
)
