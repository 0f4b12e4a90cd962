"""Simulate the whole choreography on a virtual clock, for many seeds: `saga sim`."""

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

from saga_lab.simulation.fault_rates import FAULTS
from saga_lab.simulation.runner import SeedReport, run_seed
from saga_lab.simulation.shrink import FailingCase, shrink, story

INTERRUPTED = 130
PROGRESS_EVERY_S = 30.0
NUMBER = click.IntRange(min=0)


def _orders(_: click.Context, __: click.Parameter, value: str) -> tuple[int, ...]:
    words = [word for word in value.split(",") if word]
    if not all(word.isascii() and word.isdigit() and len(word) < 6 for word in words):
        raise click.BadParameter(
            f"{value[:40]!r} is not a list of orders; write their numbers, for example 0,3"
        )
    return tuple(int(word) for word in words)


def _faults(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    words = tuple(word for word in value.split(",") if word)
    for word in words:
        if word not in FAULTS:
            raise click.BadParameter(
                f"{word[:40]!r} is not a fault; choose from {', '.join(FAULTS)}"
            )
    return words


@click.command()
@click.option(
    "--seeds",
    default=200,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of seeds to simulate.",
)
@click.option("--from", "first", default=0, show_default=True, type=NUMBER, help="The first seed.")
@click.option(
    "--orders",
    default=6,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Orders of each seed.",
)
@click.option(
    "--only", default="", callback=_orders, help="Simulate only these orders of each seed: 0,3."
)
@click.option(
    "--without", default="", callback=_faults, help="Leave out these faults: crash,pause."
)
@click.option(
    "--schedule", default=0, type=NUMBER, help="Another interleaving of the same orders and faults."
)
@click.option(
    "--shrink",
    "smaller",
    is_flag=True,
    help="Shrink a seed with a violation to the fewest orders and faults.",
)
def sim(
    seeds: int,
    first: int,
    orders: int,
    only: tuple[int, ...],
    without: tuple[str, ...],
    schedule: int,
    smaller: bool,
) -> None:
    """Simulate orders with crashes, repeated events and lost answers; check every invariant.

    Each seed is one simulation. For a seed with a violation the command prints at once how to
    repeat it, and what happened. Exit status 0: no violation; 1: a violation; 130: interrupted by
    Ctrl-C or SIGTERM without a violation so far.
    """
    chosen = only or tuple(range(orders))
    one = partial(run_seed, orders=chosen, without=without, schedule=schedule)
    tally = Tally()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pool = ProcessPoolExecutor(os.cpu_count(), initializer=_ignore_interrupts)
    try:
        played = pool.map(one, range(first, first + seeds), chunksize=4)
        for report in _with_progress(played, seeds, tally):
            tally.add(report)
            if report.violations:
                print_violation(FailingCase(report.seed, chosen, without, schedule), smaller)
    except KeyboardInterrupt:
        click.echo(
            f"interrupted; of {seeds} seeds from {first} on, the first {tally.seeds} are reported"
        )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    click.echo(tally.summary())
    sys.exit(1 if tally.broken else INTERRUPTED if tally.seeds < seeds else 0)


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
    click.echo(f"seed {case.seed}: {case.command()}")
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
            f"{self.line()}; {self.steps} steps, {self.crashes} crashes; {ends or 'no order'}\n"
            f"faults: {kinds or 'none'}"
        )
