"""Counts transactions, statements, round trips and Kafka requests of an order, for any contender.

`python -m benchmarks.counts [--only platform,plain] [--rate N] [--seconds N] [--texts]`. The
proxies take CPU of their own, so times are measured by `make bench`, not here.
"""

from collections import Counter
from collections.abc import Mapping

import click
from rich.console import Console

from benchmarks.contenders import CONTENDERS
from benchmarks.counting.model import WHATS, Counts
from benchmarks.figures import Figures
from benchmarks.orders import orders
from benchmarks.report import table_of
from benchmarks.testbed import COUNTED

MOST_TEXTS = 12
WIDTH = 110


@click.command()
@click.option("--only", default="platform", show_default=True, help="Contenders to count.")
@click.option("--rate", default=10, show_default=True, help="Orders a second.")
@click.option("--seconds", default=20, show_default=True, help="Length of the run.")
@click.option("--texts", is_flag=True, help="Also print each service's most frequent statements.")
def count(only: str, rate: int, seconds: int, texts: bool) -> None:
    """Count on fresh servers, at a steady rate."""
    console = Console()
    console.width = max(console.width, WIDTH)
    COUNTED.set(True)
    for contender in (c for c in CONTENDERS if c.name in only.split(",")):
        with contender.deploy() as deployment:
            deployment.place(orders("warm", 1, 50), rate)
            deployment.testbed.counts.clear()
            figures = deployment.place(orders("counted", 2, rate * seconds), rate)
            title = f"{contender.name}, an order at {rate}/s"
            _report(console, title, deployment.testbed.counts.snapshot(), figures, texts)


def _report(console: Console, title: str, counts: Counts, figures: Figures, texts: bool) -> None:
    """Print the counts of a run."""
    table = table_of(title, ("", *WHATS))
    for name, row in counts_an_order(counts, figures.orders).items():
        table.add_row(name, *(f"{number:.2f}" for number in row))
    console.print(table)
    console.print(f"Kafka requests an order: {_by_name(counts.requests, figures.orders)}")
    cpu = ", ".join(f"{n} {ms:.1f}" for n, ms in figures.cpu_ms_an_order.items())
    console.print(f"CPU ms an order: {figures.cpu_ms:.1f} ({cpu}); p50 {figures.p50_ms:.0f} ms")
    for name in sorted(counts.texts) if texts else ():
        console.print(f"[bold]{name}")
        for text, number in counts.texts[name].most_common(MOST_TEXTS):
            console.print(f"  {number / figures.orders:6.2f} {text[:WIDTH]}", markup=False)


def counts_an_order(counts: Counts, orders: int) -> dict[str, list[float]]:
    """Return service -> counts an order of WHATS, and at last those of all services together."""
    rows = {
        name: [whats[what] / orders for what in WHATS]
        for name, whats in sorted(counts.whats.items())
        if whats
    }
    return {**rows, "together": [sum(column) for column in zip(*rows.values(), strict=True)]}


def _by_name(requests: Mapping[str, Counter[str]], orders: int) -> str:
    """Return the Kafka requests of all services by name, the most frequent first."""
    together = sum(requests.values(), Counter[str]())
    return ", ".join(f"{name} {n / orders:.2f}" for name, n in together.most_common())


if __name__ == "__main__":
    count()
