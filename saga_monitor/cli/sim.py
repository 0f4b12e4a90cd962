"""`saga sim`: the whole choreography on a virtual clock, seed after seed."""

import os
import sys
from concurrent.futures import ProcessPoolExecutor

import click
from rich.console import Console
from rich.progress import track

from sandbox.simulation.play import Report, play


@click.command()
@click.option("--seeds", default=200, show_default=True, help="How many worlds to play.")
@click.option("--from", "first", default=0, show_default=True, help="The first seed.")
@click.option("--orders", default=6, show_default=True, help="Orders in each world.")
def sim(seeds: int, first: int, orders: int) -> None:
    """Play worlds with crashes, repeats and lost answers; check every invariant in each.

    A seed that breaks one prints the command that plays it again. Exit status 1 then.
    """
    console = Console(stderr=True)
    numbers = range(first, first + seeds)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        played = pool.map(play, numbers, [orders] * seeds, chunksize=4)
        reports = list(track(played, "playing", total=seeds, console=console))
    broken = [r for r in reports if r.violations]
    for report in broken:
        click.echo(f"seed {report.seed}: saga sim --seeds 1 --from {report.seed} --orders {orders}")
        for said in report.violations:
            click.echo(f"  {said}")
    click.echo(summary(reports))
    sys.exit(1 if broken else 0)


def summary(reports: list[Report]) -> str:
    """One line of figures."""
    crashes = sum(r.crashes for r in reports)
    steps = sum(r.steps for r in reports)
    ends: dict[str, int] = {}
    for report in reports:
        for status in report.ends.values():
            ends[status] = ends.get(status, 0) + 1
    told = ", ".join(f"{n} {status}" for status, n in sorted(ends.items()))
    bad = sum(bool(r.violations) for r in reports)
    return f"{len(reports)} seeds, {steps} steps, {crashes} crashes; {told}; {bad} seeds broken"
