"""A cluster that is not what the file says any more: `up` brings it there, and ends only when it is healthy again."""

from __future__ import annotations

from tests.end_to_end.conftest import Desk


def test_more_memory_for_machines_at_work(desk: Desk) -> None:
    desk.good("up", "lab")
    desk.write_cluster(
        machines={"control_planes": {"count": 1, "memory": "5 GiB"}, "workers": {"count": 3, "memory": "5 GiB"}}
    )
    assert desk.run("plan", "lab", "--exit-code").code == 10
    done = desk.good("up", "lab", "--progress", "json")
    told = [
        (e["type"], e["action"]) for e in done.events if e.get("action", "").startswith(("vm/change", "install/wait"))
    ]
    names = ["lab-cp-1", "lab-worker-1", "lab-worker-2", "lab-worker-3"]
    turns = [
        turn
        for name in names
        for turn in (("action_started", f"vm/change/{name}"), ("action_ended", f"install/wait/{name}"))
    ]
    assert [turn for turn in told if turn in turns] == turns, "one after the other, the control plane first"
    status = desk.good("status", "lab", "--json").json
    assert (status["state"], status["drifted"]) == ("healthy", False)
    assert {machine["memory_mib"] for machine in status["machines"]} == {5120}
    assert desk.good("up", "lab", "--json").json["outcome"] == "unchanged"
