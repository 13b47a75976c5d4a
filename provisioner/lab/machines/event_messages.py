"""A machine's events as protobuf messages."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from provisioner.lab.world.guests import events
from provisioner.talos.api.gen import common_pb2
from provisioner.talos.api.gen import machine_pb2 as pb

TYPE_PREFIX = "talos/runtime/"
"""Talos' own; not type.googleapis.com."""
_DIGITS = "0123456789abcdefghijklmnopqrstuv"


def event_id(event: events.MachineEvent) -> str:
    """An xid: 12 bytes in base32hex, that sort by time and count."""
    number = (int(event.at) << 64 | event.number) << 4
    return "".join(_DIGITS[number >> shift & 31] for shift in range(95, -1, -5))


def message(event: events.MachineEvent) -> pb.Event:
    body = _body(event.body)
    data = AnyMessage(type_url=f"{TYPE_PREFIX}{body.DESCRIPTOR.full_name}", value=body.SerializeToString())
    return pb.Event(data=data, id=event_id(event), actor_id=event.actor)


def _body(body: events.Body) -> Message:
    match body:
        case events.Sequence(name, action, error):
            failure = common_pb2.Error(code=common_pb2.FATAL, message=error) if error else None
            return pb.SequenceEvent(sequence=name, action=action, error=failure)
        case events.Phase(name, action):
            return pb.PhaseEvent(phase=name, action=action)
        case events.Task(name, action):
            return pb.TaskEvent(task=name, action=action)
        case events.ServiceState(service, state, text, healthy, unknown):
            health = pb.ServiceHealth(healthy=healthy, unknown=unknown, last_message=text)
            return pb.ServiceStateEvent(service=service, action=state.upper(), message=text, health=health)
        case events.MachineStatus(stage, ready, unmet):
            conditions = [
                pb.MachineStatusEvent.MachineStatus.UnmetCondition(name=name, reason=reason) for name, reason in unmet
            ]
            status = pb.MachineStatusEvent.MachineStatus(ready=ready, unmet_conditions=conditions)
            return pb.MachineStatusEvent(stage=stage.upper().replace(" ", "_"), status=status)
