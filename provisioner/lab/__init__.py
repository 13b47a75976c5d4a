"""The embedded lab: a Hyper-V host with Talos machines and a Kubernetes API, as a process of its own that serves them on loopback.

It imports nothing of the client but messages and data that both must know, and of libraries beside the client's those of LIBRARIES.
"""

LIBRARIES = ("aiohttp", "h11", "h2", "psrpcore")
"""Packages that the extra `lab` of the distribution installs."""
