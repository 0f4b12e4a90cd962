"""Simulate the whole choreography on a virtual clock, for many seeds, for `saga sim`."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import click
from rich.console import Console
from rich.progress import track

from saga_cli.application import application, from_any_folder
from saga_lab.simulation.interface import simulation_of
from saga_lab.simulation.runner import SeedReport, run_seed_of
from saga_lab.simulation.shrink import FailingCase, shrink, story

INTERRUPTED = 130
PROGRESS_EVERY_S = 30.0


def run(
    seeds: range,
    sagas: tuple[int, ...],
    without: tuple[str, ...],
    schedule: int,
    smaller: bool,
) -> None:
    """Run the command. Raises SystemExit with its status."""
    played = application()
    simulation = simulation_of(played)
    one = partial(run_seed_of, played, sagas=sagas, without=without, schedule=schedule)
    tally = Tally()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pool = ProcessPoolExecutor(os.cpu_count(), initializer=_ignore_interrupts)
    try:
        reports = pool.map(one, seeds, chunksize=4)
        for report in _with_progress(reports, len(seeds), tally):
            tally.add(report)
            if report.violations:
                print_violation(
                    FailingCase(simulation, report.seed, sagas, without, schedule), smaller
                )
    except KeyboardInterrupt:
        click.echo(
            f"interrupted; of {len(seeds)} seeds from {seeds.start} on, "
            f"the first {tally.seeds} are reported"
        )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    click.echo(tally.summary())
    sys.exit(1 if tally.broken else INTERRUPTED if tally.seeds < len(seeds) else 0)


def _ignore_interrupts() -> None:
    """Ignore SIGINT in a worker process, and let SIGTERM end it.

    On Ctrl-C the main process stops the workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _with_progress(
    played: Iterator[SeedReport], seeds: int, tally: "Tally"
) -> Iterator[SeedReport]:
    """Yield the reports, with a progress bar on a terminal, else with a line now and then."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(played, "simulating", total=seeds, console=console)
        return
    printed_at = time.monotonic()
    for report in played:
        yield report
        if time.monotonic() - printed_at >= PROGRESS_EVERY_S:
            printed_at = time.monotonic()
            click.echo(tally.line(), err=True)


def print_violation(case: FailingCase, smaller: bool) -> None:
    """Print a seed with a violation: how to repeat it, what is violated, and what happened."""
    case = shrink(case) if smaller else case
    world, found = case.run()
    click.echo(f"seed {case.seed}: {from_any_folder(case.command())}")
    for line in [*found, *story(world, found)]:
        click.echo(f"  {line}")


@dataclass
class Tally:
    """Counts the seeds played so far: their ends, and faults by kind."""

    began: float = field(default_factory=time.monotonic)
    seeds: int = 0
    steps: int = 0
    crashes: int = 0
    broken: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, report: SeedReport) -> None:
        """Add the report of one seed."""
        self.seeds += 1
        self.steps += report.steps
        self.crashes += report.crashes
        self.broken += bool(report.violations)
        self.ends.update(report.ends.values())
        self.faults.update(report.faults)

    def line(self) -> str:
        """Return a line on the progress."""
        speed = self.seeds / max(time.monotonic() - self.began, 0.001)
        return f"{self.seeds} seeds ({speed:.1f}/s), {self.broken} with violations"

    def summary(self) -> str:
        """Return the figures of all seeds."""
        ends = ", ".join(f"{n} {status}" for status, n in sorted(self.ends.items()))
        kinds = ", ".join(f"{n} {fault}" for fault, n in sorted(self.faults.items()))
        return (
            f"{self.line()}; {self.steps} steps, {self.crashes} crashes; {ends or 'no saga'}\n"
            f"faults: {kinds or 'none'}"
        )
