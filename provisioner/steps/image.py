"""Step 3: the ISO, in the host's own cache. The host downloads it itself and checks its SHA-256; nothing unchecked is ever mounted."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.errors import Fault, HostRefused, TransportError
from provisioner.model.cluster import Cluster
from provisioner.model.facts import HostState, ImageFacts, Observed
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.units import MIB
from provisioner.model.work import FetchImage, VerifyImage
from provisioner.ports import Progress
from provisioner.steps.host_faults import on_host
from provisioner.steps.run_context import Run
from provisioner.steps.vm import find_vm
from provisioner.steps.waiting import Pending, Ready

DOWNLOAD_TRIES = 3
"""A server that resets a connection is asked again; one that has no such file says so three times within seconds."""


def image_path(cluster: Cluster, state: HostState) -> str:
    """Where the ISO lies on that host."""
    return cluster.image.path or f"{state.host.image_folder}\\{cluster.image.file_name}"


def plan(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    for name in cluster.hosts:
        state = seen.hosts[name]
        path = image_path(cluster, state)
        found = next((i for i in state.images if i.path.lower() == path.lower() and i.exists), None)
        needed = any(
            (vm := find_vm(m, state, seen.secrets)) is None or not vm.complete
            for m in cluster.machines
            if m.host == name
        )
        pinned = cluster.image.sha256 or seen.image_pin
        yield _for_host(cluster, name, path, found, pinned=pinned, needed=needed)


def _for_host(cluster: Cluster, host: str, path: str, found: ImageFacts | None, *, pinned: str, needed: bool) -> Action:
    """`needed`: some machine of the host is yet to be made from it."""
    image = cluster.image
    if found is None and not needed:
        why = f"{image.file_name} is not there, and no machine is to be made from it"
        return Action(step=StepId.IMAGE, verb=Verb.KEEP, object=image.file_name, host=host, why=why)
    if found is None and image.path:
        fault = Fault(
            "P-ISO-DOWNLOAD",
            f"{image.path} is not on {host}",
            expected="the ISO where image: path: says",
            seen=("no such file",),
        )
        return Action(
            step=StepId.IMAGE, verb=Verb.REFUSE, object=image.file_name, host=host, why=fault.message, fault=fault
        )
    if found is not None and pinned and found.sha256 and found.sha256 != pinned:
        fault = _other_iso(path, host, pinned, found.sha256)
        return Action(
            step=StepId.IMAGE, verb=Verb.REFUSE, object=image.file_name, host=host, why=fault.message, fault=fault
        )
    if found is not None and found.sha256:
        why = f"{image.file_name}, {found.size_bytes // MIB} MiB, SHA-256 {found.sha256[:12]}"
        return Action(step=StepId.IMAGE, verb=Verb.KEEP, object=image.file_name, host=host, why=why)
    if found is not None and image.path and not needed:
        why = f"{image.path}, {found.size_bytes // MIB} MiB; hashed when a machine is made from it"
        return Action(step=StepId.IMAGE, verb=Verb.KEEP, object=image.file_name, host=host, why=why)
    if found is not None and image.path:
        why = "attest the file that is there: hash it once"
        return Action(
            step=StepId.IMAGE,
            verb=Verb.FETCH,
            object=image.file_name,
            host=host,
            why=why,
            work=VerifyImage(path=path),
        )
    why = f"{cluster.talos} to {path}"
    return Action(
        step=StepId.IMAGE,
        verb=Verb.FETCH,
        object=image.file_name,
        host=host,
        why=why,
        work=FetchImage(path=path),
    )


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
        on_host(probe, host=action.host),
        step=StepId.IMAGE,
        what=image.file_name,
        why="the host downloads the ISO itself and checks it",
        every_s=5.0,
        news=lambda: latest[0],
        late=lambda late: Fault(
            "P-ISO-DOWNLOAD",
            f"the ISO did not arrive on {action.host}",
            expected=f"{image.file_name} within {late.bound}",
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
    """An image without a published checksum (the factory's, a file on the host) is believed the first time, and only that."""
    run.remember_image(file_name, sha256)
    run.note("info", f"{file_name} has no published checksum: pinned at first use to {sha256}", step=StepId.IMAGE)
