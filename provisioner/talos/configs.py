"""Talos' files for a cluster: the port `Configs`.

Everything heavy (cryptography, YAML, jsonpatch) is imported when first used; building this adapter costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from provisioner.errors import Fault, Finding, SourceLocation
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.effective import EffectiveConfig
from provisioner.model.naming import talos_id_for
from provisioner.model.redaction import hide
from provisioner.ports import Bundle, Clock, TalosAccess

if TYPE_CHECKING:
    from provisioner.talos.schema import Document, DocumentId, Problem, Schema
    from provisioner.talos.secrets import SecretsBundle


class TalosConfigs:
    """Implements `ports.Configs`. `new_bundle` takes up to a second of computing: call it in a thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: tuple[bytes, SecretsBundle] | None = None
        self._asked_for: Cluster | None = None
        self._effective: dict[tuple[str, str], tuple[MachineSpec, EffectiveConfig]] = {}
        """Of that cluster, by machine and endpoint: a run asks often, and always for the same."""

    def new_bundle(self, cluster: Cluster, mark_id: str) -> Bundle:
        """Fresh secrets, hidden from all output from here on."""
        from provisioner.talos import secrets

        made = secrets.new_bundle(self._clock.wall(), talos_id_for(cluster.name, mark_id, os.urandom(32)))
        hide(secrets.secret_values(made))
        return made

    def read_bundle(self, text: bytes) -> Bundle:
        from provisioner.talos import secrets

        if self._last is not None and self._last[0] == text:  # a run reads it often, and checking it takes a while
            return self._last[1]
        try:
            self._last = (text, secrets.read_bundle(text))
        except secrets.BundleError as error:
            raise Fault(
                id="P-CONFIG-BADSECRETS",
                message="the secrets bundle is not whole",
                expected="a secrets bundle as talosctl gen secrets writes it",
                seen=error.problems,
                next_steps=("restore the file from a backup",),
            ) from None
        hide(secrets.secret_values(self._last[1]))
        return self._last[1]

    def write_bundle(self, bundle: Bundle) -> bytes:
        from provisioner.talos import secrets

        return secrets.write_bundle(_ours(bundle))

    def machine_config(self, cluster: Cluster, machine: MachineSpec, bundle: Bundle, *, endpoint: str) -> bytes:
        """The machine's config: generated, then patched in the order all, role, machine, then validated.

        `endpoint` is `https://host:port`. Raises a Fault P-CONFIG-REFUSED with all findings.
        """
        from provisioner.talos import yaml

        documents, schema, findings = _assemble(cluster, machine, _ours(bundle), endpoint)
        findings = tuple(finding for finding in findings if finding.severity == "error")
        if findings:
            count = "a finding" if len(findings) == 1 else f"{len(findings)} findings"
            raise Fault(
                id="P-CONFIG-REFUSED",
                message=f"the machine config of {machine.name} has {count}",
                expected=f"a config that Talos {cluster.talos} takes",
                seen=tuple(f"{f.place}: {f.path}: {f.problem}" for f in findings),
                next_steps=(f"fix the lines named in {cluster.file}",),
                machine=machine.name,
                findings=findings,
            )
        return yaml.dump_documents(schema.encode(document) for document in documents)

    def findings(self, cluster: Cluster) -> tuple[Finding, ...]:
        """What Talos would refuse in the configs of this cluster file, of all machines, each finding once; no secrets needed.

        For whatever asks before anything is made: a patch is wrong on the first machine or never.
        """
        from provisioner.talos import effective, secrets

        bundle = secrets.stand_in(self._clock.wall())
        endpoint = cluster.endpoint or effective.UNKNOWN_ENDPOINT
        found = [finding for one in cluster.machines for finding in _assemble(cluster, one, bundle, endpoint)[2]]
        return tuple(dict.fromkeys(found))

    def effective(self, cluster: Cluster, machine: MachineSpec, *, endpoint: str = "") -> EffectiveConfig:
        """Remembered for one cluster at a time. Never fails: where a patch cannot be merged, the values are the file's."""
        from provisioner.talos import effective

        if self._asked_for is not cluster:
            self._asked_for, self._effective = cluster, {}
        found = self._effective.get((machine.name, endpoint))
        if found is None or found[0] is not machine:
            found = (machine, effective.effective(cluster, machine, endpoint))
            self._effective[machine.name, endpoint] = found
        return found[1]

    def access(self, bundle: Bundle) -> TalosAccess:
        """A fresh admin certificate; the key is labelled as OpenSSL reads it."""
        from provisioner.talos import pki, talosconfigs

        ours = _ours(bundle)
        admin = talosconfigs.new_talos_admin(ours, self._clock.wall())
        key = pki.standard_key_pem(admin.key)
        hide((key,))
        return TalosAccess(ca=ours.os.crt, crt=admin.crt, key=key)

    def talosconfig(self, cluster: Cluster, bundle: Bundle, *, endpoints: Sequence[str], nodes: Sequence[str]) -> bytes:
        from provisioner.talos import talosconfigs

        return talosconfigs.render(
            _ours(bundle), self._clock.wall(), context=cluster.name, endpoints=endpoints, nodes=nodes
        )

    def kubeconfig(self, cluster: Cluster, bundle: Bundle, *, server: str) -> bytes:
        from provisioner.talos import kubeconfigs

        return kubeconfigs.render(_ours(bundle), self._clock.wall(), cluster=cluster.name, server=server)


