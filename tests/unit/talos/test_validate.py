"""Each check of a machine config fires on its own mistake, names the place, and stays silent on a sound config."""

from __future__ import annotations

import base64

import pytest

from provisioner.talos import patches, secrets, validate
from provisioner.talos.schema import Document, Problem
from tests.unit.talos.helpers import CONFIGS, ENDPOINT, SCHEMA, bundle, cluster, documents_of

KEY = base64.b64encode(b"k" * 32).decode()
NIC = "machine.network.interfaces[0]"
CONTROL_PLANE = [
    ("machine: {install: {$patch: delete}}", "machine.install"),
    ("machine: {install: {disk: {$patch: delete}}}", "machine.install"),
    ("machine: {ca: {$patch: delete}}", "machine.ca"),
    ("machine: {ca: {key: {$patch: delete}}}", "machine.ca.key"),
    ("machine: {type: master}", "machine.type"),
    ("persist: false", "persist"),
    ("cluster: {controlPlane: {endpoint: {$patch: delete}}}", "cluster.controlPlane.endpoint"),
    ("cluster: {controlPlane: {endpoint: 'https://:6443'}}", "cluster.controlPlane.endpoint"),
    ("cluster: {controlPlane: {endpoint: 'https://a:99999'}}", "cluster.controlPlane.endpoint"),
    ("cluster: {network: {dnsDomain: 'a..b'}}", "cluster.network.dnsDomain"),
    ("cluster: {network: {cni: {name: cilium}}}", "cluster.network.cni.name"),
    ("cluster: {network: {cni: {name: none, urls: ['https://a/b']}}}", "cluster.network.cni.urls"),
    ("cluster: {network: {cni: {name: custom}}}", "cluster.network.cni.urls"),
    ("cluster: {network: {cni: {name: custom, urls: ['https:///b']}}}", "cluster.network.cni.urls[0]"),
    ("cluster: {inlineManifests: [{name: ' ', contents: a}]}", "cluster.inlineManifests[0].name"),
    ("cluster: {inlineManifests: [{name: a, contents: a}, {name: a, contents: b}]}", "cluster.inlineManifests[1].name"),
    ("cluster: {id: {$patch: delete}}", "cluster.id"),
    ("cluster: {secret: {$patch: delete}}", "cluster.secret"),
    ("cluster: {etcd: {advertisedSubnets: ['!a']}}", "cluster.etcd.advertisedSubnets[0]"),
    ("cluster: {etcd: {listenSubnets: [1.2.3.4/99]}}", "cluster.etcd.listenSubnets[0]"),
    ("machine: {network: {interfaces: [{dhcp: true}]}}", "machine.network.interfaces[0]"),
    (
        "machine: {network: {interfaces: [{interface: a, deviceSelector: {driver: hv_netvsc}}]}}",
        "machine.network.interfaces[0]",
    ),
    ("machine: {network: {interfaces: [{deviceSelector: {}}]}}", "machine.network.interfaces[0].deviceSelector"),
    ("machine: {network: {interfaces: [{interface: a, cidr: 1.2.3.4/24}]}}", "machine.network.interfaces[0].cidr"),
    (
        "machine: {network: {interfaces: [{interface: a, addresses: [1.2.3.4/24, 1.2.3/24]}]}}",
        "machine.network.interfaces[0].addresses[1]",
    ),
    (
        "machine: {network: {interfaces: [{interface: a, vlans: [{vlanId: 5, addresses: [x]}]}]}}",
        "machine.network.interfaces[0].vlans[0].addresses[0]",
    ),
    (
        "machine: {network: {interfaces: [{interface: a, vip: {ip: vip.lan}}]}}",
        "machine.network.interfaces[0].vip.ip",
    ),
    (
        "machine: {network: {interfaces: [{interface: a, routes: [{network: 1.2.3.4}]}]}}",
        "machine.network.interfaces[0].routes[0].network",
    ),
    (
        "machine: {network: {interfaces: [{interface: a, routes: [{gateway: gw}]}]}}",
        "machine.network.interfaces[0].routes[0].gateway",
    ),
    (
        "machine: {network: {interfaces: [{interface: a, routes: [{metric: 5}]}]}}",
        "machine.network.interfaces[0].routes[0]",
    ),
    ("machine: {kubelet: {extraConfig: {staticPodPath: /a}}}", "machine.kubelet.extraConfig.staticPodPath"),
    ("machine: {kubelet: {nodeIP: {validSubnets: [a]}}}", "machine.kubelet.nodeIP.validSubnets[0]"),
    ("machine: {nodeLabels: {-a: b}}", "machine.nodeLabels['-a']"),
    ("machine: {nodeLabels: {A_/b: c}}", "machine.nodeLabels['A_/b']"),
    ("machine: {nodeLabels: {a: b c}}", "machine.nodeLabels['a']"),
    (f"machine: {{nodeLabels: {{a: {'x' * 64}}}}}", "machine.nodeLabels['a']"),
    ("machine: {nodeAnnotations: {talos.dev/owned-labels: b}}", "machine.nodeAnnotations['talos.dev/owned-labels']"),
    ("machine: {nodeTaints: {a: 'b:Never'}}", "machine.nodeTaints['a']"),
    ("machine: {nodeTaints: {a: 'b c:NoExecute'}}", "machine.nodeTaints['a']"),
    ("cluster: {network: {cni: {flannel: {extraArgs: [a]}}}}", "cluster.network.cni.name"),
    ("cluster: {externalCloudProvider: {manifests: ['https://a/b']}}", "cluster.externalCloudProvider.manifests"),
    (
        "cluster: {externalCloudProvider: {enabled: true, manifests: ['https:///b']}}",
        "cluster.externalCloudProvider.manifests[0]",
    ),
    ("cluster: {etcd: {subnet: 10.0.0.0/8, advertisedSubnets: [10.0.0.0/8]}}", "cluster.etcd.subnet"),
    ("cluster: {etcd: {ca: {$patch: delete}}}", "cluster.etcd.ca"),
    (
        "cluster: {discovery: {registries: {service: {endpoint: 'https://a/b'}}}}",
        "cluster.discovery.registries.service.endpoint",
    ),
    ("cluster: {discovery: {registries: {service: {endpoint: a}}}}", "cluster.discovery.registries.service.endpoint"),
    (
        "cluster: {apiServer: {authorizationConfig: [{type: Node, name: a}], extraArgs: {authorization-mode: RBAC}}}",
        "cluster.apiServer.extraArgs['authorization-mode']",
    ),
    (
        "cluster: {apiServer: {authorizationConfig: [{type: Foo, name: a}]}}",
        "cluster.apiServer.authorizationConfig[0].type",
    ),
    ("cluster: {apiServer: {authorizationConfig: [{type: RBAC}]}}", "cluster.apiServer.authorizationConfig[0].name"),
    ("cluster: {scheduler: {resources: {limits: {gpu: 1}}}}", "cluster.scheduler.resources.limits.gpu"),
    ("machine: {network: {interfaces: [{interface: a, bond: {mode: foo}}]}}", f"{NIC}.bond.mode"),
    ("machine: {network: {interfaces: [{interface: a, bond: {mode: 802.3ad, lacpRate: x}}]}}", f"{NIC}.bond.lacpRate"),
    ("machine: {network: {interfaces: [{interface: a, bond: {lacpRate: fast}}]}}", f"{NIC}.bond.lacpRate"),
    ("machine: {network: {interfaces: [{interface: a, bond: {updelay: 5}}]}}", f"{NIC}.bond.updelay"),
    ("machine: {network: {interfaces: [{interface: a, bond: {miimon: 3, downdelay: 5}}]}}", f"{NIC}.bond.downdelay"),
    ("machine: {network: {interfaces: [{interface: a, bond: {primary: b}}]}}", f"{NIC}.bond.primary"),
    ("machine: {network: {interfaces: [{interface: a, bond: {adActorSystem: b}}]}}", f"{NIC}.bond.adActorSystem"),
    ("machine: {network: {interfaces: [{interface: a, bond: {}, bridge: {}}]}}", NIC),
    (
        "machine: {network: {interfaces: [{interface: a, bond: {interfaces: [b], deviceSelectors: [{driver: c}]}}]}}",
        f"{NIC}.bond",
    ),
    (
        "machine: {network: {interfaces: [{interface: a, bond: {interfaces: [b]}}, {interface: c, bridge: {interfaces: [b]}}]}}",
        "machine.network.interfaces[1]",
    ),
    (
        "machine: {network: {interfaces: [{interface: a, bond: {interfaces: [b]}}, {interface: b, dhcp: true}]}}",
        "machine.network.interfaces[1]",
    ),
    ("machine: {network: {interfaces: [{interface: a, wireguard: {privateKey: x}}]}}", f"{NIC}.wireguard.privateKey"),
    (
        f"machine: {{network: {{interfaces: [{{interface: a, wireguard: {{privateKey: {KEY}, peers: [{{publicKey: b}}]}}}}]}}}}",
        f"{NIC}.wireguard.peers[0].publicKey",
    ),
    (
        f"machine: {{network: {{interfaces: [{{interface: a, wireguard: {{privateKey: {KEY}, peers: [{{publicKey: {KEY}, endpoint: a}}]}}}}]}}}}",
        f"{NIC}.wireguard.peers[0].endpoint",
    ),
    (
        "machine: {network: {interfaces: [{interface: a, vlans: [{vlanId: 5, cidr: 1.2.3.4/24, addresses: [1.2.3.4/24]}]}]}}",
        f"{NIC}.vlans[0]",
    ),
    ("machine: {network: {kubespan: {enabled: true, mtu: 1000}}}", "machine.network.kubespan.mtu"),
    (
        "machine: {network: {kubespan: {enabled: true}}}\ncluster: {discovery: {enabled: false}}",
        "machine.network.kubespan.enabled",
    ),
    (
        "machine: {network: {kubespan: {enabled: true, filters: {endpoints: ['!a']}}}}",
        "machine.network.kubespan.filters.endpoints[0]",
    ),
    (
        "machine: {disks: [{device: /dev/sdb, partitions: [{mountpoint: a}, {mountpoint: b, size: 10GB}]}]}",
        "machine.disks[0].partitions[0]",
    ),
    ("machine: {systemDiskEncryption: {state: {provider: luks2}}}", "machine.systemDiskEncryption.state.keys"),
    (
        "machine: {systemDiskEncryption: {ephemeral: {provider: luks2, keys: [{slot: 0, nodeID: {}}, {slot: 0, nodeID: {}}]}}}",
        "machine.systemDiskEncryption.ephemeral.keys[1].slot",
    ),
    (
        "machine: {systemDiskEncryption: {state: {provider: luks2, keys: [{slot: 1}]}}}",
        "machine.systemDiskEncryption.state.keys[0]",
    ),
    ("machine: {install: {extensions: [{image: a}]}}", "machine.install.extensions"),
    ("machine: {install: {diskSelector: {type: floppy}}}", "machine.install.diskSelector.type"),
    (
        "machine: {logging: {destinations: [{endpoint: 'udp://x/', format: json}]}}",
        "machine.logging.destinations[0].format",
    ),
    (
        "machine: {logging: {destinations: [{endpoint: 'http://x/', format: json_lines}]}}",
        "machine.logging.destinations[0].endpoint",
    ),
    ("machine: {logging: {destinations: [{format: json_lines}]}}", "machine.logging.destinations[0].endpoint"),
    (
        "machine: {features: {kubernetesTalosAPIAccess: {enabled: true, allowedRoles: ['os:foo']}}}",
        "machine.features.kubernetesTalosAPIAccess.allowedRoles[0]",
    ),
    (
        "machine: {features: {rbac: false, kubernetesTalosAPIAccess: {enabled: true}}}",
        "machine.features.kubernetesTalosAPIAccess",
    ),
    ("machine: {features: {nodeAddressSortAlgorithm: v3}}", "machine.features.nodeAddressSortAlgorithm"),
    ("machine: {ca: {crt: '', key: ''}}", "machine.ca.key"),
]
WORKER = [
    ("machine: {type: join}", "machine.type"),
    ("machine: {ca: {crt: aGVsbG8=, key: aGVsbG8=}}", "machine.ca.key"),
    ("machine: {ca: {crt: {$patch: delete}}}", "machine.ca.crt"),
    ("cluster: {ca: {key: aGVsbG8=}}", "cluster.ca.key"),
    ("cluster: {etcd: {subnet: 10.0.0.0/8}}", "cluster.etcd"),
    ("machine: {network: {interfaces: [{interface: a, vip: {ip: 192.0.2.5}}]}}", "machine.network.interfaces[0].vip"),
    ("machine: {features: {kubernetesTalosAPIAccess: {enabled: true}}}", "machine.features.kubernetesTalosAPIAccess"),
    (
        "machine: {network: {interfaces: [{interface: a, vlans: [{vlanId: 5, vip: {ip: 192.0.2.5}}]}]}}",
        "machine.network.interfaces[0].vlans[0].vip",
    ),
]
SOUND = [
    "machine: {install: {disk: {$patch: delete}, diskSelector: {}}}",
    "machine: {network: {interfaces: [{interface: a, bond: {mode: 802.3ad, lacpRate: fast, miimon: 100, updelay: 200, interfaces: [b]}}]}}",
    "machine: {network: {kubespan: {enabled: true, mtu: 1300, filters: {endpoints: ['!10.0.0.0/8', 'fd00::1']}}}}",
    "machine: {systemDiskEncryption: {state: {provider: luks2, keys: [{slot: 0, nodeID: {}}]}}}",
    "machine: {logging: {destinations: [{endpoint: 'tcp://10.0.0.1:5044/', format: json_lines}]}}",
    "machine: {disks: [{device: /dev/sdb, partitions: [{mountpoint: a, size: 10GB}, {mountpoint: b}]}]}",
    "machine: {nodeAnnotations: {talos.dev/owned-x: b}}",
    "cluster: {externalCloudProvider: {enabled: true, manifests: ['https://a/b']}}",
    "machine: {install: {disk: {$patch: delete}, diskSelector: {size: '>= 10GB'}}}",
    "machine: {network: {interfaces: [{ignore: true, cidr: nonsense, interface: a}]}}",
    "machine: {network: {interfaces: [{interface: a, addresses: ['2001:db8::1/64', 192.0.2.4]}]}}",
    "machine: {kubelet: {nodeIP: {validSubnets: ['!192.0.2.0/24', '2001:db8::/32']}}}",
    "machine: {nodeTaints: {a: NoSchedule, b.example/c: 'x:PreferNoSchedule'}}",
    "cluster: {network: {cni: {name: custom, urls: ['https://example.com/cni.yaml']}}}",
    "cluster: {id: {$patch: delete}, discovery: {enabled: false}}",
]

