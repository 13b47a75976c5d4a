"""Event streams of runs, written as a run would: what the screens are tested with."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from provisioner.errors import Finding, SourceLocation
from provisioner.model.cluster import Cluster, HostSpec, ImageSpec, MachineSpec, Role, SwitchSpec
from provisioner.model.events import (
    ActionEnded,
    ActionStarted,
    CallEnded,
    Event,
    FaultReported,
    Note,
    PlanMade,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    WaitEnded,
    WaitProgressed,
    WaitStarted,
)
from provisioner.model.naming import computed_mac
from provisioner.model.plan import Action, Plan, PlanWarning, Verb
from provisioner.model.steps import STEP, StepId
from provisioner.model.work import CreateSwitch, CreateVm, RemoveVm, Work
from provisioner.workflows import tables

BEGUN = datetime(2026, 5, 23, 12, 4, 7, tzinfo=UTC)
MACHINES = ("home-cp-1", "home-worker-1", "home-worker-2", "home-worker-3")
ADDRESSES = dict(zip(MACHINES, ("10.0.40.11", "10.0.40.21", "10.0.40.22", "10.0.40.23"), strict=True))
PER_MACHINE = (StepId.VM, StepId.MAINTENANCE, StepId.CONFIG, StepId.INSTALL, StepId.EJECT)
SECRET = "wlzjyw.bei2zfylhs2by0wd"  # what no screen may show
KEY = base64.b64encode(
    b"-----BEGIN ED25519 PRIVATE KEY-----\n" + bytes(range(200)) + b"\n-----END ED25519 PRIVATE KEY-----"
).decode()
SECRETS = (SECRET, "MC4CAQ", *(KEY[start : start + 12] for start in range(0, len(KEY), 12)))


def cluster() -> Cluster:
    place = SourceLocation(file="clusters/home.yaml", line=9, column=3)
    machines = [
        MachineSpec(
            name=name,
            role=Role.CONTROL_PLANE if "cp" in name else Role.WORKER,
            host="hv01.lan",
            cpus=4,
            memory_mib=4096 if "cp" in name else 8192,
            disk_gib=20 if "cp" in name else 60,
            mac=computed_mac("home", name),
            address=ADDRESSES[name],
            place=place,
        )
        for name in MACHINES
    ]
    return Cluster(
        name="home",
        file=Path("clusters/home.yaml"),
        hosts={"hv01.lan": HostSpec(name="hv01.lan", address="hv01.lan")},
        switch=SwitchSpec(name="LAB", adapter="Ethernet"),
        image=ImageSpec(url="https://example.org/metal-amd64.iso", file_name="metal-amd64.iso"),
        talos="v1.11.5",
        kubernetes="v1.34.1",
        machines=tuple(machines),
    )


def fresh_plan(*, switch_there: bool = True) -> Plan:
    """Everything is to be made."""
    keep, wait = Verb.KEEP, Verb.WAIT
    facts = "Hyper-V ready, PowerShell 5.1, 49 GiB of memory and 412 GB on D: free"
    switch = (
        Action(step=StepId.SWITCH, verb=keep, object="LAB", why="LAB: External on Ethernet, shared with Windows")
        if switch_there
        else Action(
            step=StepId.SWITCH,
            verb=Verb.CREATE,
            object="LAB",
            why="LAB: External on Ethernet",
            work=CreateSwitch(),
            warning="the host's link drops for up to a minute; this connection runs over that adapter",
        )
    )
    each = {
        StepId.VM: (Verb.CREATE, "not there"),
        StepId.MAINTENANCE: (wait, "until maintenance, at most 5m (new)"),
        StepId.CONFIG: (Verb.APPLY, "has none yet"),
        StepId.INSTALL: (wait, "to /dev/sda, then reboot"),
        StepId.EJECT: (Verb.EJECT, "once it runs from its disk"),
    }
    rows: dict[StepId, list[Action]] = {
        StepId.HOST: [Action(step=StepId.HOST, verb=keep, object="hv01.lan", why=facts)],
        StepId.SWITCH: [switch],
        StepId.IMAGE: [one(StepId.IMAGE, Verb.FETCH, "metal-amd64.iso", "v1.11.5, not in the host's cache")],
        StepId.SECRETS: [one(StepId.SECRETS, Verb.WRITE, "secrets.yaml", "new")],
        StepId.BOOTSTRAP: [one(StepId.BOOTSTRAP, Verb.ONCE, "etcd", "on home-cp-1")],
        StepId.HEALTH: [one(StepId.HEALTH, wait, "home", "until 4 nodes are Ready")],
        StepId.ACCESS: [one(StepId.ACCESS, Verb.WRITE, "admin@home", "into kubeconfig and talosconfig")],
        **{step: for_each(step, *each[step]) for step in PER_MACHINE},
    }
    actions = [action for step in UP_STEPS for action in rows[step]]
    warning = PlanWarning(
        id="P-CONFIG-ENDPOINT",
        message="the endpoint is home-cp-1's address, 10.0.40.11, which DHCP may change",
        next_steps=("reserve it for 02-11-22-33-44-55, or set endpoint:",),
    )
    return Plan(cluster="home", steps=UP_STEPS, actions=tuple(actions), warnings=(warning,))


def one(step: StepId, verb: Verb, object: str, why: str) -> Action:
    return Action(step=step, verb=verb, object=object, why=why, work=Work())


def for_each(step: StepId, verb: Verb, why: str) -> list[Action]:
    work = CreateVm() if step is StepId.VM else Work()
    return [Action(step=step, verb=verb, object=name, why=why, work=work, machine=name) for name in MACHINES]


UP_STEPS, DOWN_STEPS, REBUILD_STEPS = (
    tuple(order.step for order in table) for table in (tables.UP, tables.DOWN, tables.REBUILD)
)


class Recorder:
    """Writes events with a clock of its own."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.now = 0.0
        self.begun: dict[object, float] = {}

    def at(self, seconds: float) -> Recorder:
        assert seconds >= self.now, "time runs forward"
        self.now = seconds
        return self

    def add(self, kind: Callable[..., Event], **values: Any) -> Recorder:
        self.events.append(kind(t=BEGUN + timedelta(seconds=self.now), at_s=self.now, **values))
        return self

    def run(self, command: str = "up", **values: Any) -> Recorder:
        versions = {"provision": "0.1.0", "talos": "v1.11.5", "kubernetes": "v1.34.1"}
        given = {"host": "hv01.lan", "run": 142, "folder": "~/.provision/home/runs/142", "versions": versions} | values
        table = {"up": UP_STEPS, "down": DOWN_STEPS, "rebuild": REBUILD_STEPS}[command]
        given["steps"] = tuple(
            {"id": str(step), "title": STEP[step].title, "done": STEP[step].done_word} for step in table
        )
        return self.add(RunStarted, command=command, cluster="home", **given)

    def plan(self, plan: Plan) -> Recorder:
        return self.add(
            PlanMade,
            changes=len(plan.changes),
            keeps=sum(action.verb is Verb.KEEP for action in plan.actions),
            destroys=len(plan.destroys),
            actions=tuple(action.to_json() for action in plan.actions),
            warnings=tuple({"id": w.id, "message": w.message, "next_steps": w.next_steps} for w in plan.warnings),
        )

    def step(self, step: StepId, machines: Iterable[str] = ()) -> Recorder:
        self.begun[step] = self.now
        return self.add(StepStarted, step=step, machines=tuple(machines))

    def step_ended(self, step: StepId, outcome: str, summary: str = "") -> Recorder:
        return self.add(StepEnded, step=step, outcome=outcome, elapsed_s=self.now - self.begun[step], summary=summary)

    def action(self, action: Action) -> Recorder:
        self.begun[action.id] = self.now
        return self.add(
            ActionStarted,
            step=action.step,
            action=action.id,
            verb=str(action.verb),
            object=action.object,
            machine=action.machine or None,
            why=action.why,
        )

    def action_ended(self, action: Action, proof: str = "", outcome: str = "done") -> Recorder:
        elapsed = self.now - self.begun[action.id]
        return self.add(
            ActionEnded,
            step=action.step,
            action=action.id,
            outcome=outcome,
            elapsed_s=elapsed,
            machine=action.machine or None,
            proof=proof,
        )

    def wait(self, step: StepId, what: str, why: str, machine: str | None = None) -> Recorder:
        self.begun[step, machine] = self.now
        return self.add(WaitStarted, step=step, what=what, why=why, machine=machine, bound_s=STEP[step].bound_s)

    def reason(self, step: StepId, what: str, reason: str, tries: int, machine: str | None = None) -> Recorder:
        elapsed = self.now - self.begun[step, machine]
        common = {"step": step, "what": what, "machine": machine, "bound_s": STEP[step].bound_s}
        return self.add(WaitProgressed, reason=reason, elapsed_s=elapsed, tries=tries, **common)

    def wait_ended(
        self, step: StepId, what: str, seen: str, machine: str | None = None, *, outcome: str = "met", tries: int = 3
    ) -> Recorder:
        elapsed = self.now - self.begun[step, machine]
        common = {"step": step, "what": what, "machine": machine, "bound_s": STEP[step].bound_s}
        return self.add(WaitEnded, outcome=outcome, elapsed_s=elapsed, tries=tries, seen=seen, **common)

    def call(self, *functions: str, outcome: str = "ok") -> Recorder:
        return self.add(CallEnded, host="hv01.lan", functions=functions, requests=1, elapsed_s=0.41, outcome=outcome)

    def ended(self, outcome: str, exit: int, **values: Any) -> Recorder:
        return self.add(RunEnded, outcome=outcome, exit=exit, elapsed_s=self.now, **values)


