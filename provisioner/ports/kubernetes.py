"""The cluster's Kubernetes API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from provisioner.model.facts import NodeFacts, PodFacts


class Kubernetes(Protocol):
    """The Kubernetes API, reached and signed in to by the text of a kubeconfig. All methods read; each may be called again at any time.

    All raise a `TransportError`: `Unreachable` while nothing answers, `NotTrusted` when the server's certificate is not of the
    kubeconfig's authority, `Rejected` when it refuses ours, `KubeRefused` for an HTTP status of 400 or more, `Malformed` for an answer
    that is none of Kubernetes'. Source: https://kubernetes.io/docs/reference/using-api/api-concepts/
    """

    async def ready(self, kubeconfig: bytes) -> bool:
        """Whether `/readyz` says `ok`; False for an API server that answers anything else, a refusal included.

        Source: https://kubernetes.io/docs/reference/using-api/health-checks/
        """

    async def nodes(self, kubeconfig: bytes) -> tuple[NodeFacts, ...]:
        """All nodes, once."""

    async def pods(self, kubeconfig: bytes, namespace: str) -> tuple[PodFacts, ...]:
        """All pods of a namespace, once; none for a namespace that does not exist."""

    def watch_nodes(self, kubeconfig: bytes) -> AsyncIterator[tuple[NodeFacts, ...]]:
        """All nodes, and all of them again at each change that the API pushes. Ends after some minutes, as the API ends watches: ask again.

        Closing the iterator stops the watch.
        """

    async def close(self) -> None:
        """Ends all connections, whatever is asked over them; idempotent."""