DOCUMENTS = [
    ("VolumeConfig", "FOO", "{}", "name"),
    ("VolumeConfig", "STATE", "{provisioning: {grow: true}}", "provisioning"),
    (
        "VolumeConfig",
        "STATE",
        "{encryption: {provider: luks2, keys: [{slot: 0, nodeID: {}, lockToState: true}]}}",
        "encryption.keys[0].lockToState",
    ),
    ("VolumeConfig", "EPHEMERAL", "{provisioning: {minSize: 10GiB, maxSize: 5GiB}}", "provisioning.minSize"),
    (
        "VolumeConfig",
        "EPHEMERAL",
        "{provisioning: {diskSelector: {match: disk.transprt == 'nvme'}}}",
        "provisioning.diskSelector.match",
    ),
    (
        "VolumeConfig",
        "EPHEMERAL",
        "{provisioning: {diskSelector: {match: disk.transport == nvme}}}",
        "provisioning.diskSelector.match",
    ),
    (
        "VolumeConfig",
        "EPHEMERAL",
        "{provisioning: {diskSelector: {match: '(system_disk'}}}",
        "provisioning.diskSelector.match",
    ),
    ("VolumeConfig", "EPHEMERAL", "{encryption: {provider: luks2}}", "encryption.keys"),
    ("VolumeConfig", "EPHEMERAL", "{encryption: {keys: [{slot: 0, nodeID: {}}]}}", "encryption.provider"),
    ("ExistingVolumeConfig", "a", "{discovery: {volumeSelector: {match: 10.0.0.1}}}", "discovery.volumeSelector.match"),
    ("UserVolumeConfig", "a b", "{provisioning: {diskSelector: {match: system_disk}, minSize: 1GiB}}", "name"),
    ("UserVolumeConfig", "a", "{provisioning: {minSize: 1GiB}}", "provisioning.diskSelector.match"),
    ("UserVolumeConfig", "a", "{provisioning: {diskSelector: {match: system_disk}}}", "provisioning"),
    (
        "UserVolumeConfig",
        "a",
        "{provisioning: {diskSelector: {match: system_disk}, minSize: 1GiB}, filesystem: {type: vfat}}",
        "filesystem.type",
    ),
    ("RawVolumeConfig", "a", "{provisioning: {minSize: 1GiB}}", "provisioning.diskSelector.match"),
    (
        "SwapVolumeConfig",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "{provisioning: {diskSelector: {match: system_disk}, minSize: 1GiB}}",
        "name",
    ),
    ("ExistingVolumeConfig", "a", "{}", "discovery.volumeSelector.match"),
    (
        "ExistingVolumeConfig",
        "a",
        "{discovery: {volumeSelector: {match: volume.foo == 'a'}}}",
        "discovery.volumeSelector.match",
    ),
    ("KmsgLogConfig", "a", "{url: 'http://x:1/'}", "url"),
    ("KmsgLogConfig", "a", "{url: 'tcp://x/'}", "url"),
    ("KmsgLogConfig", "a", "{url: 'tcp://x:1/a'}", "url"),
    ("KmsgLogConfig", "a", "{}", "url"),
    ("KmsgLogConfig", "", "{url: 'tcp://x:1/'}", "name"),
    ("EventSinkConfig", "", "{endpoint: a}", "endpoint"),
    ("SideroLinkConfig", "", "{apiUrl: 'http://x'}", "apiUrl"),
    ("SideroLinkConfig", "", "{}", "apiUrl"),
    ("WatchdogTimerConfig", "", "{timeout: 1m}", "device"),
    ("WatchdogTimerConfig", "", "{device: /dev/watchdog0, timeout: 5s}", "timeout"),
    ("ExtensionServiceConfig", "", "{environment: [A=b]}", "name"),
    ("ExtensionServiceConfig", "a", "{}", ""),
    ("ExtensionServiceConfig", "a", "{configFiles: [{content: a}]}", "configFiles[0].mountPath"),
    ("EthernetConfig", "", "{}", "name"),
    ("ZswapConfig", "", "{maxPoolPercent: 101}", "maxPoolPercent"),
    ("NetworkRuleConfig", "", "{portSelector: {ports: [80], protocol: tcp}}", "name"),
    ("NetworkRuleConfig", "a", "{portSelector: {protocol: tcp}}", "portSelector.ports"),
    ("NetworkRuleConfig", "a", "{portSelector: {ports: [80, 70-90], protocol: tcp}}", "portSelector.ports"),
    ("NetworkRuleConfig", "a", "{portSelector: {ports: [90-80], protocol: tcp}}", "portSelector.ports"),
    (
        "NetworkRuleConfig",
        "a",
        "{portSelector: {ports: [80], protocol: tcp}, ingress: [{except: 10.0.0.0/8}]}",
        "ingress[0].subnet",
    ),
]
SOUND_DOCUMENTS = [
    (
        "VolumeConfig",
        "EPHEMERAL",
        "{provisioning: {diskSelector: {match: disk.size > 10u * GiB && !disk.rotational}, minSize: 5GiB, grow: false}}",
    ),
    (
        "VolumeConfig",
        "EPHEMERAL",
        "{provisioning: {diskSelector: {match: \"glob('sd[a-z]', disk.dev_path) || disk.symlinks.exists(s, s.startsWith('/dev/x'))\"}}}",
    ),
    ("VolumeConfig", "STATE", "{encryption: {provider: luks2, keys: [{slot: 0, tpm: {}}]}}"),
    (
        "UserVolumeConfig",
        "a-B1",
        "{provisioning: {diskSelector: {match: \"disk.transport == 'nvme'\"}, maxSize: 1GiB}, filesystem: {type: ext4}}",
    ),
    (
        "ExistingVolumeConfig",
        "a",
        "{discovery: {volumeSelector: {match: \"volume.partition_label == 'x' && volume.size < 5u * TiB\"}}}",
    ),
    ("KmsgLogConfig", "a", "{url: 'udp://10.0.0.1:514/'}"),
    ("EventSinkConfig", "", "{endpoint: '[fd00::1]:3247'}"),
    ("ExtensionServiceConfig", "a", "{environment: [A=b]}"),
    ("NetworkDefaultActionConfig", "", "{}"),
    (
        "NetworkRuleConfig",
        "a",
        "{portSelector: {ports: [80, 90-100], protocol: TCP}, ingress: [{subnet: 10.0.0.0/8, except: 10.1.0.0/16}]}",
    ),
    ("ZswapConfig", "", "{}"),
    ("WatchdogTimerConfig", "", "{device: /dev/watchdog0}"),
]