def _start(recorder: Recorder, plan: Plan) -> None:
    recorder.run().at(1.8).call("Get-TalosHost", "Get-TalosVM").plan(plan)
    recorder.step(StepId.HOST).step_ended(StepId.HOST, "kept", f"kept: {plan.of(StepId.HOST)[0].why}")


def _until_boot(recorder: Recorder, plan: Plan) -> None:
    """Switch, ISO, secrets and VMs, all well."""
    _start(recorder, plan)
    _image_and_vms(
        recorder.step(StepId.SWITCH).step_ended(StepId.SWITCH, "kept", "kept: LAB, External on Ethernet"), plan
    )


def _image_and_vms(recorder: Recorder, plan: Plan) -> None:
    secrets, image = plan.of(StepId.SECRETS)[0], plan.of(StepId.IMAGE)[0]
    begun = recorder.now
    recorder.step(StepId.IMAGE).action(image).wait(StepId.IMAGE, "download", "the host downloads the ISO")
    recorder.step(StepId.SECRETS).action(secrets)
    recorder.at(begun + 0.1).action_ended(secrets, "written and read back").step_ended(StepId.SECRETS, "done", "new")
    recorder.at(begun + 12).reason(StepId.IMAGE, "download", "45 of 118 MB", 3)
    recorder.at(begun + 30).reason(StepId.IMAGE, "download", "97 of 118 MB", 6)
    recorder.at(begun + 38.4).wait_ended(StepId.IMAGE, "download", "118 MB").action_ended(image, "checksum good")
    recorder.step_ended(StepId.IMAGE, "done", "fetched 118 MB, checksum good")
    recorder.step(StepId.VM, MACHINES)
    for number, action in enumerate(plan.of(StepId.VM)):
        recorder.at(begun + 39 + 5 * number).action(action)
        recorder.at(begun + 43.5 + 5 * number).action_ended(action, "made and started")
    recorder.call("New-TalosVM").step_ended(StepId.VM, "done", "4 created")


