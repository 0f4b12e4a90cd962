"""Rehearse a disaster on a fresh stack and score the recovery, for `saga drill`."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from saga_cli.application import application
from saga_cli.lab.rehearsal import fresh_stack, progress, silence_logs
from saga_cli.output import console as wide_console
from saga_lab.application import Application, contract_of
from saga_lab.chaos.load import Load
from saga_lab.chaos.runner import ChaosRun
from saga_lab.chaos.site import Site
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.stack_file import default_home
from saga_lab.drills.disasters import Recoveries, RecoveryFailed
from saga_lab.drills.report import build_report, reports_in
from saga_lab.drills.scenarios import SCENARIOS, Scenario, plan_of
from saga_lab.drills.score import FULL
from saga_lab.workload import workload_of
from saga_lab.workload.deadlines import waits
from sagakit.foreign_text import printable

SAGAS_A_SECOND = 3
WAIT = "60s"
"""How long a wait of the flow is: sagas that a recovery delays are not undone at once."""
REPORTS = "reports"
NOT_RECOVERED = ("not recoverable: ", "rows violate a constraint: ")
"""How lines of `saga rebuild` begin that name what nothing brings back."""
NONE_LOST = "not recovered: 0 sagas"


def run(
    target: str,
    targets: Sequence[str] | None,
    scenario: str,
    minutes: float,
    count: int | None,
    seed: int,
) -> None:
    """Run the command for these targets, None: for all that the scenario may strike.

    `target` is how they were named. Raises SystemExit and ClickException.
    """
    console, chosen = wide_console(highlight=False), application()
    possible = SCENARIOS[scenario].targets(chosen)
    if wrong := sorted(set(targets or ()) - set(possible)):
        raise click.ClickException(
            f"the scenario {scenario} is not for {wrong[0]}, see docs/how-to/drill-a-disaster.md; "
            f"choose one of {', '.join(possible)}"
        )
    silence_logs()
    lasts_s = minutes * 60
    count = count or round(lasts_s * SAGAS_A_SECOND)
    home = default_home() / "drill"
    started_at, began = f"{datetime.now():%Y-%m-%dT%H:%M:%S}", time.monotonic()
    stack = fresh_stack(home, chosen, _options(chosen, SCENARIOS[scenario]), console)
    try:
        sagas = workload_of(chosen).sagas(f"d{seed}-{datetime.now():%H%M%S}", seed, count)
        load = Load(stack, sagas, lasts_s)
        recoveries = Recoveries(_Commands(home))
        plan = plan_of(SCENARIOS[scenario], tuple(targets or possible), recoveries, lasts_s)
        chaos = ChaosRun(Site(stack, load), plan)
        with progress(console, chaos) as on_progress:
            chaos.execute(on_progress)
        report = build_report(
            chaos,
            recoveries,
            command=f"saga drill {target} --scenario {scenario} --minutes {minutes:g} "
            f"--sagas {count} --seed {seed}",
            target=target,
            scenario=scenario,
            started_at=started_at,
            lasted_s=time.monotonic() - began,
        )
    finally:
        console.print("stopping the stack, all data is kept", style="dim")
        stack.down()
    files = report.write(default_home() / REPORTS)
    print_report(console, asdict(report))
    for file in files:
        console.print(str(file), soft_wrap=True, markup=False)
    sys.exit(0 if report.score == FULL else 1)


def _options(chosen: Application, scenario: Scenario) -> StackOptions:
    deadlines = dict.fromkeys(waits(contract_of(chosen).flows), WAIT)
    env = {"SAGA_DEADLINES": json.dumps(deadlines)}
    return StackOptions(port_base=0, registry=scenario.registry, env=env)


class _Commands:
    """Calls `saga`, in processes of their own: no producer can be made in one that rebuilds."""

    def __init__(self, home: Path) -> None:
        self._home, self._archive = home, home.parent / "drill-archive"

    def rebuild(self, participant: str, url: str, *, from_backup: bool) -> Sequence[str]:
        """See `RecoveryCommands`."""
        words = ["--from-backup"] if from_backup else []
        output = self._call("rebuild", participant, "--into", url, "--accept-loss", *words)
        return [line for line in output.splitlines() if _names_a_loss(line)]

    def archive(self) -> None:
        """See `RecoveryCommands`."""
        shutil.rmtree(self._archive, ignore_errors=True)
        self._call("archive", str(self._archive))

    def restore(self) -> None:
        """See `RecoveryCommands`."""
        self._call("restore", str(self._archive))

    def _call(self, *words: str) -> str:
        main = "from saga_cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", main, *words],
            env={**os.environ, "SAGA_HOME": str(self._home)},
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        if done.returncode:
            raise RecoveryFailed(f"saga {' '.join(words[:2])}: {output.strip()[-500:]}")
        return output


def _names_a_loss(line: str) -> bool:
    lost = line.startswith("not recovered: ") and line != NONE_LOST
    return lost or line.startswith(NOT_RECOVERED)


# --- reports --------------------------------------------------------------------------------------


def list_reports() -> None:
    """Print a line a report."""
    table = Table(box=None)
    for heading in ("report", "target", "scenario", "points", "delayed sagas", "restored after"):
        table.add_column(heading)
    for report in reports_in(default_home() / REPORTS):
        restored = max((row["restore_s"] or 0.0 for row in report["recoveries"]), default=0.0)
        table.add_row(
            Path(report["file"]).stem,
            report["target"],
            report["scenario"],
            str(report["score"]),
            str(report["delayed"]),
            f"{restored:.1f} s",
        )
    wide_console(highlight=False).print(table)


def show_report(report: str) -> None:
    """Print one report. Raises ClickException for a name that no report has."""
    found = {Path(r["file"]).stem: r for r in reports_in(default_home() / REPORTS)}
    if report not in found:
        raise click.ClickException(
            f"there is no report {printable(report)} in {default_home() / REPORTS}; "
            "`saga drill ls` lists them"
        )
    print_report(wide_console(highlight=False), found[report])


def print_report(console: Console, report: Mapping[str, Any]) -> None:
    """Print a report as text."""
    ends = ", ".join(f"{number} {end}" for end, number in report["ends"].items())
    lines = [
        f"{report['scenario']} of {report['target']}: {report['score']} of {FULL} points",
        f"sagas: {report['sagas']}; {ends}",
        f"delayed sagas: {report['delayed']}, the longest by {report['longest_delay_s']} s",
    ]
    lines += [
        f"{row['target']}: detected after {_seconds(row['detect_s'])}, restored after "
        f"{_seconds(row['restore_s'])}, caught up after {_seconds(row['catch_up_s'])}"
        for row in report["recoveries"]
    ]
    for finding in report["invariants"]:
        verdict = "holds" if finding["holds"] else "VIOLATED"
        lines.append(
            f"{finding['number']} {verdict}: {finding['title']} ({finding['checked_against']})"
        )
    for loss in report["losses"]:
        lines.append(f"{loss['points']} points lost: {loss['kind']}")
        lines += [f"  {text}" for text in loss["found"]]
    for line in lines:
        console.print(printable(line), soft_wrap=True, markup=False)


def _seconds(value: float | None) -> str:
    return "no time known" if value is None else f"{value:.1f} s"
