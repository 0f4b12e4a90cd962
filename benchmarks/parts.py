"""Measures the rate of single parts, and a baseline for each: the same rows without our code.

`python -m benchmarks.parts [--orders N] [--open N] [--rounds N] [--json FILE]`. Placed orders go
through inventory, so rows and events are real. Each part works on the rows and events of the part
before it.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.async_parts import effects, stream_reading
from benchmarks.hot_path_parts import relay_from_memory, usual_transaction
from benchmarks.report import machine, table_of
from benchmarks.sync_parts import (
    Part,
    codec_and_decide,
    monitor,
    placed_records,
    relay,
    scan,
    transaction,
)
from benchmarks.testbed import start_testbed
from sagakit.garbage_collection import tune_gc
from sagakit.telemetry import logs

WIDTH = 100


@click.command()
@click.option("--orders", default=10_000, show_default=True, help="Orders through each part.")
@click.option("--open", "waiting", default=1_000_000, show_default=True, help="Open deadlines.")
@click.option("--rounds", default=3, show_default=True, help="Figures are medians of the rounds.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="File for the figures.")
def parts(orders: int, waiting: int, rounds: int, file: Path | None) -> None:
    """Measure the parts on this machine. Every round has fresh servers."""
    logs.configure(json=False, participant="parts", level="WARNING")
    here = machine()
    tune_gc()
    runs = [part for _ in range(rounds) for part in _round(orders, waiting)]
    found = medians(runs)
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(_table(found))
    if file is not None:
        results = {"machine": here, "parts": [asdict(p) for p in found], "runs": runs}
        file.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def medians(runs: list[Part]) -> list[Part]:
    """Return one part per name, in order of measurement, with the medians of both figures."""
    by_name: dict[str, list[Part]] = defaultdict(list)
    for part in runs:
        by_name[part.name].append(part)
    return [
        Part(
            name,
            statistics.median(p.a_second for p in some),
            statistics.median(p.baseline_a_second for p in some),
            some[0].goal,
        )
        for name, some in by_name.items()
    ]


def _round(orders: int, waiting: int) -> Iterator[Part]:
    records = placed_records(orders)
    yield from codec_and_decide(records)
    with start_testbed() as testbed:
        yield transaction(testbed, records)
        yield usual_transaction(testbed, orders)
        relayed, events = relay(testbed)
        yield relayed
        yield relay_from_memory(testbed)
        yield effects(testbed, events)
        yield monitor(testbed, [*records, *events])
        yield from stream_reading(testbed, records)
        yield from scan(testbed, waiting)


def _table(found: list[Part]) -> Table:
    table = table_of("parts", ("part", "a second", "baseline", "of baseline", "goal"))
    for part in found:
        baseline = part.baseline_a_second
        of_baseline = ("", "")
        if baseline:
            of_baseline = (f"{baseline:,.0f}", f"{100 * part.a_second / baseline:.0f} %")
        goal = f"{100 * part.goal:.0f} %" if part.goal else ""
        table.add_row(part.name, f"{part.a_second:,.0f}", *of_baseline, goal)
    return table


if __name__ == "__main__":
    parts()
