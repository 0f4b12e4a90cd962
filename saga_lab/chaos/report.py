"""Builds the report of a chaos run, and writes it as JSON and HTML."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from saga_lab.chaos import figures
from saga_lab.chaos.page import page
from saga_lab.chaos.play import ChaosRun, InjectedFault
from saga_lab.workload import End


@dataclass(frozen=True, slots=True)
class ChaosReport:
    """One chaos run in figures. Times are seconds.

    `faults`: one row per injected fault, in order of injection;
    `left_out`: kinds that the stack does not support, and why;
    `otherwise`: orders whose end differs from their kind's, by kind and end;
    `longest_stall_s`: longest time without any end, while orders were placed or some never ended.
    """

    command: str
    seed: int
    started_at: str
    lasted_s: float
    orders: int
    ends: Mapping[str, int]
    otherwise: Mapping[str, int]
    timed_out: int
    faults_planned: int
    faults_injected: int
    left_out: Mapping[str, str]
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
        as_html.write_text(page(content))
        return as_json, as_html


def report(
    day: ChaosRun,
    *,
    command: str,
    seed: int,
    left_out: Mapping[str, str],
    started_at: str,
    lasted_s: float,
) -> ChaosReport:
    """Build the report of a finished chaos run."""
    load = day.site.load
    began_at = load.pace.began_at
    placed = {o: at - began_at for o, at in load.placed_at.items()}
    ended = {o: at - began_at for o, at in load.ended_at.items()}
    completed = {
        o.order.order_id: ended[o.order.order_id]
        for o in day.outcomes
        if o.end == "completed" and o.order.order_id in ended
    }
    over = [ended[o.order.order_id] for o in day.outcomes if o.end in set(End)]
    last = max(placed.values() if len(over) == len(ended) else ended.values(), default=0.0)
    recovered = figures.recoveries(day.struck, placed, completed)
    return ChaosReport(
        command=command,
        seed=seed,
        started_at=started_at,
        lasted_s=round(lasted_s, 1),
        orders=len(day.outcomes),
        ends=figures.ends(day.outcomes),
        otherwise=figures.otherwise(day.outcomes),
        timed_out=len(day.timed_out),
        faults_planned=len(day.plan),
        faults_injected=len(day.struck),
        left_out=left_out,
        kinds_injected=len(recovered),
        kinds=[_rounded(asdict(row)) for row in recovered],
        longest_stall_s=round(figures.longest_stall_s(over, last), 1),
        violations=violations(day),
        invariants=[{**asdict(finding), "holds": finding.holds} for finding in day.findings],
        faults=[
            _row(
                one,
                figures.recovery_s(one.healed_at, placed, completed)
                if one.healed_at is not None
                else None,
            )
            for one in day.struck
        ],
    )


def violations(day: ChaosRun) -> list[str]:
    """Return every violation as text: invariants, unexplained ends, failed faults, not idle."""
    return [
        *(f"invariant {f.number}: {told}" for f in day.findings for told in f.violations),
        *(
            f"invariant {f.number}: and {f.found - len(f.violations)} more"
            for f in day.findings
            if f.found > len(f.violations)
        ),
        *(f"end: {told}" for told in figures.wrong_ends(day.outcomes, day.timed_out)),
        *(
            f"fault {s.planned.number}, {s.planned.kind.name} of {s.planned.target}: {s.error}"
            for s in day.struck
            if s.error
        ),
        *([f"not at rest: {day.moving}"] if day.moving else []),
    ]


def _row(one: InjectedFault, recovery_s: float | None) -> dict[str, Any]:
    planned = one.planned
    return _rounded(
        {
            "number": planned.number,
            "kind": planned.kind.name,
            "about": planned.kind.about,
            "target": planned.target,
            "planned_at": planned.at_s,
            "injected_at": one.injected_at,
            "healed_at": one.healed_at,
            "ready_at": one.ready_at,
            "recovery_s": recovery_s,
            "error": one.error,
        }
    )


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}
