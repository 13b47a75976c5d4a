"""provision: one command from a Windows machine with Hyper-V to a healthy Talos Linux Kubernetes cluster, and back."""

__version__ = "0.1.0"
