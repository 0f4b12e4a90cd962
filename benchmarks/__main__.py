"""`make bench`: the order saga end to end, at saturation and at a steady rate, as a table and JSON.

`python -m benchmarks [--orders N] [--steady N] [--json FILE]`.
"""

import os
import platform
from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.ours import KINDS, Figures, deployed
from sandbox.shop import Shop

WARM_UP = 1000
"""The broker's JIT, the caches, the pools: what a long run has behind it."""


@click.command()
@click.option("--orders", default=10_000, show_default=True, help="Placed at once: saturation.")
@click.option("--steady", default=50, show_default=True, help="Orders a second, for 20 seconds.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the figures here.")
def bench(orders: int, steady: int, file: Path | None) -> None:
    """Measure the platform on this machine: real Kafka and PostgreSQL with durable settings."""
    with deployed() as platform_:
        platform_.place(Shop("warm", 1, KINDS).orders(WARM_UP))
        found = {
            "saturation": platform_.place(Shop("full", 2, KINDS).orders(orders)),
            f"{steady} orders/s": platform_.place(
                Shop("steady", 3, KINDS).orders(20 * steady), steady
            ),
        }
    console = Console()
    console.print(_table(found))
    for name, figures in found.items():
        console.print(_cost(name, figures))
    if file is not None:
        told = {name: asdict(figures) for name, figures in found.items()}
        file.write_bytes(orjson.dumps({"machine": machine(), **told}, option=orjson.OPT_INDENT_2))


def machine() -> dict[str, str | int | None]:
    """What these figures were measured on."""
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": model[0] if model else platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def _table(found: dict[str, Figures]) -> Table:
    table = Table(title=f"order saga, end to end, {os.cpu_count()} cores", title_justify="left")
    for column in ("run", "orders", "orders/s", "p50", "p99", "CPU an order"):
        table.add_column(column, justify="left" if column == "run" else "right")
    for name, f in found.items():
        table.add_row(
            name,
            str(f.orders),
            f"{f.orders_a_second:.0f}",
            f"{f.p50_ms:.0f} ms",
            f"{f.p99_ms:.0f} ms",
            f"{f.cpu_ms:.2f} ms",
        )
    return table


def _cost(name: str, figures: Figures) -> Table:
    table = Table(title=f"{name}: where it goes", title_justify="left")
    for column in ("process", "CPU an order", "memory"):
        table.add_column(column, justify="left" if column == "process" else "right")
    for process, ms in sorted(figures.cpu_ms_an_order.items(), key=lambda item: -item[1]):
        table.add_row(process, f"{ms:.2f} ms", f"{figures.memory_mb[process]:.0f} MiB")
    return table


if __name__ == "__main__":
    bench()
