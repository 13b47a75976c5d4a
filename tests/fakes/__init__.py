"""Typed fakes, one per port of `provisioner/ports`, for tests of steps, flow and screens.

Each is declared to satisfy its Protocol (`_: type[Host] = FakeHost`), so mypy finds one that drifted from its port. `world.FakeWorld` puts
them together for what was seen of a cluster, and makes runs and sessions of it.
"""
