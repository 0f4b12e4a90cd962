"""The arithmetic of `benchmarks.scaling`: what is put together, compared, and found in a plan."""

from dataclasses import replace

from benchmarks.figures import Figures
from benchmarks.ours import next_look_s
from benchmarks.scaling.crowd import Crowded
from benchmarks.scaling.filling import AT_ONCE, Copies, _parts
from benchmarks.scaling.homes import EMPTY, Level
from benchmarks.scaling.looks import _reads
from benchmarks.scaling.replicas import by_service, cores
from benchmarks.scaling.runs import Saturated
from benchmarks.scaling.waiting import middle

FIGURES = Figures(
    100,
    2.0,
    10.0,
    20.0,
    {"payment": 1.0, "payment-2": 3.0, "monitor": 4.0},
    {"payment": 50.0, "payment-2": 60.0, "monitor": 70.0},
    {},
)


def test_replicas_of_a_service_count_together() -> None:
    found = by_service(FIGURES)
    assert found.cpu_ms_an_order == {"payment": 4.0, "monitor": 4.0}
    assert found.memory_mb == {"payment": 110.0, "monitor": 70.0}
    assert cores(found) == 8.0 / 1000 * 50


def test_a_level_is_compared_with_the_empty_one_by_medians() -> None:
    def runs(*seconds: float) -> list[Saturated]:
        return [
            Saturated(replace(FIGURES, seconds=s), {"payment": 400.0}, {"payment": 0.5})
            for s in seconds
        ]

    found = Crowded("many", empty=runs(2.0, 9.0, 1.0), filled=runs(2.5, 2.0, 8.0))
    assert found.of_empty == 0.8
    assert found.empty[0].events_a_cpu_s == {"payment": 800}


def test_a_level_has_a_name() -> None:
    assert [level.name for level in (EMPTY, Level(10_000), Level(5, history=True))] == [
        "empty",
        "10,000 in flight",
        "5 finished",
    ]


def test_copies_are_made_in_parts_that_meet() -> None:
    parts = _parts(Copies(["a", "b"], 2 * AT_ONCE + 1, "x-"))
    assert [(p["first"], p["last"]) for p in parts] == [
        (0, AT_ONCE - 1),
        (AT_ONCE, 2 * AT_ONCE - 1),
        (2 * AT_ONCE, 2 * AT_ONCE),
    ]


def test_the_end_is_looked_for_the_nearer_the_more_often() -> None:
    assert next_look_s(0, 100, 3.0) == 0.05
    assert next_look_s(50, 100, 2.0) == 0.5
    assert next_look_s(1, 100, 2.0) == 1.0
    assert next_look_s(99, 100, 10.0) == 0.05


def test_idle_processes_are_reported_by_medians() -> None:
    assert middle({"a": [3.0, 1.0, 2.0], "b": [5.0]}) == {"a": 2.0, "b": 5.0}


def test_a_plan_that_reads_a_large_table_is_found() -> None:
    small = {
        "Node Type": "Seq Scan",
        "Relation Name": "outbox",
        "Actual Rows": 3,
        "Actual Loops": 1,
    }
    large = {**small, "Relation Name": "saga", "Rows Removed by Filter": 20_000}
    by_index = {**large, "Node Type": "Index Scan", "Relation Name": "timeline"}
    top = {"Node Type": "Limit", "Actual Rows": 3, "Actual Loops": 1}
    assert list(_reads({**top, "Plans": [small, {**top, "Plans": [large, by_index]}]})) == ["saga"]
