"""What a machine tells of its course, as Talos' Events stream carries it (runtime/v1alpha1/v1alpha1_events.go). Words are Talos' own."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from provisioner.talos.api.gen import common_pb2
from provisioner.talos.api.gen import machine_pb2 as pb

RING = 1000
TYPE_PREFIX = "talos/runtime/"
"""Talos' own; not type.googleapis.com."""
_DIGITS = "0123456789abcdefghijklmnopqrstuv"


@dataclass(frozen=True)
class MachineEvent:
    """One entry of the ring of the last 1000 events since boot."""

    number: int
    at: float
    actor: str
    """The request that caused it, or empty."""
    body: Message

    @property
    def id(self) -> str:
        """An xid: 12 bytes in base32hex, that sort by time and count."""
        number = (int(self.at) << 64 | self.number) << 4
        return "".join(_DIGITS[number >> shift & 31] for shift in range(95, -1, -5))

    def message(self) -> pb.Event:
        data = AnyMessage(
            type_url=f"{TYPE_PREFIX}{self.body.DESCRIPTOR.full_name}", value=self.body.SerializeToString()
        )
        return pb.Event(data=data, id=self.id, actor_id=self.actor)


def sequence(name: str, action: str, error: str = "") -> pb.SequenceEvent:
    """`action`: START, STOP, or NOOP with an error: the sequence failed."""
    failure = common_pb2.Error(code=common_pb2.FATAL, message=error) if error else None
    return pb.SequenceEvent(sequence=name, action=action, error=failure)


def phase(name: str, action: str) -> pb.PhaseEvent:
    return pb.PhaseEvent(phase=name, action=action)


def task(name: str, action: str) -> pb.TaskEvent:
    return pb.TaskEvent(task=name, action=action)


def service_state(name: str, state: str, text: str, *, healthy: bool, unknown: bool) -> pb.ServiceStateEvent:
    health = pb.ServiceHealth(healthy=healthy, unknown=unknown, last_message=text)
    return pb.ServiceStateEvent(service=name, action=state.upper(), message=text, health=health)


def machine_status(stage: str, unmet: list[tuple[str, str]]) -> pb.MachineStatusEvent:
    """`unmet`: the conditions for being ready, each with what is missing."""
    status = pb.MachineStatusEvent.MachineStatus
    conditions = [status.UnmetCondition(name=name, reason=reason) for name, reason in unmet]
    return pb.MachineStatusEvent(
        stage=stage.upper().replace(" ", "_"), status=status(ready=not unmet, unmet_conditions=conditions)
    )