def _boot(recorder: Recorder, plan: Plan, *, slow: str = "") -> None:
    begun = recorder.now
    recorder.step(StepId.MAINTENANCE, MACHINES)
    for action in plan.of(StepId.MAINTENANCE):
        recorder.action(action)
        recorder.wait(StepId.MAINTENANCE, "maintenance", "the VM boots the ISO", action.machine)
    for number, action in enumerate(plan.of(StepId.MAINTENANCE)):
        recorder.at(begun + 10 + number)
        recorder.reason(StepId.MAINTENANCE, "maintenance", "no address yet", 12, action.machine)
    for number, action in enumerate(plan.of(StepId.MAINTENANCE)):
        if action.machine == slow:
            continue
        recorder.at(begun + 48 + 2 * number)
        seen = f"in maintenance at {ADDRESSES[action.machine]}"
        recorder.wait_ended(StepId.MAINTENANCE, "maintenance", seen, action.machine).action_ended(action, seen)
    if slow:
        recorder.at(begun + 72)
        recorder.reason(StepId.MAINTENANCE, "maintenance", "VM running, port 50000 refuses", 14, slow)


def good_run() -> list[Event]:
    recorder, plan = Recorder(), fresh_plan()
    _until_boot(recorder, plan)
    _boot(recorder, plan)
    recorder.step_ended(StepId.MAINTENANCE, "done", "4 in maintenance")
    begun = recorder.now
    for step, what, proof in ((StepId.CONFIG, "", "applied"), (StepId.INSTALL, "installed", "runs from /dev/sda")):
        recorder.step(step, MACHINES)
        for action in plan.of(step):
            recorder.action(action)
            if what:
                recorder.wait(step, what, "Talos installs itself", action.machine)
        for number, action in enumerate(plan.of(step)):
            begun = max(begun + 1, recorder.now)
            recorder.at(begun + (40 if what and number == 0 else 1))
            if what:
                recorder.wait_ended(step, what, proof, action.machine)
            recorder.action_ended(action, proof)
        recorder.step_ended(step, "done", "4 applied" if step is StepId.CONFIG else "4 run from their disks")
    for step, seconds, summary in (
        (StepId.BOOTSTRAP, 9, "etcd started once, on home-cp-1"),
        (StepId.EJECT, 1, "4 ejected"),
        (StepId.HEALTH, 65, "4 nodes Ready"),
        (StepId.ACCESS, 1, "context admin@home in kubeconfig and talosconfig"),
    ):
        actions = plan.of(step)
        recorder.step(step, [action.machine for action in actions if action.machine])
        for action in actions:
            recorder.action(action)
        recorder.at(recorder.now + seconds)
        for action in actions:
            recorder.action_ended(action, "done")
        recorder.step_ended(step, "done", summary)
    recorder.ended("ok", 0, summary="home is up: 4 nodes Ready")
    return recorder.events


