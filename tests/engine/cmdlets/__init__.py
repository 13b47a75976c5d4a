"""Cmdlets of Windows inside a genuine PowerShell engine, standing on the lab's world.

`tables/*.yaml` say once which enums, classes and cmdlets there are. An engine loads `stubs/`, asks the world for that description and
emits real .NET types from it, so that names, parameter sets and the binder's errors are the engine's own work; every call then goes over
a loopback socket to the behaviours in this package. `EngineHome` is what others use.
"""
