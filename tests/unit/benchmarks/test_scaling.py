"""The arithmetic of `benchmarks.scaling`: sums, comparisons, and what a plan scans."""

from dataclasses import replace

from benchmarks.figures import Figures
from benchmarks.platform_contender import next_poll_s
from benchmarks.scaling.idle_cost import medians_by_process
from benchmarks.scaling.order_copies import ROWS_PER_STATEMENT, Copies, _parts
from benchmarks.scaling.prefilled_homes import EMPTY, Prefill
from benchmarks.scaling.queries import _large_scans
from benchmarks.scaling.replicas import by_service, cores
from benchmarks.scaling.runs import SaturationRun
from benchmarks.scaling.volume import VolumeRuns

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


def test_filled_databases_are_compared_with_empty_ones_by_medians() -> None:
    def runs(*seconds: float) -> list[SaturationRun]:
        return [
            SaturationRun(replace(FIGURES, seconds=s), {"payment": 400.0}, {"payment": 0.5})
            for s in seconds
        ]

    found = VolumeRuns("many", empty=runs(2.0, 9.0, 1.0), filled=runs(2.5, 2.0, 8.0))
    assert found.of_empty == 0.8
    assert found.empty[0].events_a_cpu_s == {"payment": 800}


def test_a_prefill_has_a_name() -> None:
    assert [prefill.name for prefill in (EMPTY, Prefill(10_000), Prefill(5, history=True))] == [
        "empty",
        "10,000 in flight",
        "5 finished",
    ]


def test_copies_are_made_in_parts_that_meet() -> None:
    parts = _parts(Copies(["a", "b"], 2 * ROWS_PER_STATEMENT + 1, "x-"))
    assert [(p["first"], p["last"]) for p in parts] == [
        (0, ROWS_PER_STATEMENT - 1),
        (ROWS_PER_STATEMENT, 2 * ROWS_PER_STATEMENT - 1),
        (2 * ROWS_PER_STATEMENT, 2 * ROWS_PER_STATEMENT),
    ]


def test_polls_come_more_often_near_the_end() -> None:
    assert next_poll_s(0, 100, 3.0) == 0.05
    assert next_poll_s(50, 100, 2.0) == 0.5
    assert next_poll_s(1, 100, 2.0) == 1.0
    assert next_poll_s(99, 100, 10.0) == 0.05


def test_idle_processes_are_reported_by_medians() -> None:
    assert medians_by_process({"a": [3.0, 1.0, 2.0], "b": [5.0]}) == {"a": 2.0, "b": 5.0}


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
    assert list(_large_scans({**top, "Plans": [small, {**top, "Plans": [large, by_index]}]})) == [
        "saga"
    ]