def kept_run() -> list[Event]:
    """Nothing to do."""
    recorder = Recorder()
    actions = tuple(
        Action(step=action.step, verb=Verb.KEEP, object=action.object, why="as the file says", machine=action.machine)
        for action in fresh_plan().actions
    )
    plan = Plan(cluster="home", steps=UP_STEPS, actions=actions)
    recorder.run(run=143, folder="~/.provision/home/runs/143").at(1.2).plan(plan)
    for step in UP_STEPS:
        own = plan.of(step)
        recorder.step(step)
        recorder.step_ended(step, "kept", "kept: as the file says" if len(own) == 1 else f"{len(own)} kept")
    recorder.at(1.3).ended("unchanged", 0, summary="nothing to do: everything is as the file says")
    return recorder.events


def failing_boot() -> list[Event]:
    """One machine never reaches maintenance; the others do."""
    recorder, plan = Recorder(), fresh_plan()
    _until_boot(recorder, plan)
    begun = recorder.now
    _boot(recorder, plan, slow="home-worker-3")
    for minute in range(2, 5):
        recorder.at(begun + 60 * minute + 12)
        recorder.reason(
            StepId.MAINTENANCE, "maintenance", "VM running, port 50000 refuses", 14 * minute, "home-worker-3"
        )
    recorder.at(begun + 300).wait_ended(
        StepId.MAINTENANCE,
        "maintenance",
        "VM running, port 50000 refuses",
        "home-worker-3",
        outcome="timed_out",
        tries=70,
    )
    action = plan.of(StepId.MAINTENANCE)[3]
    recorder.action_ended(action, "home-worker-3 never reached maintenance", outcome="failed")
    recorder.step_ended(StepId.MAINTENANCE, "failed", "home-worker-3 never reached maintenance")
    recorder.add(
        FaultReported,
        id="P-BOOT-NOMAINT",
        message="home-worker-3 runs, but no Talos API answers at 10.0.40.23:50000",
        exit=5,
        step=StepId.MAINTENANCE,
        machine="home-worker-3",
        expected="the machine in stage maintenance, within 5m of its start",
        seen=(
            "VM Running for 4m58s, heartbeat none, ISO mounted, boot order: disk, DVD drive",
            "no answer to ARP for 10.0.40.23; the other three machines came up",
        ),
        probable_cause="the address 10.0.40.23 is not reserved for 02-15-5D-28-00-23 (the others are)",
        next_steps=("reserve it on the router, or set address: in clusters/home.yaml line 41",),
        see_also=("provision status home",),
        resume_command=("provision up home                  keeps steps 1 to 4 and the three good machines",),
        picture="~/.provision/home/runs/142/home-worker-3.png",
    )
    left = tuple(f"{step}: home-worker-3" for step in (StepId.CONFIG, StepId.INSTALL))
    recorder.ended("failed", 5, fault="P-BOOT-NOMAINT", summary="nothing was removed", left=left)
    return recorder.events


