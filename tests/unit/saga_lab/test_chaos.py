"""The schedule, figures and report of a chaos run; a whole run is in tests/e2e."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from saga_cli.lab.chaos_run import _kinds
from saga_lab.chaos import load
from saga_lab.chaos.fault import Fault, FaultKind
from saga_lab.chaos.figures import (
    end_counts,
    longest_stall_s,
    recoveries,
    recovery_s,
    unexpected_ends,
    unexplained_ends,
)
from saga_lab.chaos.kinds import kinds_of, supported_kinds, unsupported_kinds
from saga_lab.chaos.load import Pace
from saga_lab.chaos.processes import ProcessKill
from saga_lab.chaos.report import ChaosReport
from saga_lab.chaos.runner import ChaosRun, InjectedFault
from saga_lab.chaos.schedule import QUIET_FIRST_S, QUIET_LAST_S, PlannedFault, schedule
from saga_lab.chaos.site import Site
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.ports import BROKERS
from saga_lab.workload import End, Entrance, key_of
from saga_lab.workload.outcomes import SagaOutcome
from shop.workload import KINDS as ORDER_KINDS
from shop.workload import Shop, ShopOrder
from tests.application import ORDER
from tests.architecture.source import ROOT

LASTS_S = 180.0
BY_NAME = kinds_of(ORDER)
KINDS = tuple(BY_NAME.values())


# --- the schedule ---------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_schedule_and_another_seed_another() -> None:
    assert schedule(7, 40, LASTS_S, KINDS) == schedule(7, 40, LASTS_S, KINDS)
    assert schedule(7, 40, LASTS_S, KINDS) != schedule(8, 40, LASTS_S, KINDS)


def test_faults_come_in_order_and_leave_the_beginning_and_the_end_quiet() -> None:
    moments = [planned.at_s for planned in schedule(1, 300, LASTS_S, KINDS)]
    assert moments == sorted(moments)
    assert moments[0] >= QUIET_FIRST_S
    assert moments[-1] <= LASTS_S - QUIET_LAST_S
    assert len(set(moments)) > 200


def test_every_kind_comes_before_any_comes_again_and_every_target_likewise() -> None:
    rounds = max(len(kind.targets) for kind in KINDS)
    plan = schedule(3, rounds * len(KINDS), LASTS_S, KINDS)
    for start in range(0, len(plan), len(KINDS)):
        assert {p.kind.name for p in plan[start : start + len(KINDS)]} == {k.name for k in KINDS}
    for kind in KINDS:
        targets = [p.target for p in plan if p.kind == kind]
        assert set(targets[: len(kind.targets)]) == set(kind.targets)
        shortest, longest = kind.lasts_s
        assert all(shortest <= p.lasts_s <= longest for p in plan if p.kind == kind)


def test_there_are_at_least_twenty_kinds_each_with_a_name_of_its_own() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 20
    for kind in KINDS:
        for target in kind.targets:
            assert kind.make(target) == kind.make(target), "a fault is a value"


def test_faults_of_one_broker_of_three_are_not_drawn_where_there_is_one() -> None:
    one, three = (
        {kind.name: kind for kind in supported_kinds(BY_NAME, brokers)} for brokers in (1, 3)
    )
    assert three.keys() - one.keys() == {"broker lost", "leader moved"}
    assert three.keys() == {kind.name for kind in KINDS}
    assert one["broker killed"].targets == ("kafka",)
    for name in ("broker killed", "broker lost", "leader moved"):
        assert three[name].targets == BROKERS
    assert one["broker gone"].targets == three["broker gone"].targets == ("kafka",)


def test_what_cannot_be_drawn_is_left_out_with_the_reason() -> None:
    why = "only root can mount a file system of its own"
    assert unsupported_kinds(BY_NAME, 3) == {}
    assert unsupported_kinds(BY_NAME, 3, no_disks=why) == {"disk full": why}
    assert unsupported_kinds(BY_NAME, 1, no_disks=why).keys() == {
        "broker lost",
        "leader moved",
        "disk full",
    }
    for brokers in (1, 3):
        names = {kind.name for kind in supported_kinds(BY_NAME, brokers, no_disks=why)}
        assert names | unsupported_kinds(BY_NAME, brokers, no_disks=why).keys() == {
            kind.name for kind in KINDS
        }
        assert not names & unsupported_kinds(BY_NAME, brokers, no_disks=why).keys()
    kinds, left = _kinds(BY_NAME, (), 3, True, why)
    assert (kinds, left) == (supported_kinds(BY_NAME, 3, no_disks=why), {"disk full": why})
    kinds, left = _kinds(BY_NAME, ("rush",), 1, False, why)
    assert ([kind.name for kind in kinds], left) == (["rush"], {})
    with pytest.raises(StackError, match=f"'disk full' is not possible here: {why}"):
        _kinds(BY_NAME, ("disk full",), 3, True, why)
    gone = "it needs a schema registry; add --registry"
    assert unsupported_kinds(BY_NAME, 3, registry=False) == {"registry gone": gone}
    with pytest.raises(StackError, match=f"'registry gone' is not possible here: {gone}"):
        _kinds(BY_NAME, ("registry gone",), 3, False, None)


def test_the_page_on_reliability_lists_the_kinds() -> None:
    page = (ROOT / "docs/reference/faults.md").read_text()
    listed = re.findall(r"^\| (.+?) \| (.+?) \|$", page, re.M)
    assert [row for row in listed if row in {(k.name, k.about) for k in KINDS}] == [
        (k.name, k.about) for k in KINDS
    ]


def test_a_chaos_run_that_is_broken_off_does_not_wait_for_faults_still_to_come() -> None:
    load = SimpleNamespace(over=False, pace=SimpleNamespace(past_s=0.0, left=9))
    plan = schedule(1, 4, 3600.0, KINDS)
    run = ChaosRun(cast(Site, SimpleNamespace(load=load)), plan)

    def broken_off() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run._inject_all(broken_off)
    assert run.faults == []


class Clumsy(Fault):
    """One whose injection breaks the instrument itself, unless its target is `fine`."""

    def inject(self, site: Site) -> None:
        if self.target != "fine":
            raise KeyError(self.target)

    def heal(self, site: Site) -> None:
        """Nothing was done."""


def day_of(*targets: str) -> ChaosRun:
    """Faults one after the other, all of them due."""
    load = SimpleNamespace(over=False, pace=SimpleNamespace(past_s=1.0, left=9))
    kind = FaultKind("clumsy", "", Clumsy, targets)
    plan = [PlannedFault(number, 0.0, kind, target, 0.0) for number, target in enumerate(targets)]
    return ChaosRun(cast(Site, SimpleNamespace(load=load, ready=lambda name: True)), plan)


def test_a_broken_instrument_ends_the_day_instead_of_hanging() -> None:
    with pytest.raises(KeyError, match="broken"):
        day_of(*["fine"] * 3, "broken", *["fine"] * 100)._inject_all(lambda: None)


def test_faults_of_one_target_follow_each_other() -> None:
    run = day_of(*["fine"] * 5)
    run._inject_all(lambda: None)
    assert [one.planned.number for one in run.faults] == [0, 1, 2, 3, 4]
    assert not run.active


# --- the pace -------------------------------------------------------------------------------------


def test_the_last_order_comes_after_the_last_fault() -> None:
    async def story() -> None:
        pace, injected = Pace(10, 0.0), 0.0
        pace.progress = lambda: injected
        for _ in range(2):
            await pace()
        third = asyncio.ensure_future(pace())
        done, _ = await asyncio.wait({third}, timeout=0.3)
        assert not done, "the load runs ahead of the faults"
        injected = 0.9
        await third
        for _ in range(6):
            await pace()
        last = asyncio.ensure_future(pace())
        done, _ = await asyncio.wait({last}, timeout=0.3)
        assert not done
        assert pace.left == 1
        injected = 1.0
        await last
        assert pace.left == 0

    asyncio.run(story())


def test_a_rush_places_more_at_first_and_less_afterwards_and_all_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0

    async def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(load, "time", SimpleNamespace(monotonic=lambda: now_s))

    async def moments(rush: float) -> list[float]:
        pace, began, found = Pace(40, 0.4), now_s, []
        for number in range(40):
            pace.factor = rush if number < 20 else 1.0
            await pace()
            found.append(now_s - began)
        assert pace.left == 0
        return found

    calm, rushed = asyncio.run(moments(1.0)), asyncio.run(moments(10.0))
    assert rushed[19] < calm[19]
    assert calm[-1] == rushed[-1] == pytest.approx(0.4)


# --- the figures ----------------------------------------------------------------------------------

KILLED = FaultKind("killed", "kill -9", ProcessKill, ("a",))


def injected(
    healed_at: float | None, ready_at: float | None, kind: FaultKind = KILLED
) -> InjectedFault:
    return InjectedFault(PlannedFault(0, 1.0, kind, "a", 0.0), 1.0, healed_at, ready_at)


def test_recovery_counts_from_the_heal_to_the_end_of_an_order_that_was_placed_after_it() -> None:
    placed = {"before": 9.0, "after": 11.0, "later": 12.0}
    completed = {"before": 10.5, "after": 14.0, "later": 13.0}
    assert recovery_s(10.0, placed, completed) == 3.0
    assert recovery_s(12.5, placed, completed) is None


def test_a_kind_has_the_median_and_the_longest_of_its_recoveries() -> None:
    other = replace(KILLED, name="other")
    placed = {str(n): float(n) for n in range(100)}
    completed = {o: at + (2.0 if at < 50 else 8.0) for o, at in placed.items()}
    ones = [
        injected(10.0, 11.0),
        injected(20.0, 23.0),
        injected(60.0, 62.0),
        injected(None, None, other),
    ]
    by_kind = {row.kind: row for row in recoveries(ones, placed, completed)}
    row = by_kind["killed"]
    assert (row.times, row.ready_s, row.recovery_s, row.longest_recovery_s) == (3, 2.0, 2.0, 8.0)
    assert by_kind["other"].recovery_s is None


def test_the_longest_stall_is_between_two_ends_or_up_to_the_last_placing() -> None:
    assert longest_stall_s([1.0, 2.0, 7.0, 8.0], until_s=9.0) == 5.0
    assert longest_stall_s([1.0, 2.0], until_s=9.0) == 7.0
    assert longest_stall_s([1.0, 2.0, 30.0], until_s=3.0) == 1.0
    assert longest_stall_s([], until_s=9.0) == 0.0


def order(name: str, entrance: Entrance = Entrance.HTTP) -> ShopOrder:
    """An order of this kind."""
    kinds = [kind for kind in ORDER_KINDS if kind.name == name]
    return replace(Shop("t", kinds=kinds).order(0), order_id=f"{name}-1", entrance=entrance)


@pytest.mark.parametrize(
    ("kind", "end", "timed_out", "wrong"),
    [
        ("plain", End.COMPLETED, False, False),
        ("plain", End.CANCELLED, True, False),
        ("plain", End.CANCELLED, False, True),
        ("plain", "still running", True, True),
        ("declined", End.COMPLETED, True, True),
        ("declined", End.CANCELLED, False, False),
        ("late_capture", End.COMPLETED, True, True),
        ("no_lines", "http 400", False, True),
    ],
)
def test_only_a_deadline_that_passed_explains_another_end(
    kind: str, end: str, timed_out: bool, wrong: bool
) -> None:
    outcome = SagaOutcome(order(kind), str(end))
    known = {key_of(outcome.saga)} if timed_out else set()
    assert bool(list(unexplained_ends([outcome], known))) == wrong


def test_ends_are_counted_and_those_unlike_their_kind_named() -> None:
    outcomes = [
        SagaOutcome(order("plain"), "completed"),
        SagaOutcome(order("plain"), "cancelled"),
        SagaOutcome(order("declined"), "cancelled"),
    ]
    assert end_counts(outcomes) == {"cancelled": 2, "completed": 1}
    assert unexpected_ends(outcomes) == {"plain: cancelled": 1}


# --- the report -----------------------------------------------------------------------------------


def test_the_report_is_written_as_json_and_as_a_page_that_escapes_what_it_shows(
    tmp_path: Path,
) -> None:
    fault = {
        "number": 0,
        "kind": "killed",
        "about": "kill -9",
        "target": "payment",
        "planned_at": 9.0,
        "injected_at": 9.1,
        "healed_at": 9.1,
        "ready_at": None,
        "recovery_s": None,
        "error": 'a "quoted" <b>not ready</b>',
    }
    made = ChaosReport(
        command="saga chaos --seed 1",
        seed=1,
        started_at=f"{datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC):%Y-%m-%dT%H:%M:%S}",
        lasted_s=61.0,
        sagas=3,
        ends={"completed": 3},
        unexpected_ends={"<script>alert(1)</script>: cancelled": 1},
        timed_out=0,
        faults_planned=1,
        faults_injected=1,
        unsupported_kinds={"disk full": "only <i>root</i> can mount"},
        kinds_injected=1,
        kinds=[
            {
                "kind": "killed",
                "times": 1,
                "ready_s": None,
                "recovery_s": None,
                "longest_recovery_s": None,
            }
        ],
        longest_stall_s=1.5,
        violations=["fault 0: <b>not ready</b>"],
        invariants=[{"number": 1, "title": "one end", "checked_against": "3", "holds": True}],
        faults=[fault],
    )
    as_json, as_html = made.write(tmp_path)
    assert json.loads(as_json.read_text())["violations"] == made.violations
    shown = as_html.read_text()
    assert "<b>not ready" not in shown
    assert "&lt;b&gt;not ready" in shown
    assert 'a "quoted"' not in shown, "it would end an attribute"
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "disk full: only &lt;i&gt;root&lt;/i&gt; can mount" in shown
    assert "saga chaos --seed 1" in shown
    assert "http" not in shown.replace("http-equiv", ""), "it needs nothing from elsewhere"
    assert shown.count("<table>") >= 3
