"""Golden screens: recorded runs as each view shows them, at the widths people have."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyte
import pytest
from syrupy.assertion import SnapshotAssertion

from provisioner.errors import Fault
from provisioner.faults import FAULTS
from provisioner.model.events import (
    ActionEnded,
    Event,
    FaultReported,
    Note,
    StepEnded,
    StepStarted,
    WaitEnded,
    WaitProgressed,
    WaitStarted,
    from_json,
)
from provisioner.model.plan import Action, Plan, Verb
from provisioner.model.status import FinalObject, MachineStatus, StatusReport
from provisioner.model.steps import STEP, StepId
from provisioner.model.work import RemoveFolder, RemoveVm
from provisioner.views import make_view
from provisioner.views.console import NARROWEST, Console, Span, cells, line
from provisioner.views.down import render_down
from provisioner.views.error_panel import render_error_panel, render_explain, render_fault_list
from provisioner.views.live import LiveView
from provisioner.views.plain import REPEAT_S, PlainView
from provisioner.views.plan import render_plan
from provisioner.views.run_state import RunState
from provisioner.views.status import render_status
from provisioner.views.table import TableOptions, done_of, render_table
from tests.docs import recording
from tests.docs.recording import fold
from tests.unit.views.streams import DOWN_STEPS, MACHINES, SECRETS, STREAMS, UP_STEPS, USUAL, cluster, fresh_plan

WIDTHS = (80, 100, 140)


class Time:
    """Real seconds as a test moves them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def plain(
    events: Sequence[Event], *, width: int = 100, verbosity: int = 0, color: bool = False, ascii: bool = False
) -> str:
    """What both streams get, in order."""
    both = io.StringIO()
    console = Console(width=width, color=color, ascii=ascii)
    view = PlainView(console=console, verbosity=verbosity, out=both, err=both)
    for event in events:
        view.emit(event)
    view.close()
    return both.getvalue()


def on_terminal(events: Sequence[Event], *, width: int, height: int = 50, color: bool = False) -> tuple[str, int]:
    """What a terminal shows at the end, and how many bytes it took."""
    terminal = pyte.Screen(width, height)
    both = io.StringIO()
    moving = Time()
    console = Console(width=width, color=color)
    view = LiveView(console=console, verbosity=0, out=both, err=both, usual=USUAL, monotonic=moving)
    for event in events:
        moving.now += 1.0
        view.emit(event)
    view.close()
    written = both.getvalue()
    pyte.Stream(terminal).feed(written.replace("\r\n", "\n").replace("\n", "\r\n"))
    return "\n".join(row.rstrip() for row in terminal.display).rstrip() + "\n", len(written)


def pictures(events: Sequence[Event]) -> Iterator[RunState]:
    """The picture after each event."""
    state = RunState()
    for event in events:
        state = state.apply(event)
        yield state


class Resizable(io.StringIO):
    """A terminal's side of stderr, whose user pulls at the window."""

    def fileno(self) -> int:
        return 99


# --- runs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", STREAMS)
def test_plain(name: str, width: int, screen: SnapshotAssertion) -> None:
    assert plain(STREAMS[name](), width=width) == screen


@pytest.mark.parametrize("name", ["good", "failing-boot"])
def test_plain_with_all_details(name: str, screen: SnapshotAssertion) -> None:
    assert plain(STREAMS[name](), verbosity=2) == screen


@pytest.mark.parametrize("name", STREAMS)
def test_plain_ascii(name: str, screen: SnapshotAssertion) -> None:
    shown = plain(STREAMS[name](), ascii=True)
    assert shown.isascii()
    assert shown == screen


@pytest.mark.parametrize("name", ["good", "failing-boot", "findings"])
def test_plain_in_colour(name: str, screen: SnapshotAssertion) -> None:
    """Colour repeats the words: without its codes the text is the same."""
    events = STREAMS[name]()
    coloured = plain(events, color=True)
    assert coloured.replace("\x1b", "<ESC>") == screen
    assert without_codes(coloured) == plain(events)


