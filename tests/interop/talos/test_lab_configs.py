"""The lab refuses the machine configs that Talos refuses, in Talos' words, and takes the others: its own library is asked."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.lab.machines import config_check
from provisioner.lab.world.guests.decode import NotDecoded
from tests.interop.talos.judge import BATCH, Judge
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan

pytestmark = [pytest.mark.go, pytest.mark.timeout(600)]

LAN = Lan()
HARDWARE = (LAN.start("a"), LAN.machine(LAN.vms["vm-a"]).hardware)[1]
CLUSTER = Cluster()

RAW = {
    "empty": "",
    "a comment": "# nothing\n",
    "an empty document first": "---\n---\nmachine: {}\n",
    "an empty document last": "version: v1alpha1\nmachine: {type: worker}\n---\n",
    "a list": "[1]",
    "a number": "5",
    "no version": "machine: {}\n",
    "a version alone": "version: v1alpha1\n",
    "another version": "version: v2\nmachine: {}\n",
    "a key twice": "machine:\n  type: worker\n  type: worker\n",
    "an api version of tomorrow": "apiVersion: v1\nkind: VolumeConfig\nname: a\n",
    "no api version": "kind: VolumeConfig\nname: EPHEMERAL\n",
    "no kind": "apiVersion: v1alpha1\nname: a\n",
    "an unknown kind": "apiVersion: v1alpha1\nkind: Foo\n",
    "a kind of 1.12": "apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: a\n",
    "a document twice": "apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\nurl: tcp://a/\n---\n" * 2 + "kind: x\n",
    "merged into a structure": "machine:\n  kubelet: &a {image: x}\n  install:\n    <<: *a\n",
    "merged into a map": "machine:\n  nodeLabels: &a {image: x}\n  nodeAnnotations:\n    <<: *a\n    b: c\n",
    "an alias": "machine: &a {type: worker}\ncluster: *a\n",
    "many types": (
        "debug: maybe\nmachine:\n  certSANs: 5\n  features: {kubePrism: {port: '7445'}}\n  install: x\n  nodeLabels: [a]\n"
        "  sysctls: {a: [1]}\n  network: {nameservers: [[1]]}\n  kubelet: {extraConfig: x}\n  pods: [x]\n"
        "cluster: {clusterName: [lab], apiServer: {certSANs: abcdefghijklmnop, resources: {requests: 5}}}\n"
    ),
    "numbers": (
        "machine:\n  network:\n    interfaces:\n    - {interface: a, mtu: 1500.0}\n    - {interface: b, mtu: 1500.5}\n"
        "    - {interface: c, mtu: 99999999999999999999}\n    - {interface: d, vlans: [{vlanId: 99999}, {vlanId: -1}]}\n"
        "    - {interface: e, mtu: 0x5dc}\n    - {interface: f, mtu: 1_500}\n    - {interface: g, mtu: 2001-01-01}\n"
        "    - {interface: h, mtu: .inf}\n    - {interface: i, mtu: true}\n    - {interface: j, mtu: 010}\n"
    ),
    "words for booleans": "debug: yes\npersist: Off\nmachine: {network: {interfaces: [{interface: e, dhcp: n, ignore: NO}]}}\n",
    "no word for a boolean": "debug: 'true'\npersist: 1\nmachine: {install: {wipe: nope}}\n",
    "nulls": "machine: {type: , ca: , certSANs: [null], nodeLabels: {a: , null: b}, install: {wipe: }, disks: [null]}\n",
    "scalars as text": "machine: {token: 5, kubelet: {image: 1.10}, nodeLabels: {1: 0644, b: true, c: 1e3}, 5: x}\n",
    "a duration": "machine: {time: {bootTimeout: 2 minutes}}\n",
    "a duration without a unit": "machine: {time: {bootTimeout: 2}}\n",
    "good durations": "machine: {time: {bootTimeout: -1h2.5m3s4ms}}\ncluster: {adminKubeconfig: {certLifetime: .5h}}\n",
    "no base64": "machine: {ca: {crt: '%%%'}}\n",
    "base64 with a gap": "machine: {ca: {crt: YWJj, key: YWI}}\n",
    "a certificate that is none": "machine: {ca: x}\n",
    "a URL": "machine: {logging: {destinations: [{endpoint: 'tcp://[::1', format: json_lines}]}}\n",
    "a URL with a bad escape": "cluster: {controlPlane: {endpoint: 'https://a/%zz'}}\n",
    "a mode": "machine: {files: [{content: a, permissions: '0644', path: /x, op: create}]}\n",
    "a good mode": "machine: {files: [{content: a, permissions: 0o644, path: /x, op: create}]}\n",
    "a size to match": "machine: {install: {diskSelector: {size: '>> 3'}}}\n",
    "a size of a partition": "machine: {disks: [{device: a, partitions: [{size: x}]}]}\n",
    "a size with a bad unit": "machine: {disks: [{device: a, partitions: [{size: 10 gigs}]}]}\n",
    "a name for a volume of the API server": "cluster: {apiServer: {extraVolumes: [{hostPath: a, mountPath: b, name: c}]}}\n",
    "manifests": "cluster: {inlineManifests: 5}\n",
    "unknown keys of an extra document": "apiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\nfoo: 1\nprovisioning: {bar: [x]}\n",
    "a binary": "machine: {type: !!binary YQ==, token: !!str 5}\n",
}


def document(kind: str, rest: str) -> str:
    return f"apiVersion: v1alpha1\nkind: {kind}\n{rest}\n"


DOCUMENTS = [
    document("EthernetConfig", "rings: {rx: 16}"),
    document("EthernetConfig", "name: a\nrings: {rx: -1}"),
    document("EthernetConfig", "name: a\nfeatures: {tso: false}"),
    document("EventSinkConfig", "endpoint: a"),
    document("EventSinkConfig", "endpoint: '[fe80::1]:80'"),
    document("EventSinkConfig", "endpoint: 'fe80::1:80'"),
    document("ExistingVolumeConfig", "name: a"),
    document("ExistingVolumeConfig", "name: a\ndiscovery: {volumeSelector: {match: volume.name == 'x'}}"),
    document("ExistingVolumeConfig", "name: a_\ndiscovery: {volumeSelector: {match: volume.nme == 'x'}}"),
    document("ExtensionServiceConfig", "environment: [A=b]"),
    document("ExtensionServiceConfig", "name: a"),
    document("ExtensionServiceConfig", "name: a\nconfigFiles: [{content: x}]"),
    document("ExtensionServiceConfig", "name: a\nconfigFiles: [{mountPath: x}]"),
    document("ExtensionServiceConfig", "name: a\nenvironment: [A=b]"),
    document("KmsgLogConfig", "name: a"),
    document("KmsgLogConfig", "name: a\nurl: http://a/"),
    document("KmsgLogConfig", "name: a\nurl: tcp://a/b"),
    document("KmsgLogConfig", "url: tcp://a/"),
    document("KmsgLogConfig", "name: a\nurl: udp://192.0.2.1:514/"),
    document("KubeSpanEndpointsConfig", "extraAnnouncedEndpoints: [1.2.3.4]"),
    document("KubeSpanEndpointsConfig", "extraAnnouncedEndpoints: ['1.2.3.4:51820', '[fd00::1]:1']"),
    document("NetworkDefaultActionConfig", "ingress: foo"),
    document("NetworkDefaultActionConfig", "ingress: block"),
    document("NetworkRuleConfig", "name: a\nportSelector: {ports: [70000], protocol: tcp}"),
    document("NetworkRuleConfig", "name: a\nportSelector: {ports: [80], protocol: foo}"),
    document("NetworkRuleConfig", "name: a\nportSelector: {ports: [], protocol: tcp}"),
    document("NetworkRuleConfig", "portSelector: {ports: [80], protocol: tcp}"),
    document("NetworkRuleConfig", "name: a\nportSelector: {ports: [90-80], protocol: tcp}"),
    document("NetworkRuleConfig", "name: a\nportSelector: {ports: [80, 70-90], protocol: tcp}"),
    document(
        "NetworkRuleConfig",
        "name: a\nportSelector: {ports: [80, '81-90'], protocol: TCP}\ningress: [{subnet: 10.0.0.0/8, except: 10.0.0.1/32}]",
    ),
    document("NetworkRuleConfig", "name: a\nportSelector: {ports: [80], protocol: tcp}\ningress: [{subnet: 10.0.0.1}]"),
    document(
        "NetworkRuleConfig", "name: a\nportSelector: {ports: [80], protocol: tcp}\ningress: [{except: 10.0.0.0/8}]"
    ),
    document("RawVolumeConfig", "name: a"),
    document("RawVolumeConfig", "name: a\nprovisioning: {diskSelector: {match: '!system_disk'}, minSize: 1GiB}"),
    document("SideroLinkConfig", "uniqueToken: a"),
    document("SideroLinkConfig", "apiUrl: http://a"),
    document("SideroLinkConfig", "apiUrl: grpc://a/b"),
    document("SideroLinkConfig", "apiUrl: https://a/?x=y"),
    document(
        "SwapVolumeConfig",
        f"name: {'a' * 40}\nprovisioning: {{diskSelector: {{match: system_disk}}, minSize: 1GiB}}\nencryption: {{provider: luks2}}",
    ),
    document(
        "SwapVolumeConfig",
        "name: a\nprovisioning: {diskSelector: {match: system_disk}, minSize: 1GiB}\nencryption: {provider: luks2, keys: [{slot: 0}]}",
    ),
    document(
        "SwapVolumeConfig",
        "name: a\nprovisioning: {diskSelector: {match: system_disk}, maxSize: 1GiB}\nencryption: {provider: luks2, keys: [{nodeID: {}, slot: 0}, {nodeID: {}, slot: 0}]}",
    ),
    document(
        "SwapVolumeConfig",
        "name: a\nprovisioning: {diskSelector: {match: system_disk}, maxSize: 1GiB}\nencryption: {keys: [{nodeID: {}, slot: 0}]}",
    ),
    document("TrustedRootsConfig", "name: a\ncertificates: x"),
    document("UserVolumeConfig", "name: a b/c"),
    document("UserVolumeConfig", "provisioning: {minSize: 1GB}"),
    document(
        "UserVolumeConfig",
        "name: a\nprovisioning: {diskSelector: {match: 'true'}, minSize: 10GB}\nfilesystem: {type: vfat}",
    ),
    document(
        "UserVolumeConfig",
        "name: a\nprovisioning: {diskSelector: {match: 'true'}, minSize: 10GB}\nfilesystem: {type: ext4, projectQuotaSupport: true}",
    ),
    document(
        "UserVolumeConfig",
        "name: a\nprovisioning: {diskSelector: {match: 'true'}, minSize: 10GB}\nfilesystem: {type: foo}",
    ),
    document(
        "UserVolumeConfig",
        "name: data\nprovisioning: {diskSelector: {match: disk.transport == 'nvme' && !system_disk}, minSize: 10GB, maxSize: 20GiB, grow: true}\nfilesystem: {type: xfs}",
    ),
    document("VolumeConfig", "name: FOO"),
    document("VolumeConfig", "provisioning: {minSize: 1GB}"),
    document(
        "VolumeConfig",
        "name: STATE\nprovisioning: {minSize: 1GB}\nencryption: {provider: luks2, keys: [{nodeID: {}, slot: 0, lockToState: true}]}",
    ),
    document("VolumeConfig", "name: EPHEMERAL\nprovisioning: {minSize: 10GB, maxSize: 1GB}"),
    document("VolumeConfig", "name: EPHEMERAL\nprovisioning: {maxSize: 10 gigs}"),
    document("VolumeConfig", "name: EPHEMERAL\nprovisioning: {maxSize: '', grow: false}"),
    document("VolumeConfig", "name: EPHEMERAL\nencryption: {provider: foo}"),
    document("WatchdogTimerConfig", "timeout: 1m"),
    document("WatchdogTimerConfig", "device: /dev/watchdog0\ntimeout: 5s"),
    document("WatchdogTimerConfig", "device: /dev/watchdog0\ntimeout: 5"),
    document("WatchdogTimerConfig", "device: /dev/watchdog0"),
    document("ZswapConfig", "maxPoolPercent: 200"),
    document("ZswapConfig", "shrinkerEnabled: true"),
]

SELECTORS = (
    "disk.transprt == 'nvme'", "disk.transport == nvme", "disk.size > 10", "disk.size > 10u * GiB", "disk.size > 10 * GiB",
    "disk.size", "glob('sd*', disk.dev_path)", "glob(disk.size, 'a')", "disk.model.startsWith('X')", "disk.model.foo('X')",
    "disk.symlinks.exists(s, s.contains('x'))", "'a' in disk.symlinks", "disk.size == 1u &&", "(disk.rotational", "!disk.size",
    'disk.transport == "nvme" || !system_disk', "disk.size > 1u ? true : false", "disk.model in ['a', 'b']", "true", "5 > 3",
    "disk.size >= 100u * GB && disk.size <= 2u * TB", "disk", "volume.name == 'a'", "disk.model.matches('^x')", "disk.model + 1 == 'a'",
    "size(disk.model) > 3", "disk..size", "disk.model == 'it''s'", "disk.symlinks[0] == 'a'", "foo(1)",
)  # fmt: skip
DOCUMENTS += [
    document("UserVolumeConfig", yaml.safe_dump({"name": "a", "provisioning": {"diskSelector": {"match": match}, "minSize": "1GB"}}))
    for match in SELECTORS
]  # fmt: skip

PATCHES = {
    "both": [
        "{}",
        "machine: {type: boss}",
        "machine: {type: join}",
        "machine: {nodeLabels: {a: 'a b'}}",
        "machine: {nodeLabels: {a/b/c: x, /a: x, A_/x: y, b-: z}}",
        "machine: {nodeLabels: {node-role.kubernetes.io/worker: }}",
        f"machine: {{nodeLabels: {{{'a' * 64}: x, b: {'c' * 64}}}}}",
        "machine: {nodeAnnotations: {talos.dev/owned-labels: x, 'a b': c}}",
        "machine: {nodeTaints: {a: NoSchedule, b: 'c:NoExecute', d: foo, e: 'f:foo', g: 'h i:NoSchedule', k: }}",
        "machine: {kubelet: {nodeIP: {validSubnets: [10.0.0.0/33, '!fd00::/8', a, 10.0.0.1]}}}",
        "machine: {kubelet: {extraConfig: {rotateCertificates: true, port: 1, maxPods: 200}}}",
        "machine: {network: {interfaces: [{interface: e, routes: [{metric: 5}]}]}}",
        "machine: {network: {interfaces: [{interface: e, routes: [{network: 10.0.0.0, gateway: a, source: b}]}]}}",
        "machine: {network: {interfaces: [{interface: e, addresses: [192.0.2.300/24, a, 192.0.2.1, 192.0.2.1/24, 010.1.1.1]}]}}",
        "machine: {network: {interfaces: [{interface: e, addresses: [192.0.2.1/24], cidr: 192.0.2.2/24}]}}",
        "machine: {network: {interfaces: [{interface: e, cidr: x}]}}",
        "machine: {network: {interfaces: [{dhcp: true}]}}",
        "machine: {network: {interfaces: [{interface: e, deviceSelector: {physical: true}}]}}",
        "machine: {network: {interfaces: [{deviceSelector: {}}]}}",
        "machine: {network: {interfaces: [{deviceSelector: {hardwareAddr: '00:15:5d:*'}, dhcp: true}]}}",
        "machine: {network: {interfaces: [{interface: e, ignore: true, addresses: [x]}]}}",
        "machine: {network: {interfaces: [{interface: e, vlans: [{vlanId: 5, addresses: [x], cidr: y}]}]}}",
        "machine: {network: {interfaces: [{interface: e, vip: {ip: x}}]}}",
        "machine: {network: {interfaces: [{interface: e, vip: {ip: 192.0.2.9}}]}}",
        "machine: {network: {interfaces: [{interface: e, vlans: [{vlanId: 5, vip: {ip: 192.0.2.9}}]}]}}",
        "machine: {network: {interfaces: [{interface: b, bond: {mode: foo, interfaces: [a]}}]}}",
        "machine: {network: {interfaces: [{interface: b, bond: {mode: 802.3ad, lacpRate: fast, xmitHashPolicy: layer3+4, miimon: 100, updelay: 200, interfaces: [a, c]}}, {interface: a, dhcp: true}]}}",
        "machine: {network: {interfaces: [{interface: b, bond: {interfaces: [a], deviceSelectors: [{physical: true}], lacpRate: fast, updelay: 5, packetsPerSlave: 2, arpIPTarget: [x]}}]}}",
        "machine: {network: {interfaces: [{interface: b, bond: {mode: balance-tlb, interfaces: [a], arpValidate: all, arpInterval: 5, primary: a, packetsPerSlave: 3, adActorSysPrio: 5, adUserPortKey: 5, adActorSystem: x}}]}}",
        "machine: {network: {interfaces: [{interface: b, bond: {mode: balance-xor, interfaces: [a], primary: a, tlbDynamicLb: 1, miimon: 100, downdelay: 150, adSelect: x, failOverMac: y, primaryReselect: z, arpAllTargets: q, arpValidate: w, xmitHashPolicy: p, lacpRate: o}}]}}",
        "machine: {network: {interfaces: [{interface: b, bond: {interfaces: [a]}, bridge: {interfaces: [c]}}]}}",
        "machine: {network: {interfaces: [{interface: b, bridge: {interfaces: [c]}}, {interface: d, bridge: {interfaces: [c]}}]}}",
        "machine: {network: {interfaces: [{interface: wg, wireguard: {privateKey: x, peers: [{publicKey: y, endpoint: z, allowedIPs: [q]}]}}]}}",
        "machine: {network: {interfaces: [{interface: wg, wireguard: {privateKey: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=, peers: [{publicKey: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=, endpoint: 'a:1', persistentKeepaliveInterval: 25s, allowedIPs: [10.0.0.0/8]}]}}]}}",
        "machine: {network: {interfaces: [null]}}",
        "machine: {network: {kubespan: {enabled: true, mtu: 100, filters: {endpoints: [x, '!10.0.0.0/8']}}}}",
        "{machine: {network: {kubespan: {enabled: true}}}, cluster: {discovery: {enabled: false}, id: '', secret: ''}}",
        "cluster: {discovery: {enabled: true, registries: {service: {endpoint: foo}}}}",
        "cluster: {discovery: {enabled: true, registries: {service: {endpoint: 'https://a/b'}}}}",
        "cluster: {discovery: {enabled: true, registries: {service: {disabled: true, endpoint: foo}}}, id: ''}",
        "cluster: {id: '', secret: ''}",
        "machine: {features: {kubernetesTalosAPIAccess: {enabled: true, allowedRoles: ['os:foo', 'os:reader']}}}",
        "machine: {features: {rbac: false, kubernetesTalosAPIAccess: {enabled: true}}}",
        "machine: {features: {nodeAddressSortAlgorithm: v3}}",
        "machine: {features: {nodeAddressSortAlgorithm: V2}}",
        "persist: false",
        "machine: {install: null}",
        "machine: {install: {disk: ''}}",
        "machine: {install: {disk: '', diskSelector: {name: a}}}",
        "machine: {install: {disk: '', diskSelector: {type: foo}}}",
        "machine: {install: {disk: '', diskSelector: {type: ssd, size: '>= 10GB'}}}",
        "machine: {install: {extensions: [{image: a}, {image: a}]}}",
        "machine: {disks: [null, {device: /dev/sdb, partitions: [{mountpoint: /a}, {mountpoint: /b, size: 1GB}]}]}",
        "machine: {systemDiskEncryption: {ephemeral: {provider: luks2}}}",
        "machine: {systemDiskEncryption: {state: {provider: luks2, keys: [{slot: 0}, {slot: 0, nodeID: {}}]}}}",
        "machine: {logging: {destinations: [{format: json_lines}, {endpoint: 'http://a', format: x}, {endpoint: 'tcp:///', format: json_lines}]}}",
        "machine: {registries: {mirrors: {a: null}, config: {b: null}}}",
        "machine: {registries: {config: {b: {tls: {ca: '%%%'}}}}}",
        "machine: {ca: null}",
        "machine: {ca: {crt: '', key: ''}}",
        "machine: {ca: null, acceptedCAs: [{crt: YQ==}]}",
        "cluster: null",
        "cluster: {controlPlane: null}",
        "cluster: {controlPlane: {endpoint: 'https://:6443'}}",
        "cluster: {controlPlane: {endpoint: 'https://a:99999'}}",
        "cluster: {controlPlane: {endpoint: '192.0.2.1:6443'}}",
        "cluster: {controlPlane: {endpoint: 'http://a'}}",
        "cluster: {network: {dnsDomain: 'no domain'}}",
        "cluster: {network: {cni: {name: x}}}",
        "cluster: {network: {cni: {name: none, urls: ['https://a/b']}}}",
        "cluster: {network: {cni: {name: flannel, urls: ['https://a/b'], flannel: {extraArgs: [a]}}}}",
        "cluster: {network: {cni: {name: custom, flannel: {extraArgs: [a]}}}}",
        "cluster: {network: {cni: {name: custom, urls: ['https://', 'https://a/b']}}}",
        "cluster: {etcd: {subnet: 10.0.0.0/8, advertisedSubnets: [a], listenSubnets: ['!b', 10.0.0.0/8]}}",
        "cluster: {etcd: {subnet: a}}",
        "cluster: {etcd: {ca: null, advertisedSubnets: [10.0.0.0/8]}}",
        "cluster: {externalCloudProvider: {enabled: false, manifests: ['https://a']}}",
        "cluster: {externalCloudProvider: {enabled: true, manifests: ['https://', 'https://a']}}",
        "cluster: {inlineManifests: [{name: ' ', contents: x}, {name: a, contents: x}, {name: a, contents: y}]}",
        "cluster: {apiServer: {extraArgs: {authorization-mode: Node}, authorizationConfig: [{type: Node, name: n}]}}",
        "cluster: {apiServer: {extraArgs: {authorization-webhook-x: Node}, authorizationConfig: [{type: Node, name: n}]}}",
        "cluster: {apiServer: {authorizationConfig: [{type: Foo, name: n}]}}",
        "cluster: {apiServer: {authorizationConfig: [{name: n}]}}",
        "cluster: {apiServer: {authorizationConfig: [{type: Node}]}}",
        "cluster: {apiServer: {resources: {requests: {cpu: 1, disk: 5}}}, scheduler: {resources: {limits: {x: 1}}}, controllerManager: {resources: {limits: {y: 1}}}}",
    ]
}  # fmt: skip


def merged(base: Any, patch: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(patch, dict):
        return copy.deepcopy(patch)
    return {**base, **{key: merged(base.get(key), value) for key, value in patch.items()}}


def config(kind: str, patch: str) -> str:
    return yaml.safe_dump(merged(CLUSTER.document(kind), yaml.safe_load(patch)), sort_keys=False)


CASES = {
    **{f"raw: {name}": text for name, text in RAW.items()},
    **{f"document {number}: {text[20:90]!r}": text for number, text in enumerate(DOCUMENTS)},
    **{f"{kind}: {patch}": config(kind, patch) for kind in ("controlplane", "worker") for patch in PATCHES["both"]},
    "encrypted twice": config("worker", "machine: {systemDiskEncryption: {ephemeral: {provider: luks2, keys: [{slot: 0, nodeID: {}}]}}}")
    + "---\n"
    + document("VolumeConfig", "name: EPHEMERAL\nencryption: {provider: luks2, keys: [{nodeID: {}, slot: 0}]}"),
}  # fmt: skip


def said(text: str) -> str:
    """What the lab says to a config; empty when it takes it. What the machine alone can tell is not the library's business."""
    try:
        config_check.check(text.encode(), minor=11, hardware=HARDWARE, installed=False)
    except NotDecoded as error:
        return str(error)
    except config_check.NotValid as error:
        return str(error) if error.where == "static" else ""
    return ""


