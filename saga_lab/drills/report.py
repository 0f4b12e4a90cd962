"""Builds the report of a drill, writes it as JSON and HTML, and lists the reports of a folder."""

import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from saga_lab.chaos import figures
from saga_lab.chaos.html_report import render_page
from saga_lab.chaos.runner import ChaosRun
from saga_lab.drills.disasters import Recoveries
from saga_lab.drills.score import FULL, score_of
from saga_lab.workload import key_of

HERE, TEMPLATE = "saga_lab.drills", "drill.html"
METRICS = "drills.prom"
HELP = {
    "saga_drill_score": "Points out of 100 of the last drill.",
    "saga_drill_last_success_timestamp_seconds": "When a drill last had 100 points, Unix seconds.",
}
"""Metric -> its help, in the file METRICS."""


@dataclass(frozen=True, slots=True)
class DrillReport:
    """One drill in figures. Times are seconds; those of `recoveries` since the load began.

    started_at: local time, ISO 8601; `delayed`: sagas that were in flight during the disaster and
    took longer than each one before it; `longest_delay_s`: by how much at most, `usual_s`: the
    median of those before it; `copied_sagas`: those that a copied stack brought along, None
    without one, and `copied_in_flight`: those of them that had not ended.
    """

    command: str
    target: str
    scenario: str
    started_at: str
    lasted_s: float
    score: int
    losses: Sequence[Mapping[str, Any]]
    recoveries: Sequence[Mapping[str, Any]]
    sagas: int
    ends: Mapping[str, int]
    usual_s: float | None
    delayed: int
    longest_delay_s: float
    invariants: Sequence[Mapping[str, Any]]
    copied_sagas: int | None = None
    copied_in_flight: int = 0

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the JSON and the HTML file to `folder`; return their paths.

        `drills.prom` beside them has the score and the time of the last drill of each target and
        scenario, in the text format that node_exporter's textfile collector reads.
        """
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"drill-{self.started_at.replace(':', '')}-{self.target}-{self.scenario}"
        as_json, as_html = folder / f"{stem}.json", folder / f"{stem}.html"
        content = asdict(self)
        as_json.write_text(json.dumps(content, indent=2) + "\n")
        as_html.write_text(render_page(HERE, TEMPLATE, content))
        (folder / METRICS).write_text(metrics_text(reports_in(folder)))
        return as_json, as_html


def build_report(
    run: ChaosRun,
    recoveries: Recoveries,
    *,
    command: str,
    target: str,
    scenario: str,
    started_at: str,
    lasted_s: float,
) -> DrillReport:
    """Build the report of a finished drill."""
    not_recovered = [
        f"{recovery.target}: {text}"
        for recovery in recoveries.of.values()
        for text in recovery.not_recovered
    ]
    errors = [f"{f.planned.target}: {f.error}" for f in run.faults if f.error]
    errors += [f"not idle at the end: {run.activity}"] if run.activity else []
    unexplained = list(figures.unexplained_ends(run.outcomes, run.timed_out))
    score = score_of(run.findings, unexplained, errors, not_recovered)
    usual_s, delays = _delays(run)
    return DrillReport(
        command=command,
        target=target,
        scenario=scenario,
        started_at=started_at,
        lasted_s=round(lasted_s, 1),
        score=score.points,
        losses=[asdict(loss) for loss in score.losses],
        recoveries=[_times(run, name, recoveries) for name in recoveries.of],
        sagas=len(run.outcomes),
        ends=figures.end_counts(run.outcomes),
        usual_s=usual_s,
        delayed=len(delays),
        longest_delay_s=round(max(delays, default=0.0), 1),
        invariants=[{**asdict(finding), "holds": finding.holds} for finding in run.findings],
    )


def _times(run: ChaosRun, target: str, recoveries: Recoveries) -> dict[str, Any]:
    """Return how long it took to detect, to restore and to catch up, in seconds."""
    notes = recoveries.of[target]
    ready_at = next((f.ready_at for f in run.faults if f.planned.target == target), None)
    moments = (notes.struck_at, notes.detected_at, notes.restored_at, ready_at)
    spans = [
        None if before is None or after is None else round(after - before, 1)
        for before, after in itertools.pairwise(moments)
    ]
    return {
        "target": target,
        **dict(zip(("detect_s", "restore_s", "catch_up_s"), spans, strict=True)),
        "not_recovered": list(notes.not_recovered),
    }


def _delays(run: ChaosRun) -> tuple[float | None, list[float]]:
    """Return the usual duration of a saga, and how much longer each delayed one took.

    Sagas whose kind is to wait for a deadline are left out.
    """
    load = run.site.load
    struck = min((f.injected_at for f in run.faults), default=0.0) + load.pace.began_at
    back = max((f.ready_at or 0.0 for f in run.faults), default=0.0) + load.pace.began_at
    waiting = {key_of(o.saga) for o in run.outcomes if o.saga.kind.times_out}
    spans = {
        key: (load.placed_at[key], ended)
        for key, ended in load.ended_at.items()
        if key not in waiting
    }
    before = [ended - placed for placed, ended in spans.values() if ended < struck]
    if not before:
        return None, []
    usual_s, longest_s = statistics.median(before), max(before)
    during = [ended - placed for placed, ended in spans.values() if placed < back < ended]
    return round(usual_s, 1), [took - usual_s for took in during if took > longest_s]


def reports_in(folder: Path) -> list[dict[str, Any]]:
    """Return the reports of a folder, the oldest first; each with its `file`."""
    files = sorted(folder.glob("drill-*.json"))
    return [{**json.loads(file.read_text()), "file": str(file)} for file in files]


def metrics_text(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return the metrics of the last drill of each target and scenario. Pure.

    The text format: https://prometheus.io/docs/instrumenting/exposition_formats
    """
    last = {(r["target"], r["scenario"]): r for r in reports}
    passed = {(r["target"], r["scenario"]): r for r in reports if r["score"] == FULL}
    points = {key: str(report["score"]) for key, report in last.items()}
    times = {key: f"{_unix_s(report['started_at']):.0f}" for key, report in passed.items()}
    lines = []
    for (name, text), samples in zip(HELP.items(), (points, times), strict=True):
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        lines += [f"{name}{_labels(key)} {value}" for key, value in sorted(samples.items())]
    return "\n".join(lines) + "\n"


def _unix_s(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _labels(key: tuple[str, str]) -> str:
    return f'{{target="{key[0]}",scenario="{key[1]}"}}'
