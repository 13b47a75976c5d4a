"""How long things take in Kubernetes on small Talos VMs, in seconds of the world.

From bootstrap to an API that answers it is 60 to 120 s in all, etcd included. Periods of the controllers are Kubernetes' own defaults.
"""

from __future__ import annotations

from provisioner.lab.world.guests.times import Span

API_FIRST = Span(50, 100)
"""From etcd to the API server: its image is pulled, the static pod starts."""
API_AGAIN = Span(8, 20)
CONTROLLERS = Span(3, 8)
"""Controller manager and scheduler, after the API server beside them."""
MANIFESTS = Span(1, 4)
"""Talos applies its manifests once the API is up."""
REGISTER = Span(1, 4)
RECONCILE = 0.5
"""Controllers and scheduler look again so soon after a change."""
POD_START = Span(3, 9)
"""Its image is pulled and its containers pass their first check."""
NETWORK_READY = Span(1, 3)
"""From a running flannel to a kubelet that says Ready."""
POD_STOP = Span(1, 3)
LEASE_EVERY = 10.0
NODE_GRACE = 40.0
"""A node without a lease for so long is taken for unreachable (node-monitor-grace-period)."""
EVICTION_AFTER = 300.0
"""Pods that can live elsewhere leave an unreachable node after that (default toleration)."""