def _ours(bundle: Bundle) -> SecretsBundle:
    from provisioner.talos.secrets import SecretsBundle

    assert isinstance(bundle, SecretsBundle), "bundles come from new_bundle or read_bundle"
    return bundle


def _assemble(
    cluster: Cluster, machine: MachineSpec, bundle: SecretsBundle, endpoint: str
) -> tuple[list[Document], Schema, tuple[Finding, ...]]:
    """The decoded documents with all patches merged in, and what is wrong with them, each at the patch that brought it."""
    from provisioner.talos import consistency, machineconfig, patches, validate
    from provisioner.talos.effective import patches_for
    from provisioner.talos.locations import location_of

    documents, schema = machineconfig.before_patches(cluster, machine, bundle, endpoint)

    def check() -> list[Problem]:
        return [
            *validate.check_config(documents),
            *consistency.check_machine(documents, cluster, machine, bundle, endpoint),
        ]

    brought_by: dict[Problem, SourceLocation] = dict.fromkeys(check(), machine.place)
    findings: list[Finding] = []
    unread: list[tuple[DocumentId, str]] = []
    """What was left out of a patch, since it could not be read."""
    for patch in patches_for(cluster, machine):
        try:
            documents = patches.apply(documents, patch, schema)
        except patches.PatchError as error:
            findings += [_finding(problem, location_of(problem, patch)) for problem in error.problems]
            unread += [(problem.document, problem.path) for problem in error.problems]
            try:
                documents = patches.apply_patch(documents, error.rest, schema)
            except patches.PatchError:
                continue
        for problem in check():
            if problem not in brought_by:
                brought_by[problem] = location_of(problem, patch, merged=documents)
    findings += [_finding(problem, brought_by[problem]) for problem in check() if not _follows(problem, unread)]
    return documents, schema, tuple(findings)


def _follows(problem: Problem, unread: Sequence[tuple[DocumentId, str]]) -> bool:
    """Whether a problem may be there only because something at its place was left out."""
    return any(
        path and document == problem.document and (path.startswith(problem.path) or problem.path.startswith(path))
        for document, path in unread
    )


def _finding(problem: Problem, place: SourceLocation) -> Finding:
    return Finding(
        place=place,
        path=problem.place,
        problem=problem.text,
        did_you_mean=problem.did_you_mean,
        severity=problem.severity,
    )
