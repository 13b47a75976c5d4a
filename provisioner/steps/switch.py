"""Step 2: the External virtual switch. Making it takes the host's network down for a while: the host does it by itself, watched by
itself, and this computer looks again until the host is back. An existing switch is used or refused, never rebound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provisioner.errors import Dropped, Fault, HostRefused, Unreachable
from provisioner.model.cluster import Cluster
from provisioner.model.facts import AdapterFacts, HostState, Observed, SwitchFacts
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import CreateSwitch
from provisioner.ports import Host, SwitchRequest
from provisioner.steps.actions import act, keep, refuse
from provisioner.steps.host_faults import on_host
from provisioner.steps.run_context import Run
from provisioner.steps.waiting import Pending, Ready

WATCHDOG_S = 90
"""After this long without a default gateway and without word from us the host removes the switch again."""


def plan(cluster: Cluster, seen: Observed, *, retry: bool = False) -> Iterator[Action]:
    for name in cluster.hosts:
        yield _for_host(cluster, name, seen.hosts[name], retry=retry)


def _for_host(cluster: Cluster, host: str, state: HostState, *, retry: bool) -> Action:
    want, switch = cluster.switch, state.switch
    if switch is not None and switch.exists:
        fault = _unusable(cluster, host, switch)
        if fault:
            return refuse(StepId.SWITCH, want.name, fault, host)
        shared = ", shared with the management OS" if switch.allow_management_os else ""
        if switch.job is None or switch.job.state != "Running":
            why = f"External on {switch.adapter or switch.adapter_description}{shared}"
            return keep(StepId.SWITCH, want.name, why, host=host)
    fault = _impossible(cluster, host, state, retry=retry)
    if fault:
        return refuse(StepId.SWITCH, want.name, fault, host)
    why = f'External on "{want.adapter}"' + (", shared with the management OS" if want.allow_management_os else "")
    warning = "the host's link drops for up to a minute, and this connection with it"
    return act(StepId.SWITCH, want.name, Verb.CREATE, why, CreateSwitch(), host=host, warning=warning)


def _unusable(cluster: Cluster, host: str, switch: SwitchFacts) -> Fault | None:
    """Why the existing switch of that name cannot be used."""
    want = cluster.switch
    if switch.kind != "External":
        return Fault(
            "P-SWITCH-KIND",
            f'the switch "{switch.name}" on {host} is {switch.kind}',
            expected="an External switch: machines behind any other are not reachable from here",
            seen=(f"{switch.name}: {switch.kind}",),
            next_steps=(f"name another switch in {cluster.file.name}, with adapter: to have it made",),
        )
    if want.adapter and switch.adapter.lower() != want.adapter.lower():
        return Fault(
            "P-SWITCH-BOUND",
            f'the switch "{switch.name}" on {host} is bound to "{switch.adapter}", the file says "{want.adapter}"',
            expected=f'the switch on "{want.adapter}"; we never rebind a switch',
            seen=(f'{switch.name}: External on "{switch.adapter}" ({switch.adapter_description})',),
            next_steps=(f'put adapter: "{switch.adapter}" into {cluster.file.name}, or give the switch another name',),
        )
    return None


def _impossible(cluster: Cluster, host: str, state: HostState, *, retry: bool) -> Fault | None:
    """Why a missing switch cannot be made."""
    want = cluster.switch
    if fault := _fault_of_adapter(cluster, host, state.host.adapters):
        return fault
    if not state.host.is_administrator:
        return Fault(
            "P-HOST-RIGHTS",
            f"making an External switch on {host} needs an administrator",
            expected="membership in Administrators",
            seen=("Hyper-V Administrators only",),
            next_steps=(f'have an administrator run: New-VMSwitch "{want.name}" -NetAdapterName "{want.adapter}"',),
        )
    job = state.switch.job if state.switch else None
    if job is not None and job.state == "Undone" and not retry:
        return Fault(
            "P-SWITCH-UNDONE",
            f'an earlier attempt to make the switch "{want.name}" on {host} was undone by the host',
            expected="the host to keep its network with the switch",
            seen=(job.message or "the host had no default gateway when its watchdog looked",),
            next_steps=("remove the cause: the host's network must work with the switch",),
            resume_command=(f"provision up {cluster.name} --retry-switch",),
        )
    return None


def _fault_of_adapter(cluster: Cluster, host: str, adapters: tuple[AdapterFacts, ...]) -> Fault | None:
    want = cluster.switch
    then = (f'put into {cluster.file.name}: switch: {{name: {want.name}, adapter: "{_best(adapters)}"}}',)
    choices = tuple(_described(adapter) for adapter in adapters)
    if not want.adapter:
        return Fault(
            "P-SWITCH-MISSING",
            f'there is no switch "{want.name}" on {host}, and {cluster.file.name} names no adapter to make it on',
            expected="a switch, or an adapter as the consent to make one",
            seen=choices,
            next_steps=then,
        )
    adapter = next((a for a in adapters if a.name.lower() == want.adapter.lower()), None)
    if adapter is None:
        return Fault(
            "P-SWITCH-NOADAPTER",
            f'{host} has no network adapter "{want.adapter}"',
            expected=f'an adapter named "{want.adapter}"',
            seen=choices,
            next_steps=then,
        )
    if adapter.is_wifi:
        return Fault(
            "P-SWITCH-WIFI",
            f'the adapter "{adapter.name}" on {host} is Wi-Fi',
            expected="a wired adapter: over Wi-Fi machines share the host's MAC address and cannot be told apart",
            seen=choices,
        )
    return None


def _described(adapter: AdapterFacts) -> str:
    kind = "Wi-Fi, a poor choice" if adapter.is_wifi else adapter.link_speed or adapter.media
    return f'"{adapter.name}" ({adapter.description}; {adapter.status}, {kind})'


def _best(adapters: tuple[AdapterFacts, ...]) -> str:
    wired = [a for a in adapters if not a.is_wifi]
    ranked = sorted(wired or adapters, key=lambda a: (a.status != "Up", not a.has_default_route))
    return ranked[0].name if ranked else "Ethernet"


async def apply(action: Action, run: Run) -> str:
    """Starts the detached job, lives through the outage, confirms, and reads back."""
    want = run.cluster.switch
    making = _Making(action, run)
    met = await run.wait(
        action,
        on_host(making.probe, host=action.host),
        what=f"switch {want.name}",
        why="the host rebinds its network adapter; its link comes back by itself",
        every_s=5.0,  # each look is a call over the link that is being rebuilt
        late=lambda late: late.fault(
            "P-SWITCH-LINKLOST",
            f"{action.host} did not come back after the switch {want.name} was made",
            expected="the host reachable again",
            probable_cause="the host has another address now, or its network profile became Public and its firewall closed WinRM",
            next_steps=(
                f"wait two minutes: the host removes the switch by itself after {WATCHDOG_S} s without a gateway",
                f"then: provision status {run.cluster.name}",
                f'at its console, if it stays away: Remove-VMSwitch "{want.name}"',
            ),
        ),
    )
    switch = met.value
    if switch.network_category == "Public":
        run.note(
            "warning", f"the network profile of {want.name} is Public on {action.host}: its firewall may close WinRM"
        )
    if not switch.dns_servers and want.allow_management_os:
        run.note("warning", f"{action.host} has no DNS servers on vEthernet ({want.name})")
    return met.seen


@dataclass
class _Making:
    """Whether the job was begun is remembered; the answer that says so may be lost with the link."""

    action: Action
    run: Run
    begun: bool = False
    job_id: str = ""

    @property
    def host(self) -> Host:
        return self.run.ports.hosts[self.action.host]

    async def probe(self) -> Ready[SwitchFacts] | Pending:
        try:
            if not self.begun:
                await self._begin()
            switch = await self._look()
        except HostRefused as error:
            if error.id == "SwitchJobNotFound":
                return Pending("the host's job ended a moment ago")
            raise
        job = switch.job
        if job is not None and job.state in ("Failed", "Undone"):
            raise _failed(self.action, self.run, switch)
        if switch.exists and (job is None or job.state == "Done"):
            return Ready(switch, f"{switch.kind} on {switch.adapter}, {', '.join(switch.addresses) or 'no address'}")
        if job is None:
            self.begun = False  # the request itself was lost
            return Pending("the host knows of no such job: asking again")
        return Pending("the host's job is at work" if not switch.exists else "the switch is there, its job is not done")

    async def _look(self) -> SwitchFacts:
        """The switch; confirmed to the host's watchdog where its job is at work."""
        name = self.run.cluster.switch.name
        switch = await self.host.find_switch(name)
        job = switch.job
        if switch.exists and job is not None and job.state == "Running":
            return await self.host.confirm_switch(name=name, job_id=self.job_id or job.id)
        return switch

    async def _begin(self) -> None:
        run, want = self.run, self.run.cluster.switch
        try:
            job = await self.host.new_switch(
                SwitchRequest(
                    name=want.name,
                    adapter=want.adapter,
                    allow_management_os=want.allow_management_os,
                    vlan=want.vlan,
                    mark=run.mark_of(f"switch:{want.name}"),
                    watchdog_s=WATCHDOG_S,
                    retry=run.options.retry_switch,
                )
            )
            self.job_id = job.id
        except (Dropped, Unreachable):
            pass  # the answer was lost with the link: the read tells
        except HostRefused as refusal:
            if refusal.id != "SwitchJobRunning":  # an earlier run began it; go on with that job
                raise
        self.begun = True
        message = f"making {want.name}; {self.action.host} drops its link now, this is expected"
        run.note("info", message, step=StepId.SWITCH)


def _failed(action: Action, run: Run, switch: SwitchFacts) -> Fault:
    job, want = switch.job, run.cluster.switch
    assert job is not None
    if job.state == "Undone":
        return Fault(
            "P-SWITCH-UNDONE",
            f"the host removed the switch {want.name} again",
            expected="a default gateway on the new switch",
            seen=(job.message or f"no default gateway for {WATCHDOG_S} s",),
            next_steps=("remove the cause: DHCP, port security, the adapter's driver",),
            resume_command=(f"provision up {run.cluster.name} --retry-switch",),
        )
    return Fault(
        "P-SWITCH-FAILED",
        f"Hyper-V could not make the switch {want.name} on {action.host}",
        expected=f'an External switch on "{want.adapter}"',
        seen=(f"{job.error_id}: {job.message}",),
    )
