"""Kubernetes in the lab's world: what comes up once etcd runs, and what its controllers make of nodes that come and go.

Rules only, no protocol: `provisioner.lab.kubernetes` serves the API from here.
"""
