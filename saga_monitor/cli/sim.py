"""`saga sim`: the whole choreography on a virtual clock, seed after seed."""

import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from functools import partial

import click
from rich.console import Console
from rich.progress import track

from sandbox.simulation.chances import Chances
from sandbox.simulation.play import Report, play
from sandbox.simulation.shrink import Case, shrink, story

FAULTS = tuple(f.name for f in fields(Chances))
NUMBER = click.IntRange(min=0)


def _orders(_: click.Context, __: click.Parameter, value: str) -> tuple[int, ...]:
    words = [word for word in value.split(",") if word]
    if not all(word.isascii() and word.isdigit() and len(word) < 6 for word in words):
        raise click.BadParameter(f"{value[:40]!r} names no orders; write their numbers: 0,3")
    return tuple(int(word) for word in words)


def _faults(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    words = tuple(word for word in value.split(",") if word)
    for word in words:
        if word not in FAULTS:
            raise click.BadParameter(f"{word[:40]!r} is no fault; choose from {', '.join(FAULTS)}")
    return words


@click.command()
@click.option(
    "--seeds",
    default=200,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many worlds to play.",
)
@click.option("--from", "first", default=0, show_default=True, type=NUMBER, help="The first seed.")
@click.option(
    "--orders",
    default=6,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Orders in each world.",
)
@click.option("--only", default="", callback=_orders, help="Only these orders of each world: 0,3.")
@click.option("--without", default="", callback=_faults, help="Without these faults: crash,pause.")
@click.option(
    "--schedule", default=0, type=NUMBER, help="Another way to play the same orders and faults."
)
@click.option("--shrink", "smaller", is_flag=True, help="Make broken seeds small.")
def sim(
    seeds: int,
    first: int,
    orders: int,
    only: tuple[int, ...],
    without: tuple[str, ...],
    schedule: int,
    smaller: bool,
) -> None:
    """Play worlds with crashes, repeats and lost answers; check every invariant in each.

    A seed that breaks one prints the command that plays it again, and its story. Exit status 1
    then.
    """
    console = Console(stderr=True)
    chosen = only or tuple(range(orders))
    one = partial(play, orders=chosen, without=without, schedule=schedule)
    began = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        played = pool.map(one, range(first, first + seeds), chunksize=4)
        reports = list(track(played, "playing", total=seeds, console=console))
    took_s = time.monotonic() - began
    broken = [r.seed for r in reports if r.violations]
    for seed in broken:
        tell(Case(seed, chosen, without, schedule), smaller)
    click.echo(summary(reports, took_s))
    sys.exit(1 if broken else 0)


def tell(case: Case, smaller: bool) -> None:
    """A broken seed: how to play it again, what does not hold, and what happened."""
    case = shrink(case) if smaller else case
    world, found = case.play()
    click.echo(f"seed {case.seed}: {case.command()}")
    for said in [*found, *story(world, found)]:
        click.echo(f"  {said}")


def summary(reports: list[Report], took_s: float) -> str:
    """Figures: seeds and their ends, faults by kind."""
    crashes = sum(r.crashes for r in reports)
    steps = sum(r.steps for r in reports)
    ends = Counter(status for report in reports for status in report.ends.values())
    faults = sum((Counter(report.faults) for report in reports), Counter[str]())
    told = ", ".join(f"{n} {status}" for status, n in sorted(ends.items()))
    kinds = ", ".join(f"{n} {fault}" for fault, n in sorted(faults.items()))
    bad = sum(bool(r.violations) for r in reports)
    speed = len(reports) / max(took_s, 0.001)
    return (
        f"{len(reports)} seeds ({speed:.1f}/s), {steps} steps, {crashes} crashes; "
        f"{told}; {bad} seeds broken\nfaults: {kinds or 'none'}"
    )
