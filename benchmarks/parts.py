"""Measures what single parts cost, and the bare cost of the same rows.

`python -m benchmarks.parts [--orders N] [--open N] [--rounds N] [--json FILE]`. Placed orders go
through inventory, whose rows and events are real. Each part works on the rows and events that the
part before it left.
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

from benchmarks.live import effects, streamed
from benchmarks.measured import Part, codec_and_decide, monitor, placed, relay, scan, transaction
from benchmarks.report import machine
from benchmarks.site import servers
from sagakit.service.main import tune_gc
from sagakit.telemetry import logs


@click.command()
@click.option("--orders", default=10_000, show_default=True, help="That go through each part.")
@click.option("--open", "waiting", default=1_000_000, show_default=True, help="Open deadlines.")
@click.option("--rounds", default=3, show_default=True, help="Medians are over these.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the figures here.")
def parts(orders: int, waiting: int, rounds: int, file: Path | None) -> None:
    """Measure the parts on this machine, on fresh servers in every round."""
    logs.configure(json=False, participant="parts", level="WARNING")
    here = machine()
    tune_gc()
    runs = [part for _ in range(rounds) for part in _round(orders, waiting)]
    found = medians(runs)
    Console().print(_table(found))
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
            statistics.median(p.bare_a_second for p in some),
        )
        for name, some in by_name.items()
    ]


def _round(orders: int, waiting: int) -> Iterator[Part]:
    records = placed(orders)
    yield from codec_and_decide(records)
    with servers() as site:
        yield transaction(site, records)
        relayed, events = relay(site)
        yield relayed
        yield effects(site, events)
        yield monitor(site, [*records, *events])
        yield from streamed(site, records)
        yield from scan(site, waiting)


def _table(found: list[Part]) -> Table:
    table = Table(title="parts", title_justify="left")
    for number, column in enumerate(("part", "a second", "bare", "of bare")):
        table.add_column(column, justify="right" if number else "left")
    for part in found:
        bare = part.bare_a_second
        share = (f"{bare:,.0f}", f"{100 * part.a_second / bare:.0f} %") if bare else ("", "")
        table.add_row(part.name, f"{part.a_second:,.0f}", *share)
    return table


if __name__ == "__main__":
    parts()
