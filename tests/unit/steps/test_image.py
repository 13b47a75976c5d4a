"""The ISO: what is mounted is what was published, or pinned, or seen the first time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.errors import Dropped, Fault, HostRefused
from provisioner.model.cluster import Cluster
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import FetchImage, VerifyImage
from provisioner.steps import image
from tests.fakes.host import PUBLISHED
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import HOST, ISO, cluster_of, observed_of

SUMS = "https://example.com/sha256sum.txt"


def action(kind: type[FetchImage | VerifyImage] = FetchImage) -> Action:
    return Action(step=StepId.IMAGE, verb=Verb.FETCH, object="iso", host=HOST, work=kind(path=ISO), why="")


def world_of(cluster: Cluster, **observed: Any) -> FakeWorld:
    return FakeWorld(cluster, observed_of(observed, cluster))


def released() -> Cluster:
    plain = cluster_of({})
    return replace(plain, image=replace(plain.image, sha256_url=SUMS))


async def test_the_host_is_given_the_release_s_own_checksums() -> None:
    world = world_of(released())
    run = world.run()
    assert PUBLISHED[:12] in await image.apply(action(), run)
    (call,) = world.host.made("save_image")
    assert (call["sha256"], call["sha256_url"]) == ("", SUMS)
    assert run.images[HOST].path == ISO
    assert world.store.notes == {}, "nothing is to be believed that is published"


async def test_what_has_no_published_checksum_is_believed_once() -> None:
    cluster = cluster_of({})
    world = world_of(cluster)
    await image.apply(action(), world.run())
    assert world.store.notes["images"][cluster.image.file_name] == PUBLISHED
    changed = FakeWorld(cluster, replace(world.seen, image_pin=PUBLISHED))
    changed.host.downloads[cluster.image.url] = "b" * 64
    with pytest.raises(Fault) as caught:
        await image.apply(action(), changed.run())
    assert caught.value.id == "P-ISO-CHECKSUM"


async def test_a_file_that_was_changed_since_it_was_pinned_is_not_mounted() -> None:
    cluster = cluster_of({"sha256": PUBLISHED, "image_path": ISO})
    world = world_of(cluster, images=[{"sha256": "b" * 64, "ours": False}])
    run = world.run()
    run.images.clear()
    with pytest.raises(Fault) as caught:
        await image.apply(action(VerifyImage), run)
    assert caught.value.id == "P-ISO-CHECKSUM"
    assert HOST not in run.images


async def test_a_lost_answer_is_looked_at_again_and_a_broken_server_three_times() -> None:
    world = world_of(released())
    world.host.fail("save_image", Dropped("reset"), done=True)
    await image.apply(action(), world.run())
    assert len(world.host.made("save_image")) == 2
    broken = world_of(released())
    refusal = HostRefused(id="ImageDownload", message="HTTP 503.", function="Save-TalosImage")
    broken.host.fail("save_image", refusal, forever=True)
    with pytest.raises(Fault) as caught:
        await image.apply(action(), broken.run())
    assert caught.value.id == "P-ISO-DOWNLOAD"
    assert len(broken.host.made("save_image")) == image.DOWNLOAD_TRIES
