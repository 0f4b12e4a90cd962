"""Run a few hundred sagas of every kind, and check every invariant, for `saga demo`."""

import json
import shlex
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from saga_cli.application import application, from_any_folder
from saga_cli.lab.foreign_transactions import foreign_transactions
from saga_cli.output import command_name
from saga_cli.output import console as wide_console
from saga_lab.application import Application, contract_of
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.stack import Stack, StackHome
from saga_lab.devstack.stack_file import default_home
from saga_lab.invariants import Finding, check
from saga_lab.workload import Entrance, SagaKind, Workload, key_of, workload_of
from saga_lab.workload.deadlines import Deadlines, near
from saga_lab.workload.outcomes import Progress, SagaOutcome
from saga_lab.workload.run import WorkloadRun
from sagakit.foreign_text import printable

TELL_EVERY_S = 5.0


def run(count: int, seed: int, open_transactions: bool, keep_up: bool) -> None:
    """Run the command. Raises SystemExit with its status."""
    console = wide_console(highlight=False)
    home = default_home() / "demo"
    chosen = application()
    was_running = StackHome(home).supervisor.running()
    workload = workload_of(chosen)
    stack = Stack.up(
        home, chosen, options_of(chosen), say=lambda line: console.print(line, style="dim")
    )
    try:
        good = rehearse(stack, workload, seed, count, console, open_transactions=open_transactions)
    finally:
        if not (keep_up or was_running):
            console.print("stopping the stack, all data is kept", style="dim")
            stack.down()
    console.print(_where_next(home, keep_up or was_running), soft_wrap=True)
    sys.exit(0 if good else 1)


def options_of(chosen: Application) -> StackOptions:
    """Return the options of the stack of a demo: free ports, and near deadlines at first."""
    deadlines = json.dumps(near(contract_of(chosen).flows))
    return StackOptions(port_base=0, env={"SAGA_DEADLINES": deadlines})


def rehearse(
    stack: Stack,
    workload: Workload[Any],
    seed: int,
    count: int,
    console: Console,
    *,
    open_transactions: bool = False,
) -> bool:
    """Place the sagas, wait, check and print; return True if all went as required.

    open_transactions: somebody else has one open on every partition until all sagas have ended.
    """
    contract = contract_of(stack.application)
    sagas = workload.sagas(_run_name(), seed, count)
    began = time.monotonic()
    deadlines = Deadlines(stack, say=lambda line: console.print(line, style="dim"))
    with _progress_reporter(console, count) as report_progress:
        run = WorkloadRun(
            stack.read(), workload, contract, sagas, report_progress, deadlines=deadlines
        )
        with foreign_transactions(stack, open_transactions):
            outcomes = run.run()
    took_s = time.monotonic() - began
    console.print(_kinds(workload.kinds, outcomes))
    console.print(_speed(outcomes, run.progress.placing_s, took_s))
    console.print("checking the invariants", style="dim")
    findings = check(stack.read())
    console.print(_invariants(findings))
    wrong = [outcome for outcome in outcomes if not outcome.as_expected]
    for line in _trouble(wrong, findings):
        console.print(printable(line), style="red", soft_wrap=True, markup=False)
    return not wrong and all(finding.holds for finding in findings)


def _run_name() -> str:
    """Return a new name for each run, because a saga id can never be used again."""
    return f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"


# --- output ---------------------------------------------------------------------------------------