def switch_drop() -> list[Event]:
    """`up --until vm`: the link goes as announced, and comes back."""
    whole = fresh_plan(switch_there=False)
    first = (StepId.HOST, StepId.SWITCH, StepId.IMAGE, StepId.SECRETS, StepId.VM)
    plan = replace(whole, actions=tuple(action for action in whole.actions if action.step in first))
    recorder = Recorder()
    _start(recorder, plan)
    action = plan.of(StepId.SWITCH)[0]
    recorder.step(StepId.SWITCH).action(action).wait(StepId.SWITCH, "switch", "the host makes the switch")
    said = "making LAB; hv01.lan drops its link now, this is expected"
    recorder.at(2.4).add(Note, level="info", message=said, step=StepId.SWITCH)
    recorder.at(5).call("Get-TalosSwitch", outcome="dropped").add(
        Note, level="info", message="hv01.lan does not answer (reset); waiting for it"
    )
    recorder.at(14).reason(StepId.SWITCH, "switch", "hv01.lan does not answer", 12)
    recorder.at(21.7).add(Note, level="info", message="hv01.lan answers again")
    recorder.wait_ended(StepId.SWITCH, "switch", "External on Ethernet").action_ended(action, "External on Ethernet")
    recorder.step_ended(StepId.SWITCH, "done", "External on Ethernet, address and DNS as before")
    _image_and_vms(recorder, plan)
    recorder.ended("ok", 0, summary="home is done up to step vm")
    return recorder.events


def interrupted() -> list[Event]:
    """Ctrl-C while VMs are made."""
    recorder, plan = Recorder(), fresh_plan()
    _start(recorder, plan)
    recorder.step(StepId.VM, MACHINES)
    one, two, three, four = plan.of(StepId.VM)
    recorder.at(10).action(one).at(14).action_ended(one, "made and started").action(two)
    recorder.at(18).action_ended(two, "made and started").action(three)
    recorder.at(19).add(
        Note, level="stopping", message="stopping after the actions at work; Ctrl-C again leaves at once"
    )
    recorder.at(22).action_ended(three, "made and started")
    recorder.step_ended(StepId.VM, "stopped", "3 created")
    left = (f"vm: {four.object}", *(f"maintenance: {name}" for name in MACHINES))
    recorder.ended("interrupted", 130, summary="nothing was removed", left=left)
    return recorder.events


