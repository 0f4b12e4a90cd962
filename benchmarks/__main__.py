"""Runs the order saga end to end on every contender, prints tables and writes JSON.

`make bench` does the same as `python -m benchmarks [--only plain,platform] [--rounds N] [--scale F]
[--steady N] [--json FILE]`.
"""

from pathlib import Path

import click
import orjson
from rich.console import Console

from benchmarks.comparison import Plan, compare
from benchmarks.contenders import CONTENDERS
from benchmarks.figures import Contender
from benchmarks.report import as_json, machine, tables

WIDTH = 100
"""Minimum width of the tables in characters, also when the output goes to a file."""
NAMES = [contender.name for contender in CONTENDERS]


@click.command()
@click.option("--only", help=f"Contenders, out of {','.join(NAMES)}; all by default.")
@click.option("--rounds", default=3, show_default=True, help="Figures are medians of the rounds.")
@click.option("--scale", default=1.0, show_default=True, help="Factor on the saturation orders.")
@click.option("--steady", "rates", type=int, multiple=True, help="Orders a second; 50 by default.")
@click.option("--seconds", default=20, show_default=True, help="Length of a run at a steady rate.")
@click.option(
    "--below-saturation/--no-below-saturation",
    default=True,
    show_default=True,
    help="Also run at 80 % of each contender's saturation.",
)
@click.option("--json", "file", type=click.Path(path_type=Path), help="File for the figures.")
def bench(
    only: str | None,
    rounds: int,
    scale: float,
    rates: tuple[int, ...],
    seconds: int,
    below_saturation: bool,
    file: Path | None,
) -> None:
    """Measure on this machine, with fresh servers for each contender and durable settings."""
    plan = Plan(rounds, scale, rates or (50,), seconds, below_saturation)
    console = Console()
    console.width = max(console.width, WIDTH)
    here = machine()
    found = compare(_chosen(only), plan, console.print)
    for table in tables(found):
        console.print(table)
    if file is not None:
        file.write_bytes(orjson.dumps(as_json(found, here), option=orjson.OPT_INDENT_2))


def _chosen(only: str | None) -> list[Contender]:
    wanted = NAMES if only is None else only.split(",")
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(NAMES)}", param_hint="only")
    return [contender for contender in CONTENDERS if contender.name in wanted]


if __name__ == "__main__":
    bench()