@pytest.mark.parametrize("name", ["good", "failing-boot", "interrupted"])
def test_quiet(name: str, screen: SnapshotAssertion) -> None:
    assert plain(STREAMS[name](), verbosity=-1) == screen


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", STREAMS)
def test_live_at_the_end(name: str, width: int, screen: SnapshotAssertion) -> None:
    shown, _ = on_terminal(STREAMS[name](), width=width)
    assert shown == screen


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("name", "until"),
    [
        ("good", "no address yet"),
        ("failing-boot", "port 50000 refuses"),
        ("switch-drop", "drops its link now"),
        ("interrupted", "stopping after"),
        ("lab", "97 of 118 MB"),
    ],
)
def test_live_on_the_way(name: str, until: str, width: int, screen: SnapshotAssertion) -> None:
    events = STREAMS[name]()
    texts = [json.dumps(event.to_json()) for event in events]
    last = next(index for index, text in enumerate(texts) if until in text)
    shown, _ = on_terminal(events[: last + 1], width=width)
    assert shown == screen


@pytest.mark.parametrize(("before", "after"), [(100, 70), (80, 140), (100, 50)])
def test_a_terminal_that_is_resized_gets_a_fitting_table(
    before: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = os.terminal_size((before, 50))
    monkeypatch.setattr(os, "get_terminal_size", lambda _number: size)
    err, moving, events = Resizable(), Time(), STREAMS["good"]()
    view = LiveView(console=Console(width=before), verbosity=0, out=err, err=err, usual=USUAL, monotonic=moving)
    half = len(events) // 2
    for event in events[:half]:
        moving.now += 1.0
        view.emit(event)
    terminal = pyte.Screen(before, 50)
    pyte.Stream(terminal).feed(err.getvalue())
    painted = [row.rstrip() for row in terminal.display[: terminal.cursor.y]]
    broken = sum(max(1, -(-len(row) // after)) for row in painted)
    begun, size = err.tell(), os.terminal_size((after, 50))
    moving.now += 1.0
    view.tick()
    written = err.getvalue()[begun:]
    assert written.startswith(f"\x1b[{broken}A\r\x1b[J"), "all rows that the old lines take by now are wiped"
    lines = written.removeprefix(f"\x1b[{broken}A\r\x1b[J").replace("\x1b[K", "").split("\r\n")
    assert len(lines) > 10
    assert max(map(cells, lines)) <= max(after, NARROWEST)
    for event in events[half:]:
        moving.now += 1.0
        view.emit(event)
    assert "home is up: 4 nodes Ready" in err.getvalue()


def test_small_terminals_list_what_is_at_work(screen: SnapshotAssertion) -> None:
    events = STREAMS["failing-boot"]()
    last = next(index for index, event in enumerate(events) if "port 50000" in json.dumps(event.to_json()))
    picture = fold(events[: last + 1])
    console = Console(width=80)
    lines = render_table(picture, console, TableOptions(now_s=picture.at_s, usual=USUAL, height=16))
    assert len(lines) < 16
    assert console.render(lines) == screen


def test_a_hundred_machines_show_the_slowest() -> None:
    events = STREAMS["good"]()
    start = next(event for event in events if getattr(event, "step", None) is StepId.MAINTENANCE)
    names = tuple(f"n-{number}" for number in range(100))
    assert isinstance(start, StepStarted)
    wide: list[Event] = [events[0], replace(start, machines=names)]
    wait = next(event for event in events if isinstance(event, WaitStarted) and event.step is StepId.MAINTENANCE)
    done = next(event for event in events if isinstance(event, WaitEnded) and event.step is StepId.MAINTENANCE)
    wide += [replace(wait, machine=name) for name in names] + [replace(done, machine=name) for name in names[:95]]
    picture = fold(wide)
    shown = Console(width=100).render(render_table(picture, Console(width=100), TableOptions(now_s=picture.at_s)))
    assert "95 of 100" in shown
    assert [name for name in names[95:] if f" {name} " in shown] == list(names[95:])
    assert "and 92 more" in shown


def test_yellow_beyond_twice_the_usual_time() -> None:
    events = STREAMS["failing-boot"]()
    last = next(index for index, event in enumerate(events) if "port 50000" in json.dumps(event.to_json()))
    picture = fold(events[: last + 1])
    console = Console(width=100, color=True)
    begun = picture.steps[StepId.MAINTENANCE].begun_s

    def shown(after_s: float) -> str:
        return console.render(render_table(picture, console, TableOptions(now_s=begun + after_s, usual=USUAL)))

    assert "\x1b[33mVM running" not in shown(100)
    assert "\x1b[33mVM running" in shown(120)


# --- what is true of every run ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("width", [60, *WIDTHS])
@pytest.mark.parametrize("ascii", [False, True])
def test_no_line_is_wider_than_the_paper(name: str, width: int, ascii: bool) -> None:
    events = STREAMS[name]()
    shown = plain(events, width=width, verbosity=2, ascii=ascii)
    for picture in pictures(events):
        console = Console(width=width, ascii=ascii)
        shown += console.render(
            render_table(picture, console, TableOptions(now_s=picture.at_s, usual=USUAL, verbosity=1))
        )
    assert [line for line in shown.splitlines() if cells(line) > width] == []
    assert [line for line in shown.splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize("name", STREAMS)
def test_nothing_red_unless_something_failed(name: str) -> None:
    events = STREAMS[name]()
    failed = any(isinstance(event, FaultReported) for event in events)
    shown = plain(events, color=True, verbosity=2)
    for picture in pictures(events):
        console = Console(width=100, color=True)
        shown += console.render(
            render_table(picture, console, TableOptions(now_s=picture.at_s, usual=USUAL, verbosity=2))
        )
    assert ("\x1b[31m" in shown) == failed


@pytest.mark.parametrize("width", [60, *WIDTHS])
@pytest.mark.parametrize("name", STREAMS)
def test_no_secret_on_any_screen(name: str, width: int) -> None:
    """Nor a part of one, wherever a line is wrapped."""
    events = STREAMS[name]()
    shown = plain(events, width=width, verbosity=2) + on_terminal(events, width=width)[0]
    out = io.StringIO()
    view = make_view("json", console=Console(), out=out)
    for event, picture in zip(events, pictures(events), strict=True):
        view.emit(event)
        console = Console(width=width)
        shown += console.render(render_table(picture, console, TableOptions(now_s=picture.at_s, verbosity=2)))
    shown += out.getvalue()
    assert [secret for secret in SECRETS if secret in shown] == []
    assert ("«secret»" in shown) == (name == "leaky")


def test_a_rebuild_counts_removals_then_machines_made() -> None:
    events = STREAMS["rebuild"]()
    shown = [
        done_of(fold(events[:index]).steps[event.step])
        for index, event in enumerate(events, start=1)
        if isinstance(event, ActionEnded)
    ]
    assert shown == [f"{n} of 4 {word}" for word in ("removed", "made") for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "leaky"])
def test_every_wait_shows_its_bound_and_reason(name: str) -> None:
    events = STREAMS[name]()
    for index, event in enumerate(events):
        if not isinstance(event, WaitProgressed):
            continue
        picture = fold(events[: index + 1])
        console = Console(width=140)
        shown = console.render(render_table(picture, console, TableOptions(now_s=picture.at_s)))
        assert event.reason in shown
        assert "of at most" in shown
        assert event.reason in said_again(events[: index + 1])


def said_again(events: Sequence[Event]) -> str:
    """What plain lines say of a run that has been silent for a minute."""
    both, moving = io.StringIO(), Time()
    view = PlainView(console=Console(width=0), verbosity=0, out=both, err=both, monotonic=moving)
    for event in events:
        view.emit(event)
    before = both.tell()
    moving.now += REPEAT_S
    view.tick()
    return both.getvalue()[before:]


def test_a_first_up_is_few_plain_lines() -> None:
    """Of four machines, from the first line to the commands at the end: one event a line, none that tells no time, each short waits unsaid."""
    lines = plain(recording.read(recording.GOOD), width=0).splitlines()
    assert len(lines) <= 45
    assert [line for line in lines if line.endswith(", 0 s") or "; 0 s of" in line] == []
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines[:-4]), "no line is continued"
    assert {STEP[step].title for step in UP_STEPS} <= {
        match[1] for line in lines if (match := re.search(r"\] (.*?): ", line))
    }


def test_the_waits_of_a_step_are_told_now_and_then() -> None:
    def progressed(machine: str, elapsed_s: float) -> WaitProgressed:
        return WaitProgressed(
            t=datetime(2026, 5, 23, tzinfo=UTC),
            at_s=elapsed_s,
            step=StepId.MAINTENANCE,
            what="maintenance",
            reason=f"no address {'x' * int(elapsed_s)}",
            elapsed_s=elapsed_s,
            bound_s=300,
            tries=1,
            machine=machine,
        )

    both = io.StringIO()
    view = PlainView(console=Console(width=0), verbosity=0, out=both, err=both)
    view.emit(STREAMS["good"]()[0])
    told = []
    for second in range(40):
        before = both.tell()
        view.emit(progressed("home-cp-1" if second % 2 else "home-worker-1", float(second)))
        told += [second] if both.tell() > before else []
    assert told == [3, 18, 33]


@pytest.mark.parametrize("name", STREAMS)
def test_no_line_without_an_event(name: str) -> None:
    """Each event adds whole lines or none; nothing is written between events."""
    both = io.StringIO()
    view = PlainView(console=Console(), verbosity=2, out=both, err=both)
    for event in STREAMS[name]():
        before = both.tell()
        view.tick()
        assert both.tell() == before
        view.emit(event)
        assert both.getvalue() == "" or both.getvalue().endswith("\n")


def test_a_silent_minute_is_broken_by_what_is_waited_for() -> None:
    events = STREAMS["failing-boot"]()
    last = next(index for index, event in enumerate(events) if "port 50000" in json.dumps(event.to_json()))
    both, moving = io.StringIO(), Time()
    view = PlainView(console=Console(width=140), verbosity=0, out=both, err=both, monotonic=moving)
    for event in events[: last + 1]:
        view.emit(event)
    before = both.tell()
    moving.now += 59
    view.tick()
    assert both.tell() == before
    moving.now += 1
    view.tick()
    said = both.getvalue()[before:]
    assert said == (
        "12:07:19 [ 6/12] Boot: 3 of 4 in maintenance; home-worker-3: VM running, port 50000 refuses; 2m12s of at most 5m\n"
    )
    moving.now += 30
    view.tick()
    assert both.getvalue()[before:] == said


def test_times_of_a_lab_are_the_wall_s() -> None:
    events = STREAMS["lab"]()
    last = next(index for index, event in enumerate(events) if "97 of 118" in json.dumps(event.to_json()))
    both, moving = io.StringIO(), Time()
    view = PlainView(console=Console(width=140), verbosity=0, out=both, err=both, monotonic=moving)
    for event in events[: last + 1]:
        view.emit(event)
    before = both.tell()
    moving.now += 60
    view.tick()
    assert "97 of 118 MB; 1m02s of at most 2m30s" in both.getvalue()[before:]


@pytest.mark.parametrize("name", STREAMS)
def test_live_writes_little(name: str) -> None:
    """Lines that did not change are not written again."""
    events = STREAMS[name]()
    _, written = on_terminal(events, width=100)
    assert written < 450 * len(events) + 2500


def test_live_paints_at_most_eight_times_a_second() -> None:
    both, moving = io.StringIO(), Time()
    view = LiveView(console=Console(), verbosity=0, out=both, err=both, usual={}, monotonic=moving)
    events = STREAMS["good"]()
    view.emit(events[0])
    before = both.tell()
    for event in events[1:20]:
        moving.now += 0.005
        view.emit(event)
    assert both.tell() == before
    moving.now += 0.125
    view.tick()
    assert both.tell() > before


def test_live_time_goes_on_between_events() -> None:
    both, moving = io.StringIO(), Time()
    view = LiveView(console=Console(), verbosity=0, out=both, err=both, usual={}, monotonic=moving)
    for event in STREAMS["lab"]()[:5]:
        view.emit(event)
    moving.now += 2
    view.tick()
    assert "2 s    Ctrl-C" in both.getvalue()  # 1.8 s of the lab are 0.15 s, and 2 s more


def test_what_others_say_cannot_steer_the_terminal() -> None:
    fault = Fault("P-HOST-REFUSED", "New-VM: \x1b[2Jgone\r\nsecond line", seen=["\x07bell"])
    shown = Console(width=80).render(render_error_panel(fault, Console(width=80)))
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\r" not in shown


# --- JSON Lines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "leaky"])
def test_json_lines(name: str) -> None:
    events = STREAMS[name]()
    out, err = io.StringIO(), io.StringIO()
    view = make_view("json", console=Console(), out=out, err=err)
    for event in events:
        view.emit(event)
    final = FinalObject(command="up", cluster="home", outcome="ok", exit=0, elapsed_s=1.0, summary="done")
    view.close(final)
    *lines, last = [json.loads(line) for line in out.getvalue().splitlines()]
    assert err.getvalue() == ""
    assert lines[0]["schema"] == "provision/events/1"
    assert [from_json(line) for line in lines] == [from_json(json.loads(json.dumps(e.to_json()))) for e in events]
    assert last == json.loads(json.dumps(final.to_json()))
    assert last["schema"] == "provision/result/1"


def test_result_on_stdout_conversation_on_stderr() -> None:
    for kind in ("live", "plain"):
        out, err = io.StringIO(), io.StringIO()
        view = make_view(kind, console=Console(), out=out, err=err)
        for event in STREAMS["good"]():
            view.emit(event)
        view.close()
        assert "home is up: 4 nodes Ready" in out.getvalue(), kind
        assert "Check host" not in out.getvalue(), kind
        assert "Check host" in err.getvalue(), kind


def test_a_failure_leaves_stdout_empty() -> None:
    for kind in ("live", "plain", "none"):
        out, err = io.StringIO(), io.StringIO()
        view = make_view(kind, console=Console(), out=out, err=err)
        for event in STREAMS["failing-boot"]():
            view.emit(event)
        view.close()
        assert out.getvalue() == "", kind
        assert err.getvalue().count("P-BOOT-NOMAINT   ") == 1, kind
        assert err.getvalue().rstrip().endswith("exit 5"), kind


def test_auto_is_live_on_a_terminal_alone() -> None:
    assert isinstance(make_view("auto", console=Console(), terminal=True), LiveView)
    assert isinstance(make_view("auto", console=Console(), terminal=False), PlainView)
    assert isinstance(make_view("auto", console=Console(), terminal=True, verbosity=-1), PlainView)


# --- screens of their own ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_plan_of_everything(width: int, screen: SnapshotAssertion) -> None:
    assert render_plan(fresh_plan(), cluster(), read_s=1.84, console=Console(width=width), usual=USUAL) == screen


@pytest.mark.parametrize("width", WIDTHS)
def test_plan_with_danger(width: int, screen: SnapshotAssertion) -> None:
    refusal = Fault("P-VM-FOREIGN", "home-worker-3 exists and does not bear our mark")
    actions = (
        *fresh_plan(switch_there=False).actions[:2],
        Action(
            step=StepId.VM,
            verb=Verb.CHANGE,
            object=MACHINES[1],
            machine=MACHINES[1],
            why="memory 4 GiB -> 8 GiB",
            warning="stops the node for about a minute",
        ),
        Action(
            step=StepId.VM,
            verb=Verb.REPLACE,
            object=MACHINES[2],
            machine=MACHINES[2],
            why="generation 1 -> 2",
            destroys="its disk (60 GiB)",
        ),
        Action(
            step=StepId.VM,
            verb=Verb.REFUSE,
            object=MACHINES[3],
            machine=MACHINES[3],
            why="not ours",
            fault=refusal,
        ),
    )
    shown = render_plan(
        Plan(cluster="home", steps=UP_STEPS, actions=actions), cluster(), read_s=0.4, console=Console(width=width)
    )
    assert shown == screen


def test_plan_of_nothing(screen: SnapshotAssertion) -> None:
    actions = tuple(replace(action, verb=Verb.KEEP, why="as the file says") for action in fresh_plan().actions)
    assert (
        render_plan(Plan(cluster="home", steps=UP_STEPS, actions=actions), cluster(), read_s=0.9, console=Console())
        == screen
    )


def test_plan_of_waits_alone() -> None:
    keeps = [replace(action, verb=Verb.KEEP, why="as the file says") for action in fresh_plan().actions]
    wait = replace(keeps[-2], verb=Verb.WAIT, why="4 nodes Ready")
    plan = Plan(cluster="home", steps=UP_STEPS, actions=(*keeps[:-2], wait, keeps[-1]))
    shown = render_plan(plan, cluster(), read_s=0.9, console=Console())
    assert shown.endswith("\nNothing to change; up would wait for Kubernetes.\n")


def removal() -> Plan:
    vms = [
        Action(
            step=StepId.REMOVE,
            verb=Verb.REMOVE,
            object=name,
            machine=name,
            why="bears our mark",
            work=RemoveVm(vm_id=f"id-{name}", cluster_id="c0ffee"),
            destroys="its disk and its folder",
        )
        for name in MACHINES
    ]
    contexts = Action(step=StepId.ACCESS, verb=Verb.REMOVE, object="admin@home", why="in your kubeconfig")
    kept = [
        Action(step=StepId.SWITCH, verb=Verb.KEEP, object="LAB", why="kept unless --switch"),
        Action(
            step=StepId.IMAGE,
            verb=Verb.KEEP,
            object="talos-v1.11.5-376567988ad3-metal-amd64.iso",
            why="also mounted by test-cp-1",
        ),
        Action(step=StepId.SECRETS, verb=Verb.KEEP, object="secrets", why="~/.provision/home/secrets.yaml"),
    ]
    return Plan(cluster="home", steps=DOWN_STEPS, actions=(*vms, contexts, *kept))


def drawn_down(plan: Plan, width: int) -> str:
    console = Console(width=width)
    return console.render(render_down(plan, cluster(), console))


@pytest.mark.parametrize("width", WIDTHS)
def test_down(width: int, screen: SnapshotAssertion) -> None:
    assert drawn_down(removal(), width) == screen


def test_down_of_what_was_left() -> None:
    """Its path is long: the machine that left it stands before."""
    path = "C:\\ProgramData\\Microsoft\\Windows\\Virtual Hard Disks\\home-worker-1"
    work = RemoveFolder(path=path, cluster_id="c0ffee", machine="home-worker-1")
    actions = [
        Action(step=StepId.REMOVE, verb=Verb.REMOVE, object=path, work=work, why="left", destroys=destroys)
        for destroys in (f"the disk in {path}, which takes 3.1 GiB", "")
    ]
    shown = drawn_down(Plan(cluster="home", steps=DOWN_STEPS, actions=tuple(actions)), 140)
    assert f"left of home-worker-1  the disk in {path}, which takes 3.1 GiB" in shown
    assert f"left of home-worker-1  the folder {path}" in shown


def test_down_of_nothing() -> None:
    gone = Action(step=StepId.SWITCH, verb=Verb.KEEP, object="LAB", why="not there", absent=True)
    plan = Plan(cluster="home", steps=DOWN_STEPS, actions=(gone,))
    assert drawn_down(plan, 100) == "home on hv01.lan: nothing of it is there.\n"


def report(**changes: Any) -> StatusReport:
    rows = [
        MachineStatus(
            name=name,
            role="control plane" if "cp" in name else "worker",
            host="hv01.lan",
            vm="Running",
            address=f"10.0.40.{11 + 5 * number}",
            stage="running",
            ready=number != 2,
            talos="v1.11.5",
            kubernetes="v1.34.1",
            cpus=4,
            memory_mib=4096,
            unmet=("nodeReady: node is not ready (2m)",) if number == 2 else (),
            drift=("memory 6 GiB, file says 8 GiB",) if number == 3 else (),
        )
        for number, name in enumerate(MACHINES)
    ]
    whole = StatusReport(
        cluster="home",
        file="clusters/home.yaml",
        hosts=("hv01.lan",),
        lab_speed=None,
        state="not healthy",
        machines=tuple(rows),
        etcd_members=1,
        control_planes=1,
        switch="switch LAB, External on Ethernet",
        access="kubeconfig current, talosconfig current",
        read_utc=datetime(2026, 5, 24, 3, 9, tzinfo=UTC),
        read_s=0.84,
    )
    return replace(whole, **changes)


def drawn_status(told: StatusReport, width: int) -> str:
    console = Console(width=width)
    return console.render(render_status(told, console))


@pytest.mark.parametrize("width", WIDTHS)
def test_status(width: int, screen: SnapshotAssertion) -> None:
    assert drawn_status(report(), width) == screen


def test_status_of_nothing(screen: SnapshotAssertion) -> None:
    assert drawn_status(report(state="absent", machines=()), 80) == screen


def test_status_when_the_host_does_not_answer(screen: SnapshotAssertion) -> None:
    rows = tuple(replace(row, vm=None, cpus=None, memory_mib=None) for row in report().machines)
    unread = ("P-HOST-UNREACHABLE: hv01.lan:5986 does not answer",)
    assert drawn_status(report(machines=rows, host_unread=unread, switch="", lab_speed=12.0), 80) == screen


@pytest.mark.parametrize("id", sorted(FAULTS))
def test_explain_fits_and_says_all(id: str) -> None:
    console = Console(width=80)
    shown = console.render(render_explain(FAULTS[id], console))
    assert max(map(cells, shown.splitlines())) <= 80
    flat = " ".join(shown.split())
    for text in (id, FAULTS[id].title, FAULTS[id].why, FAULTS[id].remedy, f"exit code {int(FAULTS[id].exit)}"):
        assert " ".join(text.split()) in flat


def test_list_of_faults() -> None:
    shown = Console(width=100).render(render_fault_list(Console(width=100)))
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("P-")] == list(FAULTS)


def without_codes(text: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9]+m", "", text)


def test_an_interrupt_between_two_steps_says_before_which() -> None:
    events = STREAMS["interrupted"]()
    index = next(
        number for number, event in enumerate(events) if isinstance(event, StepEnded) and event.outcome == "stopped"
    )
    stopped = events[index]
    assert isinstance(stopped, StepEnded)
    events[index] = replace(stopped, outcome="done")
    done = {StepId.SWITCH, StepId.IMAGE, StepId.SECRETS}
    begun = [event for event in STREAMS["good"]() if getattr(event, "step", None) in done]
    shown = plain([*events[:2], *begun, *events[2:]])
    assert "Stopped before step 6 of 12 after 22.0 s." in shown


def test_an_announcement_that_belongs_to_no_step_does_not_stay() -> None:
    begun = STREAMS["good"]()[0]
    told = Note(level="info", message="hv01.lan answers again", t=begun.t, at_s=2.0)
    picture, console = fold([begun, told]), Console(width=100)

    def shown(now_s: float) -> str:
        return console.render(render_table(picture, console, TableOptions(now_s=now_s)))

    assert "answers again" in shown(5.0)
    assert "answers again" not in shown(15.0)


def test_long_words_are_cut_at_their_joints() -> None:
    address = "https://github.com/siderolabs/talos/releases/download/v1.11.5/metal-amd64.iso"
    lines = [each.text.strip() for each in Console(width=60).wrapped(line(address), indent=4)]
    assert "".join(lines) == address
    assert [each[-1] for each in lines[:-1]] == ["/"]
    assert [len(each.text) for each in Console(width=60).wrapped(line("x" * 100), indent=4)] == [60, 44]


def test_parts_stand_beside_each_other_as_far_as_they_fit() -> None:
    parts = [Span("one" * 5), Span("two" * 5), Span("three" * 5)]
    assert [each.text for each in Console(width=0).joined(parts, indent=2)] == ["    ".join(p.text for p in parts)]
    assert len(Console(width=40).joined(parts, indent=2)) == 2
    assert Console().joined([], indent=0)[0].text == ""
