"""The cluster's Kubernetes API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from provisioner.model.facts import NodeFacts, PodFacts


class LeftReason(StrEnum):
    """Why a pod is still on a node that was to be drained."""

    BUDGET = "budget"
    """A PodDisruptionBudget does not allow the eviction now."""
    TERMINATING = "terminating"
    """It is being deleted, and its grace period is not over."""
    UNMANAGED = "unmanaged"
    """No controller would recreate it elsewhere; it would be lost."""
    LOCAL_DATA = "local data"
    """It has a volume of the kind emptyDir, whose data would be lost."""


@dataclass(frozen=True, kw_only=True)
class LeftPod:
    """A pod that is still on the node."""

    namespace: str
    name: str
    reason: LeftReason
    message: str = ""
    """The API's words, for a budget: which one, and what it needs."""


class Kubernetes(Protocol):
    """The Kubernetes API, reached and signed in to by the text of a kubeconfig. Reads may be repeated at any time; what changes
    something is idempotent, and after an `Unreachable` it may have been carried out or not: call it again.

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

    async def cordon(self, kubeconfig: bytes, node: str) -> None:
        """Marks the node unschedulable: no new pod is placed there, those that run stay. Idempotent.

        Raises `KubeRefused` with 404 for a node that does not exist.
        Source: https://kubernetes.io/docs/concepts/architecture/nodes/#manual-node-administration
        """

    async def uncordon(self, kubeconfig: bytes, node: str) -> None:
        """Lets pods be placed on the node again. Idempotent; errors as those of `cordon`."""

    async def drain(
        self,
        kubeconfig: bytes,
        node: str,
        *,
        within_s: float,
        delete_local_data: bool = False,
        delete_unmanaged: bool = False,
    ) -> tuple[LeftPod, ...]:
        """Cordons the node, evicts its pods, and waits until they are gone; the pods that are left, none when the node is drained.

        Evictions respect PodDisruptionBudgets and are repeated while one forbids them, for at most `within_s` seconds of the clock port
        (the call in flight then is let end). Pods of DaemonSets and mirror pods (of the kubelet's own manifests) stay and do not count.
        Pods with an emptyDir volume and pods without a controller are evicted only if the caller says so: where there is one, nothing
        is evicted at all, and the answer is these. What has finished by itself may always go.

        Idempotent: a drained node is drained again at once. Cancelling stops between two evictions; the node stays cordoned, and what was
        evicted stays evicted. Errors as those of `cordon`; `KubeRefused` also for an eviction that can never succeed, as of a pod that
        two budgets hold. Sources: https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/ and
        https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
        """

    async def close(self) -> None:
        """Ends all connections, whatever is asked over them; idempotent."""
