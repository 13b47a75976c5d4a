"""The bench itself: its arithmetic, on a small log made by hand. No test asserts a time of the product."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.critical_path import Moment, critical_path, read_log
from tests.bench.figures import HEAVY, MEASURES, Samples
from tests.bench.limits import Figure, judge, read_limits

DISK = "D:\\VMs\\cp\\cp.vhdx"
CP = "0001"

LOG = [
    [0.1, "host_booted", "hv01", {}],
    [2.0, "switch_job", "LAB", {}],
    [3.5, "switch_bind", "LAB", {"seconds": 10.0}],
    [13.5, "switch_settled", "LAB", {}],
    [27.5, "download", "https://example.org/talos.iso", {"seconds": 4.0}],
    [29.6, "image_hashed", "D:\\talos.iso.partial", {"seconds": 2.0}],
    [32.0, "cmdlet", "cp", {"operation": "new-vm", "seconds": 1.2}],
    [32.0, "vm_new", CP, {"name": "cp"}],
    [32.3, "cmdlet", DISK, {"operation": "vhd", "seconds": 0.3}],
    [32.5, "vm_starting", CP, {"name": "cp"}],
    [32.75, "vm_running", CP, {"name": "cp"}],
    [32.75, "power_on", CP, {"cause": []}],
    [47.75, "addressed", CP, {"cause": [f"power_on/{CP}"]}],
    [52.75, "maintenance", CP, {"cause": [f"power_on/{CP}"]}],
    [53.75, "time_synced", CP, {"cause": [f"maintenance/{CP}"]}],
    [60.0, "config_applied", CP, {"cause": [f"maintenance/{CP}"]}],
    [90.0, "install_done", CP, {"cause": [f"config_applied/{CP}"]}],
    [105.0, "apid_open", CP, {"cause": [f"install_done/{CP}"]}],
    [106.0, "time_synced", CP, {"cause": [f"install_done/{CP}"]}],
    [120.0, "bootstrap", CP, {"cause": [f"apid_open/{CP}"]}],
    [121.0, "cmdlet", CP, {"operation": "dvd", "seconds": 0.25}],
    [126.0, "etcd_up", CP, {"cause": [f"bootstrap/{CP}"]}],
]
SWITCH, IMAGE, VM, BOOT, INSTALL, ETCD = 1.5 + 10.0, 4.0 + 2.0, 1.2 + 0.3 + 0.25, 20.0, 30.0 + 16.0, 6.0


def test_only_forced_lengths_count() -> None:
    path = critical_path(read_log(LOG))
    assert path[-1].total_s == pytest.approx(SWITCH + IMAGE + VM + BOOT + INSTALL + ETCD)
    kinds = [stretch.moment.kind for stretch in path]
    assert kinds == [
        *("switch_job", "switch_bind", "switch_settled", "download", "image_hashed", "cmdlet", "cmdlet"),
        *("vm_starting", "vm_running", "power_on", "maintenance", "config_applied", "install_done"),
        *("time_synced", "bootstrap", "etcd_up"),
    ]
    assert sum(stretch.forced_s for stretch in path) == pytest.approx(path[-1].total_s)


@pytest.mark.parametrize("kind", ["switch_job", "download", "config_applied", "bootstrap"])
def test_a_client_that_asks_later_does_not_lengthen_the_path(kind: str) -> None:
    """Everything from that request on happens 100 s later: the waiting was the client's."""
    moments = read_log(LOG)
    first = next(number for number, moment in enumerate(moments) if moment.kind == kind)
    late = moments[:first] + [replace(moment, at=moment.at + 100) for moment in moments[first:]]
    assert critical_path(late)[-1].total_s == pytest.approx(critical_path(moments)[-1].total_s)


@pytest.mark.parametrize("kind", ["switch_settled", "maintenance", "install_done", "etcd_up"])
def test_a_world_that_takes_longer_does(kind: str) -> None:
    moments = read_log(LOG)
    first = next(number for number, moment in enumerate(moments) if moment.kind == kind)
    late = moments[:first] + [replace(moment, at=moment.at + 100) for moment in moments[first:]]
    assert critical_path(late)[-1].total_s == pytest.approx(critical_path(moments)[-1].total_s + 100)


def test_of_several_causes_the_longest_chain_leads_on() -> None:
    """A worker that was quick still waits for etcd; the other way round the worker's own way is the longer one."""
    worker = [
        Moment(70.0, "install_done", "0002"),
        Moment(128.0, "apid_open", "0002", {"cause": ["install_done/0002", f"etcd_up/{CP}"]}),
    ]
    etcd = critical_path(read_log(LOG))[-1].total_s
    assert critical_path([*read_log(LOG), *worker])[-1].total_s == pytest.approx(etcd + 2.0)


def test_an_empty_log_has_no_path() -> None:
    assert critical_path([]) == ()


# --- limits ---------------------------------------------------------------------------------------------------------


def test_every_figure_of_the_decisions_has_a_limit() -> None:
    assert set(read_limits()) == {
        *("up_beyond_path", "peak_memory", "winrm_calls", "winrm_runspaces", "winrm_module_loads"),
        *("winrm_idle_requests", "winrm_converged_calls", "converged_up", "status"),
        *("help", "help_to_typer", "help_heavy_imports", "outage_reset", "outage_silence"),
    }
    assert set(MEASURES) == {"help", "up", "waiting", "outage"}
    assert {"pypsrp", "requests", "cryptography", "google.protobuf", "pydantic"} <= set(HEAVY)


def test_the_median_is_held_against_the_limit() -> None:
    figure = Figure(name="status", what="status", unit="s", limit=1.0)
    assert judge(figure, Samples(values=[0.9, 1.0, 7.0])).ok
    assert not judge(figure, Samples(values=[0.9, 1.1, 1.1])).ok


def test_a_limit_may_grow_with_the_path() -> None:
    figure = Figure(name="up_beyond_path", what="up", unit="s", limit=1.0, share=0.03)
    verdict = judge(figure, Samples(values=[2.5], paths_s=[60.0]))
    assert verdict.limit == pytest.approx(2.8)
    assert verdict.ok