def document(kind: str, name: str, body: str) -> str:
    named = f", name: '{name}'" if name else ""
    return f"{{apiVersion: v1alpha1, kind: {kind}{named}, {body[1:]}"


CONTROL_PLANE += [(document(kind, name, body), path) for kind, name, body, path in DOCUMENTS]
SOUND += [document(*case) for case in SOUND_DOCUMENTS]


def patched(name: str, text: str) -> list[Document]:
    spec = cluster()
    config = CONFIGS.machine_config(spec, spec.machine(name), bundle(), endpoint=ENDPOINT)
    problems: list[Problem] = []
    documents = [SCHEMA.decode(document, problems) for document in documents_of(config)]
    documents = patches.apply_patch(documents, patches.load_patch(documents_of(text), SCHEMA), SCHEMA)
    assert problems == []
    return documents


@pytest.mark.parametrize(
    ("name", "text", "path"), [("cp1", *case) for case in CONTROL_PLANE] + [("w1", *case) for case in WORKER]
)
def test_a_mistake_is_named_by_its_place(name: str, text: str, path: str) -> None:
    assert [problem.path for problem in validate.check_config(patched(name, text))] == [path]


@pytest.mark.parametrize("name", ["cp1", "w1"])
@pytest.mark.parametrize("text", SOUND)
def test_what_is_sound_is_let_through(name: str, text: str) -> None:
    assert validate.check_config(patched(name, text)) == []


def test_missing_sections() -> None:
    assert [p.path for p in validate.check_config([])] == [""]
    assert [p.path for p in validate.check_config([{"cluster": {}}])] == ["machine"]
    paths = {p.path for p in validate.check_config([{"machine": {"type": "controlplane"}}])}
    assert paths == {"cluster", "machine.install", "machine.ca"}


def test_no_text_of_a_problem_shows_a_key() -> None:
    text = f"machine: {{ca: {{key: {secrets.encoded(bundle().os.key)}}}}}"
    problems = validate.check_config(patched("w1", text))
    assert problems
    assert all(secrets.encoded(bundle().os.key)[:20] not in str(problem) for problem in problems)