@contextmanager
def _progress_reporter(console: Console, sagas: int) -> Iterator[Callable[[Progress], None]]:
    """Yield a progress callback: a bar with live counts on a terminal, else a line now and then."""
    if not console.is_terminal:
        last = time.monotonic()

        def line(progress: Progress) -> None:
            nonlocal last
            if progress.ended == sagas or time.monotonic() - last >= TELL_EVERY_S:
                last = time.monotonic()
                console.print(f"{progress.ended} of {sagas} ended: {_ends(progress)}")

        yield line
        return
    columns = (
        TextColumn("sagas ended"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("placing", total=sagas)

        def move(progress: Progress) -> None:
            bar.update(task, completed=progress.ended, description=_ends(progress))

        yield move


def _ends(progress: Progress) -> str:
    return ", ".join(f"{n} {end}" for end, n in sorted(progress.ends.items()))


def _kinds(kinds: Sequence[SagaKind], outcomes: Sequence[SagaOutcome]) -> Table:
    """Return a table with a row per kind: number of sagas, ends, durations."""
    table = Table(title=f"{len(outcomes)} sagas", title_justify="left")
    table.add_column("kind")
    table.add_column("what happens")
    table.add_column("sagas", justify="right")
    table.add_column("outcome")
    table.add_column("median", justify="right")
    table.add_column("p99", justify="right")
    by_kind: dict[str, list[SagaOutcome]] = defaultdict(list)
    for outcome in outcomes:
        by_kind[outcome.saga.kind.name].append(outcome)
    for kind in kinds:
        found = by_kind.get(kind.name, [])
        if found:
            times = sorted(o.duration_s for o in found if o.duration_s is not None)
            ends = Counter(o.end if o.as_expected else f"{o.end} (!)" for o in found)
            ends_text = ", ".join(f"{n} {end}" for end, n in sorted(ends.items()))
            row = (kind.name, kind.about, str(len(found)), ends_text)
            table.add_row(*row, _seconds(_median(times)), _seconds(_p99(times)))
    return table


def _median(times: Sequence[float]) -> float | None:
    return statistics.median(times) if times else None


def _p99(times: Sequence[float]) -> float | None:
    """Return the 99th percentile of sorted times, by nearest rank."""
    return times[-(-99 * len(times) // 100) - 1] if times else None


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _speed(outcomes: Sequence[SagaOutcome], placing_s: float, took_s: float) -> str:
    ways = Counter(outcome.saga.entrance for outcome in outcomes)
    flows = Counter(outcome.saga.flow for outcome in outcomes)
    seconds = Counter(o.ended_at.replace(microsecond=0) for o in outcomes if o.ended_at)
    busiest = max(seconds.values(), default=0)
    entrances = ", ".join(f"{ways[e]} by {e}" for e in Entrance)
    flows_text = ", ".join(f"{n} on {flow}" for flow, n in sorted(flows.items()))
    return (
        f"{entrances}; {flows_text}\n"
        f"placed in {placing_s:.1f} s ({len(outcomes) / max(placing_s, 0.001):.0f} sagas/s), all "
        f"ended in {took_s:.1f} s ({len(outcomes) / max(took_s, 0.001):.0f} sagas/s, "
        f"including every wait for a timeout or a person; {busiest} in the busiest second)"
    )


def _invariants(findings: Sequence[Finding]) -> Table:
    table = Table(title="invariants, checked from outside", title_justify="left", show_lines=True)
    table.add_column("")
    table.add_column("invariant")
    table.add_column("checked against")
    table.add_column("")
    for finding in findings:
        verdict = "holds" if finding.holds else f"{finding.found} VIOLATIONS"
        style = "green" if finding.holds else "bold red"
        verdict_text = f"[{style}]{verdict}[/]"
        table.add_row(str(finding.number), finding.title, finding.checked_against, verdict_text)
    return table


def _trouble(wrong: Sequence[SagaOutcome], findings: Sequence[Finding]) -> Iterator[str]:
    for outcome in wrong[:20]:
        saga = outcome.saga
        yield f"{key_of(saga)} ({saga.entrance}, {saga.flow}): {outcome.end}, not {saga.end}"
    for finding in findings:
        yield from (f"invariant {finding.number}: {violation}" for violation in finding.violations)


def _where_next(home: Path, running: bool) -> str:
    saga = from_any_folder(f"SAGA_HOME={shlex.quote(str(home))} {command_name()}")
    start = "" if running else f"  {saga} up --detach    # the same stack and data again\n"
    return (
        f"where to look next\n{start}"
        f"  {saga} ls --limit 20\n"
        f"  {saga} show SAGA      # every event of one saga, who caused it, how long it took\n"
        f"  {home}/stack.json and {home}/logs/"
    )
