"""Step 3: the ISO, in the host's own cache. The host downloads it itself and checks its SHA-256; nothing unchecked is ever mounted."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.errors import Fault, HostRefused, TransportError
from provisioner.model.cluster import Cluster, ImageSpec
from provisioner.model.facts import HostState, ImageFacts, Observed
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.units import MIB
from provisioner.model.work import FetchImage, VerifyImage
from provisioner.ports import Progress
from provisioner.steps.actions import act, keep, refuse
from provisioner.steps.host_faults import on_host
from provisioner.steps.run_context import Run
from provisioner.steps.vm import find_vm
from provisioner.steps.waiting import Pending, Ready

DOWNLOAD_TRIES = 3
"""A server that resets a connection is asked again; one that has no such file says so three times within seconds."""


def image_path(cluster: Cluster, state: HostState) -> str:
    """Where the ISO lies on that host."""
    return cluster.image.path or f"{state.host.image_folder}\\{cluster.image.file_name}"


def image_facts(cluster: Cluster, state: HostState) -> ImageFacts | None:
    """The ISO of the cluster on that host; it need not exist, for what is known of it may be a download alone."""
    path = image_path(cluster, state).lower()
    return next((image for image in state.images if image.path.lower() == path), None)


def plan(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    image = cluster.image
    for host in cluster.hosts:
        state = seen.hosts[host]
        path, found = image_path(cluster, state), image_facts(cluster, state)
        vms = [find_vm(machine, state, seen.secrets) for machine in cluster.machines if machine.host == host]
        needed = any(vm is None or not vm.complete for vm in vms)  # some machine is yet to be made from it
        if found is not None and found.exists:
            settled = _there(image, host, found, pinned=image.sha256 or seen.image_pin, needed=needed)
        else:
            settled = _missing(image, host, needed=needed)
        fetch = act(
            StepId.IMAGE, image.file_name, Verb.FETCH, f"{cluster.talos} to {path}", FetchImage(path=path), host=host
        )
        yield settled or fetch


def _there(image: ImageSpec, host: str, found: ImageFacts, *, pinned: str, needed: bool) -> Action | None:
    name, size = image.file_name, f"{found.size_bytes // MIB} MiB"
    if pinned and found.sha256 and found.sha256 != pinned:
        return refuse(StepId.IMAGE, name, _other_iso(found.path, host, pinned, found.sha256), host)
    if found.sha256:
        return keep(StepId.IMAGE, name, f"{name}, {size}, SHA-256 {found.sha256[:12]}", host=host)
    if image.path and not needed:
        return keep(StepId.IMAGE, name, f"{image.path}, {size}; hashed when a machine is made from it", host=host)
    if image.path:
        why, work = "attest the file that is there: hash it once", VerifyImage(path=image.path)
        return act(StepId.IMAGE, name, Verb.FETCH, why, work, host=host)
    return None


def _missing(image: ImageSpec, host: str, *, needed: bool) -> Action | None:
    if not needed:
        why = f"{image.file_name} is not there, and no machine is to be made from it"
        return keep(StepId.IMAGE, image.file_name, why, host=host)
    if not image.path:
        return None
    fault = Fault(
        "P-ISO-DOWNLOAD",
        f"{image.path} is not on {host}",
        expected="the ISO where image: path: says",
        seen=("no such file",),
    )
    return refuse(StepId.IMAGE, image.file_name, fault, host)


def _other_iso(path: str, host: str, pinned: str, sha256: str) -> Fault:
    return Fault(
        "P-ISO-CHECKSUM",
        f"{path} on {host} is not the ISO that the file pins",
        expected=f"SHA-256 {pinned}",
        seen=(f"SHA-256 {sha256}",),
        next_steps=("delete the file on the host, or fix sha256: in the cluster file",),
    )


async def apply(action: Action, run: Run) -> str:
    """Downloads or attests, and reads the hash back. A lost connection is looked at again: the host may have finished."""
    host, image = run.ports.hosts[action.host], run.cluster.image
    work = action.work
    assert isinstance(work, FetchImage | VerifyImage)
    path = work.path
    pinned = image.sha256 or run.seen.image_pin
    latest = [""]
    failed: list[TransportError] = []

    def progress(record: Progress) -> None:
        latest[0] = f"{record.status or record.activity} ({record.percent} %)"

    async def probe() -> Ready[ImageFacts] | Pending:
        try:
            if isinstance(work, VerifyImage):
                found = await host.find_image(path, verify=True)
            else:
                found = await host.save_image(
                    url=image.url,
                    sha256=pinned,
                    sha256_url=image.sha256_url,
                    path=path,
                    progress=progress,
                )
        except HostRefused as error:
            failed.append(error)
            if error.id != "ImageDownload" or len(failed) == DOWNLOAD_TRIES:
                raise
            return Pending(f"{error.message} Trying again, {DOWNLOAD_TRIES - len(failed)} tries left")
        return Ready(found, f"{found.size_bytes // MIB} MiB, SHA-256 {found.sha256[:12]}")

    met = await run.wait(
        action,
        on_host(probe, host=action.host),
        what=image.file_name,
        why="the host downloads the ISO itself and checks it",
        every_s=5.0,
        news=lambda: latest[0],
        late=lambda late: late.fault(
            "P-ISO-DOWNLOAD",
            f"the ISO did not arrive on {action.host}",
            expected=image.file_name,
            seen=tuple(dict.fromkeys(filter(None, (late.reason, latest[0])))),
        ),
    )
    if pinned and met.value.sha256 != pinned:
        raise _other_iso(path, action.host, pinned, met.value.sha256)
    if not pinned and not image.sha256_url:
        _pin(run, image.file_name, met.value.sha256)
    run.images[action.host] = met.value
    return met.seen


def _pin(run: Run, file_name: str, sha256: str) -> None:
    """An image without a published checksum (the factory's, a file on the host) is trusted at first use, and only then."""
    run.remember(images={**run.hints.images, file_name: sha256})
    run.note("info", f"{file_name} has no published checksum: pinned at first use to {sha256}", step=StepId.IMAGE)