def findings() -> list[Event]:
    """A fault before anything was read, with findings."""
    found = [
        ("machines[0].memory", 18, 13, "512 MiB is too little for a control plane", "at least 1698 MiB", "", "error"),
        ("machines[3].rol", 27, 5, "unknown field", "one of name, role", "role", "error"),
        ("machines", 17, 3, "2 control planes survive no more losses than 1", "an odd number", "", "warning"),
    ]
    rows = tuple(
        Finding(
            place=SourceLocation(file="clusters/home.yaml", line=line, column=column),
            path=path,
            problem=problem,
            expected=expected,
            did_you_mean=meant,
            severity=severity,
        )
        for path, line, column, problem, expected, meant, severity in found
    )
    recorder = Recorder()
    recorder.add(
        FaultReported,
        id="P-FILE-FINDINGS",
        message="2 findings in clusters/home.yaml",
        exit=3,
        next_steps=("mend the lines named, then provision config check clusters/home.yaml",),
        findings=rows,
    )
    return recorder.events


def lab_run() -> list[Event]:
    """The good run in a lab at 12 times real time."""
    return [
        replace(event, lab=True, speed=12.0, host="hv01.lab") if isinstance(event, RunStarted) else event
        for event in good_run()
    ]


def rebuild() -> list[Event]:
    """The old machines go first."""
    recorder, making = Recorder(), fresh_plan()
    removing = [
        Action(
            step=StepId.REMOVE,
            verb=Verb.REMOVE,
            object=name,
            why="bears our mark",
            work=RemoveVm(vm_id=f"id-{name}", cluster_id="c0ffee"),
            machine=name,
            destroys="its disk and its folder",
        )
        for name in MACHINES
    ]
    both = replace(making, steps=REBUILD_STEPS, actions=(*removing, *making.actions))
    recorder.run("rebuild").at(2).plan(both)
    recorder.step(StepId.REMOVE, MACHINES)
    for number, action in enumerate(removing):
        recorder.action(action).at(4 + number).action_ended(action, "gone, disk and folder too")
    recorder.step_ended(StepId.REMOVE, "done", "4 removed")
    recorder.step(StepId.VM, MACHINES)
    for number, action in enumerate(making.of(StepId.VM)):
        recorder.action(action).at(12 + 5 * number).action_ended(action, "made and started")
    recorder.step_ended(StepId.VM, "done", "4 created")
    recorder.ended("ok", 0, summary="home is up: 4 nodes Ready")
    return recorder.events


def leaky() -> list[Event]:
    """Others quote secrets back at us."""
    recorder = Recorder()
    recorder.run().at(3).step(StepId.CONFIG, MACHINES)
    recorder.wait(StepId.CONFIG, "config", "Talos looks at it", MACHINES[0])
    recorder.reason(StepId.CONFIG, "config", f"token {SECRET} refused", 1, MACHINES[0])
    recorder.add(
        FaultReported,
        id="P-CONFIG-REFUSED",
        message=f"Talos refuses the config of home-cp-1: token {SECRET}",
        exit=3,
        step=StepId.CONFIG,
        seen=(f"key: {KEY}", "-----BEGIN ED25519 PRIVATE KEY-----\nMC4CAQ\n-----END ED25519 PRIVATE KEY-----"),
    )
    recorder.step_ended(StepId.CONFIG, "failed", f"token {SECRET}")
    recorder.ended("failed", 3, fault="P-CONFIG-REFUSED", summary="nothing was removed")
    return recorder.events


STREAMS: dict[str, Callable[[], list[Event]]] = {
    "good": good_run,
    "kept": kept_run,
    "failing-boot": failing_boot,
    "switch-drop": switch_drop,
    "interrupted": interrupted,
    "findings": findings,
    "lab": lab_run,
    "rebuild": rebuild,
    "leaky": leaky,
}
USUAL = {"maintenance": 55.0, "install": 190.0, "health": 125.0, "run": 480.0}
