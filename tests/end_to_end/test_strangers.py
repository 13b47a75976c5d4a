"""Somebody else's Talos machines in the same LAN, one with a MAC address of ours: not a byte of a config reaches them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.end_to_end.conftest import Desk


def strangers(desk: Desk) -> dict[str, dict[str, Any]]:
    return {machine["name"]: machine for machine in desk.ask_lab("status")["foreign"]}


def test_not_a_byte_of_a_config_reaches_them(desk: Desk) -> None:
    desk.good("lab", "start")
    plan = desk.good("plan", "lab", "--json").json
    macs = {a["object"]: a["why"].split(", ")[-1].replace("-", "") for a in plan["actions"] if a["step"] == "vm"}
    found = strangers(desk)
    assert set(found) == {"neighbour", "twin"}
    assert found["twin"]["mac"] == macs["lab-worker-3"], "the stranger has a MAC address of ours"

    assert desk.good("up", "lab", "--json").json["outcome"] == "ok"

    assert {name: machine["received"] for name, machine in strangers(desk).items()} == {"neighbour": 0, "twin": 0}


@pytest.mark.long
def test_a_vm_that_never_boots_is_no_stranger_s_fault(desk: Desk) -> None:
    """Our own machine never comes up, and a stranger with its MAC address answers. It is told apart by its UUID, is named, gets nothing, and is
    not blamed: nothing runs in our VM.
    """
    desk.write_cluster(speed=200)
    desk.good("lab", "start")
    desk.ask_lab("fault", name="vm-never-boots", place="lab-worker-3")
    done = desk.run("up", "lab", "--json")
    fault = done.json["fault"]
    assert (fault["id"], done.code) == ("P-BOOT-NOMAINT", 5), done.out
    assert "heartbeat NoContact" in fault["seen"][0]
    assert any("UUID" in line for line in fault["seen"])
    assert {machine["received"] for machine in strangers(desk).values()} == {0}
