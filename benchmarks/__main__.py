"""Runs the order saga end to end on every contender, prints tables and writes JSON.

`make bench` does the same as `python -m benchmarks [--over-http] [--only plain,platform]
[--rounds N] [--scale F] [--steady N] [--json FILE]`.
"""

from collections.abc import Sequence
from pathlib import Path

import click
import orjson
from rich.console import Console

from benchmarks.comparison import Plan, compare
from benchmarks.contenders import CONTENDERS, OVER_HTTP
from benchmarks.figures import Contender
from benchmarks.report import as_json, machine, tables

WIDTH = 110
"""Minimum width of the tables in characters, also when the output goes to a file."""
NAMES = ",".join(contender.name for contender in CONTENDERS)
NAMES_OVER_HTTP = ",".join(contender.name for contender in OVER_HTTP)


@click.command()
@click.option("--over-http", is_flag=True, help=f"Over HTTP and SMTP: {NAMES_OVER_HTTP}.")
@click.option("--only", help=f"Contenders, out of {NAMES}; all by default.")
@click.option("--rounds", default=3, show_default=True, help="Figures are medians of the rounds.")
@click.option("--scale", default=1.0, show_default=True, help="Factor on orders placed at once.")
@click.option(
    "--steady", "rates", type=int, multiple=True, help="Orders/s; by default see the README."
)
@click.option("--seconds", default=20, show_default=True, help="Length of a run at a steady rate.")
@click.option(
    "--below-saturation/--no-below-saturation",
    default=True,
    show_default=True,
    help="Also run at 80 % of each contender's saturation.",
)
@click.option("--json", "file", type=click.Path(path_type=Path), help="File for the figures.")
def bench(
    over_http: bool,
    only: str | None,
    rounds: int,
    scale: float,
    rates: tuple[int, ...],
    seconds: int,
    below_saturation: bool,
    file: Path | None,
) -> None:
    """Measure on this machine, with fresh servers for each contender and durable settings."""
    contenders = OVER_HTTP if over_http else CONTENDERS
    plan = Plan(rounds, scale, rates, seconds, below_saturation)
    console = Console()
    console.width = max(console.width, WIDTH)
    here = machine()
    found = compare(_chosen(only, contenders), plan, console.print)
    for table in tables(found):
        console.print(table)
    if file is not None:
        file.write_bytes(orjson.dumps(as_json(found, here), option=orjson.OPT_INDENT_2))


def _chosen(only: str | None, contenders: Sequence[Contender]) -> list[Contender]:
    names = [contender.name for contender in contenders]
    wanted = names if only is None else only.split(",")
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(names)}", param_hint="only")
    return [contender for contender in contenders if contender.name in wanted]


if __name__ == "__main__":
    bench()
