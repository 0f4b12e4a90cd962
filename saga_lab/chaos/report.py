"""Builds the report of a chaos run, and writes it as JSON and HTML."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from saga_lab.chaos import figures
from saga_lab.chaos.html_report import render_html
from saga_lab.chaos.runner import ChaosRun, InjectedFault
from saga_lab.workload import End, key_of


@dataclass(frozen=True, slots=True)
class ChaosReport:
    """One chaos run in figures. Times are seconds.

    `faults`: one row per injected fault, in order of injection;
    `unsupported_kinds`: kinds of faults that the stack does not support, name -> reason;
    `unexpected_ends`: sagas whose end differs from their kind's, by kind and end;
    `longest_stall_s`: longest time without any end, while sagas were placed or some never ended.
    """

    command: str
    seed: int
    started_at: str
    lasted_s: float
    sagas: int
    ends: Mapping[str, int]
    unexpected_ends: Mapping[str, int]
    timed_out: int
    faults_planned: int
    faults_injected: int
    unsupported_kinds: Mapping[str, str]
    kinds_injected: int
    kinds: Sequence[Mapping[str, Any]]
    longest_stall_s: float
    violations: Sequence[str]
    invariants: Sequence[Mapping[str, Any]]
    faults: Sequence[Mapping[str, Any]]

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the JSON and the HTML file to `folder`; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"chaos-{self.started_at.replace(':', '')}-seed-{self.seed}"
        as_json, as_html = folder / f"{stem}.json", folder / f"{stem}.html"
        content = asdict(self)
        as_json.write_text(json.dumps(content, indent=2) + "\n")
        as_html.write_text(render_html(content))
        return as_json, as_html


def build_report(
    run: ChaosRun,
    *,
    command: str,
    seed: int,
    unsupported_kinds: Mapping[str, str],
    started_at: str,
    lasted_s: float,
) -> ChaosReport:
    """Build the report of a finished chaos run."""
    load = run.site.load
    began_at = load.pace.began_at
    placed = {o: at - began_at for o, at in load.placed_at.items()}
    ended = {o: at - began_at for o, at in load.ended_at.items()}
    completed = {
        key_of(o.saga): ended[key_of(o.saga)]
        for o in run.outcomes
        if o.end == "completed" and key_of(o.saga) in ended
    }
    ends = [ended[key_of(o.saga)] for o in run.outcomes if o.end in set(End)]
    last = max(placed.values() if len(ends) == len(ended) else ended.values(), default=0.0)
    kinds = figures.recoveries(run.faults, placed, completed)
    return ChaosReport(
        command=command,
        seed=seed,
        started_at=started_at,
        lasted_s=round(lasted_s, 1),
        sagas=len(run.outcomes),
        ends=figures.end_counts(run.outcomes),
        unexpected_ends=figures.unexpected_ends(run.outcomes),
        timed_out=len(run.timed_out),
        faults_planned=len(run.plan),
        faults_injected=len(run.faults),
        unsupported_kinds=unsupported_kinds,
        kinds_injected=len(kinds),
        kinds=[_rounded(asdict(row)) for row in kinds],
        longest_stall_s=round(figures.longest_stall_s(ends, last), 1),
        violations=violations(run),
        invariants=[{**asdict(finding), "holds": finding.holds} for finding in run.findings],
        faults=[
            _fault_row(
                fault,
                figures.recovery_s(fault.healed_at, placed, completed)
                if fault.healed_at is not None
                else None,
            )
            for fault in run.faults
        ],
    )


def violations(run: ChaosRun) -> list[str]:
    """Return every violation as text: invariants, unexplained ends, failed faults, not idle."""
    return [
        *(f"invariant {f.number}: {text}" for f in run.findings for text in f.violations),
        *(
            f"invariant {f.number}: and {f.found - len(f.violations)} more"
            for f in run.findings
            if f.found > len(f.violations)
        ),
        *(
            f"unexplained end: {text}"
            for text in figures.unexplained_ends(run.outcomes, run.timed_out)
        ),
        *(
            f"fault {f.planned.number}, {f.planned.kind.name} of {f.planned.target}: {f.error}"
            for f in run.faults
            if f.error
        ),
        *([f"not idle at the end: {run.activity}"] if run.activity else []),
    ]


def _fault_row(fault: InjectedFault, recovery_s: float | None) -> dict[str, Any]:
    planned = fault.planned
    return _rounded(
        {
            "number": planned.number,
            "kind": planned.kind.name,
            "about": planned.kind.about,
            "target": planned.target,
            "planned_at": planned.at_s,
            "injected_at": fault.injected_at,
            "healed_at": fault.healed_at,
            "ready_at": fault.ready_at,
            "recovery_s": recovery_s,
            "error": fault.error,
        }
    )


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}
