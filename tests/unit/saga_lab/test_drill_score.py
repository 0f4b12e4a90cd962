"""What a drill scores, and the metrics that its reports make."""

from saga_lab.drills.report import metrics_text
from saga_lab.drills.score import COSTS, Loss, Score, score_of
from saga_lab.invariants import Finding
from saga_lab.invariants.finding import finding_of

HOLDS = [Finding(number, f"invariant {number}", "evidence") for number in range(1, 10)]


def broken(number: int, *violations: str) -> list[Finding]:
    """All invariants hold but one."""
    others = [finding for finding in HOLDS if finding.number != number]
    return [*others, finding_of(number, f"invariant {number}", "evidence", violations)]


def test_a_recovery_without_damage_has_all_points() -> None:
    assert score_of(HOLDS, [], [], []) == Score(100)


def test_each_kind_of_damage_costs_its_points_once_and_is_named() -> None:
    for number, kind in (
        (2, "asked of the outside twice, or not conserved"),
        (4, "asked of the outside twice, or not conserved"),
        (5, "events lost"),
        (6, "rows that differ from the topics"),
        (7, "sagas that did not end as they should"),
    ):
        found = tuple(f"invariant {number}: order/{n}" for n in range(2))
        loss = Loss(kind, COSTS[kind], found)
        assert score_of(broken(number, "order/0", "order/1"), [], [], []) == Score(
            100 - COSTS[kind], (loss,)
        )


def test_what_is_not_shown_of_a_finding_is_counted() -> None:
    [loss] = score_of(broken(6, *map(str, range(30))), [], [], []).losses
    assert loss.found[-1] == "invariant 6: and 10 more"


def test_all_damage_together_leaves_no_points_and_not_fewer() -> None:
    findings = [*broken(2, "a")[:-1], *(broken(n, "a")[-1] for n in (2, 5, 6, 1))]
    worst = score_of(findings, ["order/1: running"], ["payment: refused"], ["payment: 3 sagas"])
    assert worst.points == 0
    assert [loss.kind for loss in worst.losses] == list(COSTS)


def test_the_metrics_are_those_of_the_last_drill_and_of_the_last_success() -> None:
    def report(score: int, second: int, target: str = "payment") -> dict[str, object]:
        at = f"2026-01-01T00:00:{second:02}+00:00"
        return {"target": target, "scenario": "lost-database", "score": score, "started_at": at}

    text = metrics_text([report(100, 1), report(100, 5), report(40, 9), report(90, 3, "monitor")])
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert samples == [
        'saga_drill_score{target="monitor",scenario="lost-database"} 90',
        'saga_drill_score{target="payment",scenario="lost-database"} 40',
        "saga_drill_last_success_timestamp_seconds"
        '{target="payment",scenario="lost-database"} 1767225605',
    ]
