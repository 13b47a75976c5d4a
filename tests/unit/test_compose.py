"""The composition root: what is made when."""

from __future__ import annotations

from provisioner.compose import _AtFirstUse
from provisioner.ports import Kubernetes
from tests.fakes.kubernetes import FakeKubernetes


class Closing(FakeKubernetes):
    """Tells whether it was closed."""

    closed = False

    async def close(self) -> None:
        await super().close()
        self.closed = True


class Made:
    """Counts how often an adapter is made."""

    def __init__(self) -> None:
        self.adapters: list[Closing] = []

    def __call__(self) -> Kubernetes:
        self.adapters.append(Closing((), ()))
        return self.adapters[-1]


async def test_what_was_never_asked_is_not_made_to_be_closed() -> None:
    made = Made()
    await _AtFirstUse(made).close()
    assert made.adapters == []


async def test_it_is_made_once_and_closed() -> None:
    made = Made()
    adapter = _AtFirstUse(made)
    await adapter.nodes(b"")
    await adapter.nodes(b"")
    await adapter.close()
    (only,) = made.adapters
    assert only.closed
    assert [call.name for call in only.calls] == ["nodes", "nodes"]
