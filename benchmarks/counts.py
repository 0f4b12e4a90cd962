"""Counts transactions, statements and round trips of an order, for any contender.

`python -m benchmarks.counts [--only platform,plain] [--rate N] [--seconds N] [--texts]`. The proxy
takes CPU of its own, so times are measured by `make bench`, not here.
"""

import click
from rich.console import Console

from benchmarks.contenders import CONTENDERS
from benchmarks.counting_proxy import WHATS, Counts
from benchmarks.orders import orders
from benchmarks.report import table_of
from benchmarks.testbed import COUNTED

MOST_TEXTS = 12
WIDTH = 110


@click.command()
@click.option("--only", default="platform", show_default=True, help="Contenders to count.")
@click.option("--rate", default=10, show_default=True, help="Orders a second.")
@click.option("--seconds", default=20, show_default=True, help="Length of the run.")
@click.option("--texts", is_flag=True, help="Also print each database's most frequent statements.")
def count(only: str, rate: int, seconds: int, texts: bool) -> None:
    """Count on fresh servers, at a steady rate."""
    console = Console()
    console.width = max(console.width, WIDTH)
    COUNTED.set(True)
    for contender in (c for c in CONTENDERS if c.name in only.split(",")):
        with contender.deploy() as deployment:
            counts: Counts = deployment.testbed.counts  # type: ignore[attr-defined]
            deployment.place(orders("warm", 1, 50), rate)
            counts.clear()
            placed = orders("counted", 2, rate * seconds)
            figures = deployment.place(placed, rate)
        table = table_of(f"{contender.name}, an order at {rate}/s", ("", *WHATS))
        rows = {
            name: [whats[what] / figures.orders for what in WHATS]
            for name, whats in counts.whats.items()
            if name
        }
        rows["together"] = [sum(column) for column in zip(*rows.values(), strict=True)]
        for name, row in rows.items():
            table.add_row(name, *(f"{number:.2f}" for number in row))
        console.print(table)
        cpu = ", ".join(f"{n} {ms:.1f}" for n, ms in figures.cpu_ms_an_order.items())
        console.print(f"CPU ms an order: {figures.cpu_ms:.1f} ({cpu}); p50 {figures.p50_ms:.0f} ms")
        for name in sorted(counts.texts) if texts else ():
            console.print(f"[bold]{name}")
            for text, number in counts.texts[name].most_common(MOST_TEXTS):
                console.print(f"  {number / figures.orders:6.2f} {text[:WIDTH]}", markup=False)


if __name__ == "__main__":
    count()
