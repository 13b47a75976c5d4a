"""The lab's Kubernetes API: HTTPS on the address of every control plane, as far as kubectl and a provisioner need it."""
