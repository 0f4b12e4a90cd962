"""Share what rehearsals need: a stack without data, silent logs, and how far a run is."""

import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from saga_lab.application import Application
from saga_lab.chaos.runner import ChaosRun, InjectedFault
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.stack import Stack, StackHome
from sagakit.foreign_text import printable

PROGRESS_EVERY_S = 10.0


def silence_logs() -> None:
    """Silence log messages: a broker that does not answer is expected here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)


def refuse_running(home: Path) -> None:
    """Raise StackError if a stack is running in the home of a rehearsal."""
    if StackHome(home).supervisor.running():
        raise StackError(
            f"the stack of a rehearsal is running in {home}. "
            f"Stop it with `SAGA_HOME={home} saga down`."
        )


def fresh_stack(home: Path, chosen: Application, options: StackOptions, console: Console) -> Stack:
    """Start a stack without data. Raises StackError if one is running there."""
    refuse_running(home)
    StackHome(home).down()  # stop processes and unmount disks of a run that was killed
    shutil.rmtree(home, ignore_errors=True)
    return stack_with_data(home, chosen, options, console)


def stack_with_data(
    home: Path, chosen: Application, options: StackOptions, console: Console
) -> Stack:
    """Start a stack on the data that its home has. Raises StackError."""
    return Stack.up(home, chosen, options, say=lambda line: console.print(line, style="dim"))


@contextmanager
def progress(console: Console, run: ChaosRun) -> Iterator[Callable[[], None]]:
    """Yield a progress callback: a live table on a terminal, else a line now and then."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            yield lambda: live.update(_progress_table(run))
        return
    last, phase, printed = time.monotonic(), "", 0
    failed = set[int]()

    def print_news() -> None:
        nonlocal last, phase, printed
        for fault in run.faults[printed:]:
            printed += 1
            console.print(f"{fault.injected_at:5.0f} s  {_name(fault)}", markup=False)
        for fault in run.faults:
            if fault.error and fault.planned.number not in failed:
                failed.add(fault.planned.number)
                console.print(f"   failed: {_name(fault)}: {printable(fault.error)}", markup=False)
        if run.phase != phase or time.monotonic() - last >= PROGRESS_EVERY_S:
            last, phase = time.monotonic(), run.phase
            console.print(_progress_line(run), soft_wrap=True, markup=False)

    yield print_news


def _progress_line(run: ChaosRun) -> str:
    progress = run.site.load.progress
    active = ", ".join(map(_name, run.active)) or "none"
    failed = sum(1 for fault in run.faults if fault.error)
    return (
        f"{run.site.load.pace.past_s:5.0f} s  {run.phase}; {progress.placed} sagas placed, "
        f"{progress.ended} ended; {len(run.faults)} of {len(run.plan)} faults, {failed} failed; "
        f"active: {active}"
    )


def _name(fault: InjectedFault) -> str:
    return f"{fault.planned.kind.name}: {fault.planned.target}"


def _progress_table(run: ChaosRun) -> Group:
    progress = run.site.load.progress
    ends = ", ".join(f"{n} {end}" for end, n in sorted(progress.ends.items()))
    table = Table.grid(padding=(0, 2))
    table.add_row("", Text(f"{run.site.load.pace.past_s:.0f} s, {run.phase}", style="bold"))
    table.add_row("sagas", f"{progress.placed} of {progress.sagas} placed, {progress.ended} ended")
    table.add_row("", Text(ends, style="dim"))
    table.add_row("faults", f"{len(run.faults)} of {len(run.plan)}")
    for fault in run.active:
        table.add_row("  active", Text(_name(fault), "yellow"))
    table.add_row("down", Text(", ".join(run.site.down()) or "nothing", "red"))
    for fault in run.faults:
        if fault.error:
            table.add_row(
                "  failed", Text(f"{fault.planned.kind.name}: {printable(fault.error)}", "bold red")
            )
    for finding in run.findings:
        verdict = "holds" if finding.holds else f"{finding.found} violations"
        table.add_row(
            f"  {finding.number}",
            Text(f"{finding.title}: {verdict}", "green" if finding.holds else "red"),
        )
    if not run.findings:
        table.add_row("invariants", Text("checked once all sagas have ended", style="dim"))
    counts = Counter(fault.planned.kind.name for fault in run.faults)
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
    return Group(table, Text(kinds, style="dim"))
