"""Turns what a live drill compared into a report of the same kind as those of other drills. Pure.

A live drill places no sagas and loses nothing: its report has neither ends nor delays.
"""

from collections.abc import Sequence
from dataclasses import asdict

from saga_lab.drills.live.comparison import LiveComparison
from saga_lab.drills.report import DrillReport
from saga_lab.drills.score import score_of
from saga_lab.invariants.rebuild import rebuild_finding

SCENARIO = "live"
"""The scenario of a live drill in its report and in the metrics."""


def live_report(
    compared: Sequence[LiveComparison],
    *,
    target: str,
    started_at: str,
    lasted_s: float,
) -> DrillReport:
    """Build the report of a live drill."""
    finding = rebuild_finding([one.rows for one in compared])
    lost = [f"{one.target}: {text}" for one in compared for text in one.not_recovered]
    score = score_of([finding], [], [], lost)
    return DrillReport(
        command=f"saga drill {target} --live",
        target=target,
        scenario=SCENARIO,
        started_at=started_at,
        lasted_s=round(lasted_s, 1),
        score=score.points,
        losses=[asdict(loss) for loss in score.losses],
        recoveries=[
            {
                "target": one.target,
                "detect_s": None,
                "restore_s": round(one.rebuilt_s, 1),
                "catch_up_s": round(one.settled_s, 1),
                "not_recovered": list(one.not_recovered),
            }
            for one in compared
        ],
        sagas=max((one.sagas for one in compared), default=0),
        ends={},
        usual_s=None,
        delayed=0,
        longest_delay_s=0.0,
        invariants=[{**asdict(finding), "holds": finding.holds}],
    )
