"""Measures how the cost of an order changes with replicas, orders in flight and history.

It prints tables and writes JSON. `make bench-scaling` does the same as
`python -m benchmarks.scaling [--only replicas,size,volume,idle-cost,queries] [--scale F]
[--pairs N] [--seconds N] [--json FILE]`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import WIDTH
from benchmarks.platform_contender import Platform
from benchmarks.report import machine
from benchmarks.scaling import report
from benchmarks.scaling.idle_cost import measure_idle_cost
from benchmarks.scaling.prefilled_homes import EMPTY, Prefill, PrefilledHomes
from benchmarks.scaling.queries import measure_queries
from benchmarks.scaling.replicas import measure_grid
from benchmarks.scaling.size import measure_sizes
from benchmarks.scaling.volume import run_by_turns
from benchmarks.testbed import new_home

PARTS = ("replicas", "size", "volume", "idle-cost", "queries")
FEW, MANY, FINISHED = Prefill(10_000), Prefill(1_000_000), Prefill(1_000_000, history=True)
PARTS_BY_PREFILL: dict[Prefill, Sequence[str]] = {
    FEW: ("volume",),
    MANY: ("volume", "idle-cost", "queries"),
    FINISHED: ("volume", "queries"),
}
"""The prefills, and the parts that measure each of them."""
Result = tuple[str, Any, Iterator[Table]]
"""The key in the JSON, the figures and the tables of a part."""


@dataclass(frozen=True)
class Options:
    """The command's options."""

    parts: Sequence[str]
    scale: float
    pairs: int
    seconds: float

    @property
    def count(self) -> int:
        """Return the number of orders of a saturation run."""
        return max(20, round(Platform().orders * self.scale))


@click.command()
@click.option("--only", help=f"Parts, out of {','.join(PARTS)}; all by default.")
@click.option("--scale", default=1.0, show_default=True, help="Factor on all numbers of orders.")
@click.option("--pairs", default=3, show_default=True, help="Rounds; figures are their medians.")
@click.option("--seconds", default=60.0, show_default=True, help="Time to watch idle processes.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="File for the figures.")
def scaling(only: str | None, scale: float, pairs: int, seconds: float, file: Path | None) -> None:
    """Measure on this machine. It needs up to 20 GB of disk and frees them at the end."""
    options = Options(_chosen(only), scale, pairs, seconds)
    console = Console()
    console.width = max(console.width, WIDTH)
    figures: dict[str, Any] = {"machine": machine()}
    for name, found, tables in _measure(options, console):
        figures[name] = found
        for table in tables:
            console.print(table)
        if file is not None:  # keeps finished parts if a later one fails
            file.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


def _measure(options: Options, console: Console) -> Iterator[Result]:
    if "replicas" in options.parts:
        points = measure_grid(options.pairs, options.scale, console.print)
        yield "replicas", _as_numbers(points), report.of_grid(points)
    if "size" in options.parts:
        with new_home() as home:
            sizes = measure_sizes(home / "size", options.pairs, options.count)
        yield "size", asdict(sizes), report.of_size(sizes)
    for prefill, parts in PARTS_BY_PREFILL.items():
        chosen = [part for part in parts if part in options.parts]
        if chosen:
            yield from _measure_prefill(prefill, chosen, options, console)


def _measure_prefill(
    prefill: Prefill, parts: Sequence[str], options: Options, console: Console
) -> Iterator[Result]:
    """Run the parts of a prefill in homes of its own. Remove them before the next prefill."""
    prefill = Prefill(max(1, round(prefill.count * options.scale)), prefill.history)
    with new_home() as folder:
        homes = PrefilledHomes(folder, console.print)
        homes.of(EMPTY)
        homes.of(prefill)
        yield f"rows, {prefill.name}", homes.rows, iter(())
        if "volume" in parts:
            runs = run_by_turns(homes, prefill, options.pairs, options.count, console.print)
            result = {**asdict(runs), "medians": _as_numbers(runs.medians), "ratio": runs.of_empty}
            yield f"volume, {prefill.name}", result, report.of_volume([runs])
        if "idle-cost" in parts:
            idle = measure_idle_cost(homes, prefill, options.pairs, options.seconds, console.print)
            yield f"idle-cost, {prefill.name}", asdict(idle), report.of_idle_cost(idle)
        if "queries" in parts:
            times = measure_queries(homes, prefill)
            yield (
                f"queries, {prefill.name}",
                _as_numbers(times),
                report.of_queries(prefill.name, times),
            )


def _as_numbers(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: asdict(one) for name, one in found.items()}
    return [asdict(one) for one in found]


def _chosen(only: str | None) -> list[str]:
    wanted = list(PARTS) if only is None else only.split(",")
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(PARTS)}", param_hint="only")
    return wanted


if __name__ == "__main__":
    scaling()