def asked(judge: Judge, folder: Path, texts: list[str]) -> list[str]:
    return [
        error for start in range(0, len(texts), BATCH) for error in _asked(judge, folder, texts[start : start + BATCH])
    ]


def _asked(judge: Judge, folder: Path, texts: list[str]) -> list[str]:
    paths = [folder / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    verdicts = judge.ask("accept", *paths)
    return [verdicts[str(path)]["error"] for path in paths]


def test_the_same_verdict(judge: Judge, tmp_path: Path) -> None:
    theirs = asked(judge, tmp_path, list(CASES.values()))
    ours = [said(text) for text in CASES.values()]
    differing = {
        name: (their, our) for name, their, our in zip(CASES, theirs, ours, strict=True) if bool(their) != bool(our)
    }
    assert differing == {}
    assert len([their for their in theirs if their]) > 150


OTHER_WORDS = ("ERROR: <input>", "panic:", "base64", "too many colons", "DiskSpec", "unknown keys found", "struct {")
"""What Go says of itself: places in an expression, a nil pointer, bytes of a text, the layout of YAML."""


def test_the_same_words(judge: Judge, tmp_path: Path) -> None:
    """Whoever shows the lab's refusal to its user shows Talos' own."""
    theirs = asked(judge, tmp_path, list(CASES.values()))
    differing = {}
    for (name, text), their in zip(CASES.items(), theirs, strict=True):
        if their and not any(words in their for words in OTHER_WORDS):
            our = said(text)
            if sorted(our.split("\n")) != sorted(their.split("\n")):
                differing[name] = (their, our)
    assert differing == {}
