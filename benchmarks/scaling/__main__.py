"""Measures how the cost of an order changes with replicas, orders in flight and history.

It prints tables and writes JSON. `make bench-scaling`, or
`python -m benchmarks.scaling [--only replicas,size,crowd,waiting,looks] [--scale F] [--pairs N]
[--seconds N] [--json FILE]`.
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
from benchmarks.ours import Platform
from benchmarks.report import machine
from benchmarks.scaling import report
from benchmarks.scaling.crowd import crowded
from benchmarks.scaling.homes import EMPTY, Homes, Level
from benchmarks.scaling.looks import looked
from benchmarks.scaling.replicas import grid
from benchmarks.scaling.size import sized
from benchmarks.scaling.waiting import waited
from benchmarks.site import new_home

PARTS = ("replicas", "size", "crowd", "waiting", "looks")
FEW, MANY, FINISHED = Level(10_000), Level(1_000_000), Level(1_000_000, history=True)
BESIDE: dict[Level, Sequence[str]] = {
    FEW: ("crowd",),
    MANY: ("crowd", "waiting", "looks"),
    FINISHED: ("crowd", "looks"),
}
"""The levels, and the parts that measure each of them."""
Row = tuple[str, Any, Iterator[Table]]
"""The key in the JSON, the figures, the tables."""


@dataclass(frozen=True)
class Wanted:
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
@click.option("--only", help=f"Some of {','.join(PARTS)}; all by default.")
@click.option("--scale", default=1.0, show_default=True, help="Of all numbers of orders.")
@click.option("--pairs", default=3, show_default=True, help="Rounds; medians are over these.")
@click.option("--seconds", default=60.0, show_default=True, help="Of watching idle processes.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the figures here.")
def scaling(only: str | None, scale: float, pairs: int, seconds: float, file: Path | None) -> None:
    """Measure on this machine; up to 20 GB of disk are needed, and given back."""
    wanted = Wanted(_chosen(only), scale, pairs, seconds)
    console = Console()
    console.width = max(console.width, WIDTH)
    figures: dict[str, Any] = {"machine": machine()}
    for name, found, tables in _measured(wanted, console):
        figures[name] = found
        for table in tables:
            console.print(table)
        if file is not None:  # keeps finished parts if a later one fails
            file.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


def _measured(wanted: Wanted, console: Console) -> Iterator[Row]:
    if "replicas" in wanted.parts:
        points = grid(wanted.pairs, wanted.scale, console.print)
        yield "replicas", _as_numbers(points), report.of_grid(points)
    if "size" in wanted.parts:
        with new_home() as home:
            sizes = sized(home / "size", wanted.pairs, wanted.count)
        yield "size", asdict(sizes), report.of_size(sizes)
    for level, parts in BESIDE.items():
        chosen = [part for part in parts if part in wanted.parts]
        if chosen:
            yield from _beside(level, chosen, wanted, console)


def _beside(level: Level, parts: Sequence[str], wanted: Wanted, console: Console) -> Iterator[Row]:
    """Run a level's parts in homes of its own, which are removed before the next level's exist."""
    level = Level(max(1, round(level.count * wanted.scale)), level.history)
    with new_home() as folder:
        homes = Homes(folder, console.print)
        homes.of(EMPTY)
        homes.of(level)
        yield f"rows, {level.name}", homes.rows, iter(())
        if "crowd" in parts:
            runs = crowded(homes, level, wanted.pairs, wanted.count, console.print)
            result = {**asdict(runs), "medians": _as_numbers(runs.medians), "ratio": runs.of_empty}
            yield f"crowd, {level.name}", result, report.of_crowd([runs])
        if "waiting" in parts:
            idle = waited(homes, level, wanted.pairs, wanted.seconds, console.print)
            yield f"waiting, {level.name}", asdict(idle), report.of_waiting(idle)
        if "looks" in parts:
            looks = looked(homes, level)
            yield f"looks, {level.name}", _as_numbers(looks), report.of_looks(level.name, looks)


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
