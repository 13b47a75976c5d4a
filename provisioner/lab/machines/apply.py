"""ApplyConfiguration: in maintenance, and on a machine that has a config, as Talos' v1alpha1_server.go answers it."""

from __future__ import annotations

import difflib
from typing import Any

import yaml
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from provisioner.lab.machines import config_check
from provisioner.lab.machines.calls import Answerer
from provisioner.lab.world.guests import decode, install, sequences, times
from provisioner.lab.world.guests.config import MachineConfig, dig
from provisioner.lab.world.guests.machine import Machine
from provisioner.talos.api.gen import machine_pb2 as pb

Mode = pb.ApplyConfigurationRequest.Mode
_MAINTENANCE_MODES = (
    pb.ApplyConfigurationRequest.REBOOT,
    pb.ApplyConfigurationRequest.AUTO,
    pb.ApplyConfigurationRequest.TRY,
)

AT_ONCE_MACHINE = frozenset(
    [
        "ca",
        "acceptedCAs",
        "time",
        "certSANs",
        "install",
        "network",
        "sysfs",
        "sysctls",
        "logging",
        "controlPlane",
        "kubelet",
        "kernel",
        "registries",
        "pods",
        "seccompProfiles",
        "nodeLabels",
        "nodeAnnotations",
        "nodeTaints",
    ]
)
AT_ONCE_FEATURES = frozenset(
    ["kubernetesTalosAPIAccess", "kubePrism", "hostDNS", "imageCache", "nodeAddressSortAlgorithm"]
)
"""What takes effect without a reboot, besides `debug`, all of `cluster` and all other documents."""


def in_maintenance(answerer: Answerer, request: pb.ApplyConfigurationRequest) -> pb.ApplyConfiguration:
    """Under the world's lock. A third-party machine keeps the bytes as evidence."""
    machine = answerer.require_alive()
    machine.hardware.keep_received(request.data)
    if request.mode not in _MAINTENANCE_MODES:
        raise GRPCError(
            Status.UNIMPLEMENTED,
            f"apply configuration --mode='{_mode_word(request.mode)}' is not supported in maintenance mode",
        )
    try:
        checked = _check(machine, request.data)
    except config_check.NotDecoded as error:
        raise GRPCError(Status.UNKNOWN, f"failed to parse config: {error}") from None
    except config_check.NotValid as error:
        what = (
            "configuration validation failed" if error.where == "static" else "runtime configuration validation failed"
        )
        raise GRPCError(Status.INVALID_ARGUMENT, f"{what}: {error}") from None
    if request.dry_run:
        details = "Dry run summary:\nNode is running in maintenance mode and does not have a config yet."
        return pb.ApplyConfiguration(mode_details=details)
    install.accept(machine, checked.config)
    return pb.ApplyConfiguration(warnings=checked.warnings)


def on_configured(answerer: Answerer, request: pb.ApplyConfigurationRequest, actor: str) -> pb.ApplyConfiguration:
    """Under the world's lock."""
    machine = answerer.require_alive()
    try:
        checked = _check(machine, request.data)
    except (config_check.NotDecoded, config_check.NotValid) as error:
        raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from None
    if checked.config.v1alpha1 is None:
        raise GRPCError(Status.INVALID_ARGUMENT, "the applied machine configuration doesn't contain v1alpha1 config")
    late = _needs_reboot(machine.running_config, checked.config)
    mode = request.mode
    details = ""
    if mode == pb.ApplyConfigurationRequest.AUTO:
        mode = pb.ApplyConfigurationRequest.REBOOT if late else pb.ApplyConfigurationRequest.NO_REBOOT
        details = f"\nfields that need a reboot: {', '.join(late)}" if late else ""
    elif mode in (pb.ApplyConfigurationRequest.NO_REBOOT, pb.ApplyConfigurationRequest.TRY) and late:
        raise GRPCError(
            Status.INVALID_ARGUMENT, f"this config change can't be applied in immediate mode: {', '.join(late)}"
        )
    seconds = request.try_mode_timeout.ToTimedelta().total_seconds() or times.TRY_TIMEOUT
    said = _said(mode) + details
    if request.dry_run:
        said = f"Dry run summary:\n{said} (skipped in dry-run).\n{_diff(machine.running_config, checked.config)}"
    else:
        if mode == pb.ApplyConfigurationRequest.TRY:
            said += (
                f"\nThe config is applied in 'try' mode and will be automatically reverted back in {_in_go(seconds)}"
            )
        _take(machine, checked.config, mode, seconds, actor)
    return pb.ApplyConfiguration(warnings=checked.warnings, mode=mode, mode_details=said)


def _check(machine: Machine, data: bytes) -> config_check.Checked:
    if machine.kernel.injected("config-refused", machine.name) is not None:
        raise config_check.NotValid("static", ["the lab was asked to refuse this config"])
    minor = int(machine.talos.version.split(".")[1])
    return config_check.check(data, minor=minor, hardware=machine.hardware, installed=machine.system is not None)


def _take(machine: Machine, config: MachineConfig, mode: Mode, seconds: float, actor: str) -> None:
    if mode == pb.ApplyConfigurationRequest.TRY:
        sequences.try_config(machine, config, seconds)
    elif mode == pb.ApplyConfigurationRequest.NO_REBOOT:
        sequences.change_config(machine, config)
    else:
        sequences.change_config(machine, config, now=False)
        if mode == pb.ApplyConfigurationRequest.REBOOT:
            sequences.reboot(machine, powercycle=False, actor=actor)


def _needs_reboot(old: MachineConfig, new: MachineConfig) -> list[str]:
    """Paths of the fields that differ and take effect only at a boot."""
    found = [key for key in ("version", "persist") if old.get(key) != new.get(key)]
    for key in _differing(old.get("machine"), new.get("machine")):
        if key == "features":
            features = _differing(old.get("machine", key), new.get("machine", key))
            found += [f"machine.features.{feature}" for feature in features if feature not in AT_ONCE_FEATURES]
        elif key not in AT_ONCE_MACHINE:
            found.append(f"machine.{key}")
    return found


def _differing(old: Any, new: Any) -> list[str]:
    keys = {**(old or {}), **(new or {})}
    return [key for key in keys if dig(old, key) != dig(new, key)]


def _said(mode: Mode) -> str:
    match mode:
        case pb.ApplyConfigurationRequest.REBOOT:
            return "Applied configuration with a reboot"
        case pb.ApplyConfigurationRequest.STAGED:
            return "Staged configuration to be applied after the next reboot"
        case _:
            return "Applied configuration without a reboot"


def _in_go(seconds: float) -> str:
    """As Go prints a duration: 1m0s."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest:g}s"


def _diff(old: MachineConfig, new: MachineConfig) -> str:
    """Of what the configs mean: empty lines, quotes, comments and the order of keys are no change."""
    texts = [yaml.safe_dump_all(map(decode.meant, config.documents)).splitlines() for config in (old, new)]
    lines = difflib.unified_diff(texts[0], texts[1], "current", "new", lineterm="", n=3)
    return "Config diff:\n\n" + ("\n".join(lines) or "No changes.")


def _mode_word(mode: Mode) -> str:
    return Mode.Name(mode).lower().replace("_", "-")
