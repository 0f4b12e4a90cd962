"""Rehearse a disaster on a copied or fresh stack and score the recovery, for `saga drill`."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from saga_cli.application import application
from saga_cli.lab.rehearsal import (
    fresh_stack,
    progress,
    refuse_running,
    silence_logs,
    stack_with_data,
)
from saga_cli.output import console as wide_console
from saga_lab.application import Application, contract_of
from saga_lab.chaos.load import Load
from saga_lab.chaos.runner import ChaosRun
from saga_lab.chaos.site import Site
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.stack import StackHome
from saga_lab.devstack.stack_file import default_home
from saga_lab.devstack.supervisor import HOME_MARK
from saga_lab.drills.copied_home import CopiedStack, copy_stack, has_data
from saga_lab.drills.copied_sagas import (
    apply_deadlines,
    awaited,
    copied_sagas,
    excuse,
    in_flight,
)
from saga_lab.drills.disasters import Recoveries, RecoveryFailed
from saga_lab.drills.drill_lock import only_drill
from saga_lab.drills.live.report import SCENARIO as LIVE
from saga_lab.drills.report import DrillReport, build_report, reports_in
from saga_lab.drills.scenarios import SCENARIOS, Scenario, plan_of
from saga_lab.drills.score import FULL
from saga_lab.workload import workload_of
from saga_lab.workload.deadlines import waits
from sagakit.foreign_text import printable

SAGAS_A_SECOND = 3
WAIT = "60s"
"""How long a wait of the flow is: sagas that a recovery delays are not undone at once."""
FOLDER, REPORTS = "drill", "reports"
ONE_BROKER = ("lost-topic-tail",)
"""Scenarios that several brokers make impossible."""
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
    fresh: bool,
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
    home = default_home()
    with only_drill(home) as killed:
        if killed and StackHome(home / FOLDER).down():
            console.print("the last drill here was killed: its processes are stopped now")
        copied = _copied(home, chosen, scenario, fresh=fresh, console=console)
        report = _rehearse(target, targets or possible, scenario, minutes, count, seed, copied)
        files = report.write(home / REPORTS)
    print_report(console, asdict(report))
    for file in files:
        console.print(str(file), soft_wrap=True, markup=False)
    sys.exit(0 if report.score == FULL else 1)


def _copied(
    home: Path, chosen: Application, scenario: str, *, fresh: bool, console: Console
) -> CopiedStack | None:
    """Copy the home's stack for the drill; None if the drill is to start without data.

    Raises StackError.
    """
    target = home / FOLDER
    refuse_running(target)
    if fresh:
        return None
    if not has_data(home):
        console.print(
            f"{home} has no stack with data: the drill starts without", soft_wrap=True, markup=False
        )
        return None
    StackHome(target).down()  # what a drill before was killed with
    copied = copy_stack(home, target, chosen)
    if copied.brokers > 1 and scenario in ONE_BROKER:
        raise StackError(
            f"the stack in {home} has {copied.brokers} brokers, and the scenario {scenario} needs "
            "one: what one broker loses, the others have. Choose another one, or --fresh."
        )
    console.print(
        f"copied {copied.size_bytes // 2**20} MB of data to {target}", style="dim", markup=False
    )
    return copied


def _rehearse(
    target: str,
    targets: Sequence[str],
    scenario: str,
    minutes: float,
    count: int | None,
    seed: int,
    copied: CopiedStack | None,
) -> DrillReport:
    """Start the stack, drill, and stop it again. Raises StackError."""
    console, chosen, lasts_s = wide_console(highlight=False), application(), minutes * 60
    count, home = count or round(lasts_s * SAGAS_A_SECOND), default_home() / FOLDER
    started_at, began = f"{datetime.now():%Y-%m-%dT%H:%M:%S}", time.monotonic()
    start = fresh_stack if copied is None else stack_with_data
    stack = start(home, chosen, _options(chosen, SCENARIOS[scenario], copied), console)
    try:
        old = None
        if copied is not None:
            apply_deadlines(stack)
            old = copied_sagas(stack.read())
        sagas = workload_of(chosen).sagas(f"d{seed}-{datetime.now():%H%M%S}", seed, count)
        load = Load(stack, sagas, lasts_s)
        recoveries = Recoveries(_Commands(home))
        plan = plan_of(SCENARIOS[scenario], tuple(targets), recoveries, lasts_s)
        chaos = ChaosRun(Site(stack, load), plan)
        with progress(console, chaos) as on_progress:
            waits_for_old = partial(awaited, stack.read(), old, on_progress) if old else nullcontext
            chaos.execute(on_progress, waits_for_old)
        if old is not None:
            chaos.findings = excuse(chaos.findings, old.untouched(in_flight(stack.read())))
        words = "" if copied else " --fresh"
        report = build_report(
            chaos,
            recoveries,
            command=f"saga drill {target} --scenario {scenario} --minutes {minutes:g} "
            f"--sagas {count} --seed {seed}{words}",
            target=target,
            scenario=scenario,
            started_at=started_at,
            lasted_s=time.monotonic() - began,
        )
        if old is None:
            return report
        return replace(report, copied_sagas=old.total, copied_in_flight=len(old.in_flight))
    finally:
        console.print("stopping the stack, all data is kept", style="dim")
        stack.down()


def _options(chosen: Application, scenario: Scenario, copied: CopiedStack | None) -> StackOptions:
    """Return the options of the drill's stack: those of the copied one, with waits of the drill."""
    env = dict(copied.env) if copied else {}
    before: dict[str, str] = json.loads(env.get("SAGA_DEADLINES", "{}"))
    deadlines = before | dict.fromkeys(waits(contract_of(chosen).flows), WAIT)
    return StackOptions(
        port_base=0,
        registry=scenario.registry or (copied is not None and copied.registry),
        env={**env, "SAGA_DEADLINES": json.dumps(deadlines)},
    )


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
            # The mark lets the next drill end it where this one is killed.
            env={**os.environ, "SAGA_HOME": str(self._home), HOME_MARK: str(self._home)},
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
    live = report["scenario"] == LIVE
    ends = ", ".join(f"{number} {end}" for end, number in report["ends"].items())
    lines = [
        f"{report['scenario']} of {report['target']}: {report['score']} of {FULL} points",
        f"sagas: {report['sagas']}" + (f"; {ends}" if ends else ""),
    ]
    if not live:
        delay = f"the longest by {report['longest_delay_s']} s"
        lines.append(f"delayed sagas: {report['delayed']}, {delay}")
    if report.get("copied_sagas") is not None:
        lines.append(
            f"copied sagas: {report['copied_sagas']}, {report['copied_in_flight']} of them in "
            "flight when the drill began"
        )
    lines += [_recovery(row, live=live) for row in report["recoveries"]]
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


def _recovery(row: Mapping[str, Any], *, live: bool) -> str:
    """Describe the recovery of one target; live: nothing was lost, it was rebuilt beside."""
    target, took, caught_up = row["target"], _seconds(row["restore_s"]), _seconds(row["catch_up_s"])
    if live:
        return f"{target}: rebuilt after {took}, at the offsets of the live one after {caught_up}"
    return (
        f"{target}: detected after {_seconds(row['detect_s'])}, restored after {took}, caught up "
        f"after {caught_up}"
    )


def _seconds(value: float | None) -> str:
    return "no time known" if value is None else f"{value:.1f} s"
