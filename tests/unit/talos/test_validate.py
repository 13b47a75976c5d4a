"""Each check of a machine config fires on its own mistake, names the place, and stays silent on a sound config."""

from __future__ import annotations

import pytest

from provisioner.talos import patches, secrets, validate
from provisioner.talos.schema import Document, Problem
from tests.unit.talos.helpers import CONFIGS, ENDPOINT, SCHEMA, bundle, cluster, documents_of

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
]
WORKER = [
    ("machine: {type: join}", "machine.type"),
    ("machine: {ca: {crt: aGVsbG8=, key: aGVsbG8=}}", "machine.ca.key"),
    ("machine: {ca: {crt: {$patch: delete}}}", "machine.ca.crt"),
    ("cluster: {ca: {key: aGVsbG8=}}", "cluster.ca.key"),
    ("cluster: {etcd: {subnet: 10.0.0.0/8}}", "cluster.etcd"),
    ("machine: {network: {interfaces: [{interface: a, vip: {ip: 192.0.2.5}}]}}", "machine.network.interfaces[0].vip"),
    (
        "machine: {network: {interfaces: [{interface: a, vlans: [{vlanId: 5, vip: {ip: 192.0.2.5}}]}]}}",
        "machine.network.interfaces[0].vlans[0].vip",
    ),
]
SOUND = [
    "machine: {install: {disk: {$patch: delete}, diskSelector: {size: '>= 10GB'}}}",
    "machine: {network: {interfaces: [{ignore: true, cidr: nonsense, interface: a}]}}",
    "machine: {network: {interfaces: [{interface: a, addresses: ['2001:db8::1/64', 192.0.2.4]}]}}",
    "machine: {kubelet: {nodeIP: {validSubnets: ['!192.0.2.0/24', '2001:db8::/32']}}}",
    "machine: {nodeTaints: {a: NoSchedule, b.example/c: 'x:PreferNoSchedule'}}",
    "cluster: {network: {cni: {name: custom, urls: ['https://example.com/cni.yaml']}}}",
    "cluster: {id: {$patch: delete}, discovery: {enabled: false}}",
]


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
