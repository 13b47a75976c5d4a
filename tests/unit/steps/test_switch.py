"""The step of the switch: lost answers, a job that ends in between, a host that refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from provisioner.errors import Dropped, Fault, HostRefused, Rejected, Unreachable
from provisioner.model.facts import SwitchFacts, SwitchJobFacts
from provisioner.model.plan import Action
from provisioner.model.steps import StepId
from provisioner.steps import switch
from tests.unit.steps.running import run_of
from tests.unit.steps.world import HOST, cluster_of, observed_of, switch_of

CLUSTER = cluster_of({})
ACTION = Action(step=StepId.SWITCH, verb="create", object="LAB", host=HOST, kind="create", why="")
NOTHING = SwitchFacts(name="LAB", exists=False)


def job(state: str) -> dict[str, Any]:
    return {"job": {"id": "j1", "state": state}}


class Host:
    """Gives its answers in turn; an exception among them is raised, and the last one stays."""

    name = HOST

    def __init__(self, *looks: SwitchFacts | Exception, begin: Exception | None = None) -> None:
        self.looks = list(looks)
        self.begin = begin
        self.confirm: Callable[[], SwitchFacts] = lambda: switch_of(job("Done"))
        self.begun = 0

    async def new_switch(self, **_: Any) -> SwitchJobFacts:
        self.begun += 1
        if self.begin is not None and self.begun == 1:
            raise self.begin
        return SwitchJobFacts(id="j1", kind="New", state="Running")

    async def find_switch(self, _name: str) -> SwitchFacts:
        answer = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def confirm_switch(self, **_: Any) -> SwitchFacts:
        return self.confirm()


async def made(host: Host) -> str:
    run, _ = run_of(CLUSTER, observed_of({}, CLUSTER), host=host)
    return await switch.apply(ACTION, run)


async def test_a_request_that_was_lost_itself_is_made_again() -> None:
    host = Host(NOTHING, switch_of(job("Running")), begin=Unreachable("no route"))
    assert "External on Ethernet" in await made(host)
    assert host.begun == 2


async def test_a_lost_answer_is_not_asked_for_twice() -> None:
    host = Host(switch_of(job("Running")), begin=Dropped("reset"))
    await made(host)
    assert host.begun == 1


async def test_a_job_that_ends_before_it_is_confirmed_is_looked_at_again() -> None:
    host = Host(switch_of(job("Running")), switch_of(job("Done")))

    def gone() -> SwitchFacts:
        raise HostRefused(id="SwitchJobNotFound", message="no such job", function="Confirm-TalosSwitch")

    host.confirm = gone
    assert "External on Ethernet" in await made(host)


async def test_a_job_of_an_earlier_run_is_gone_on_with() -> None:
    busy = HostRefused(id="SwitchJobRunning", message="at work", function="New-TalosSwitch")
    host = Host(switch_of(job("Running")), begin=busy)
    await made(host)
    assert host.begun == 1


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (Rejected("no"), "P-HOST-SIGNIN"),
        (HostRefused(id="NotAdministrator", message="no", function="New-TalosSwitch"), "P-HOST-RIGHTS"),
        (Unreachable("silence"), "P-SWITCH-LINKLOST"),
    ],
)
async def test_what_ends_it(error: Exception, fault: str) -> None:
    with pytest.raises(Fault) as caught:
        await made(Host(error))
    assert caught.value.id == fault
